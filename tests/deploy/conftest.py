from collections.abc import Iterator

import pytest
import stamina

from core.settings import ROOT, load_endpoints
from deploy.api import Api
from deploy.desired_state import Images, Wanted, wanted
from tests.deploy.standin import KEY, StandIn, running


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with running(StandIn()) as api:
        yield api


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    """Tries again as often as it would, at once."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def api(standin: StandIn) -> Iterator[Api]:
    with Api(KEY, standin.url) as api:
        yield api


@pytest.fixture
def shipped() -> list[Wanted]:
    return wanted(load_endpoints(ROOT / "endpoints.yaml"), Images("ghcr.io/acme", "1.2.3"), "img-pod")
