"""The whole chain answers the smoke requests of `deploy doctor`."""

import pytest

from core.contracts import Route
from deploy.smoke import run_smoke_tests
from localpod import LocalpodThread


@pytest.mark.timeout(300)
def test_every_route_answers_its_smoke_request(real_pod: LocalpodThread) -> None:
    tried = run_smoke_tests(real_pod.base_url, real_pod.key, "orchestrator", limit_s=200, poll_s=0.2)

    assert [one for one in tried if not one.ok] == []
    assert [one.route for one in tried] == list(Route)
