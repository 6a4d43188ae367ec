from collections.abc import Iterator

import pytest
import stamina

from core.settings import ROOT, load_endpoints
from deploy.api import Api
from deploy.desired_state import DesiredEndpoint, Images, desired_endpoints
from tests.deploy.fake_api import KEY, FakeRunpodApi, running


@pytest.fixture
def fake_api() -> Iterator[FakeRunpodApi]:
    with running(FakeRunpodApi()) as api:
        yield api


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    """Retry as often as configured, without pauses."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def api(fake_api: FakeRunpodApi) -> Iterator[Api]:
    with Api(KEY, fake_api.url) as api:
        yield api


@pytest.fixture
def shipped() -> list[DesiredEndpoint]:
    return desired_endpoints(load_endpoints(ROOT / "endpoints.yaml"), Images("ghcr.io/acme", "1.2.3"), "img-pod")
