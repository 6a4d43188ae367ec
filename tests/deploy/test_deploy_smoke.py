"""Smoke requests through the job API, and the report of each outcome. The platform is mocked."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx

from core.contracts import REQUESTS, Route, read_request
from core.errors import PolicyBlocked
from deploy import smoke

BASE = "https://jobs.invalid/v2"
PICTURE = {"width": 1024, "height": 1024, "image_format": "webp"}


@pytest.fixture
def selfie(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {route: request | ({"selfie": "AAAA"} if "selfie" in request else {}) for route, request in fixed().items()}
    monkeypatch.setattr(smoke, "requests", lambda: made)


def fixed() -> dict[Route, dict[str, Any]]:
    return {Route.GENERAL: {"task": Route.GENERAL, "prompt": "a lighthouse"}}


@pytest.fixture
def platform() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=f"{BASE}/orch", assert_all_called=False) as router:
        router.post("/cancel/j1").respond(json={})
        yield router


def tried(platform: respx.MockRouter, *statuses: dict[str, Any], limit_s: float = 5) -> smoke.Smoke:
    platform.post("/run").respond(json={"id": "j1", "status": "IN_QUEUE"})
    platform.get("/status/j1").mock(side_effect=[httpx.Response(200, json={"id": "j1"} | one) for one in statuses])
    [one] = smoke.run_smoke_tests(BASE, "key", "orch", limit_s=limit_s, poll_s=0)
    return one


@pytest.mark.usefixtures("selfie")
def test_smoke_test_passes_with_a_finished_picture(platform: respx.MockRouter) -> None:
    one = tried(platform, {"status": "IN_PROGRESS"}, {"status": "COMPLETED", "output": PICTURE})

    assert (one.ok, one.detail) == (True, "1024×1024 webp")
    sent = platform.calls[0].request
    assert json.loads(sent.content)["input"]["task"] == "imagegen"
    assert sent.headers["authorization"] == "Bearer key"


@pytest.mark.usefixtures("selfie")
@pytest.mark.parametrize(
    ("status", "detail"),
    [
        ({"status": "FAILED", "error": PolicyBlocked("Refused.").to_wire()}, "policy_blocked: Refused."),
        ({"status": "COMPLETED"}, "COMPLETED without a picture"),
        ({"status": "TIMED_OUT"}, "TIMED_OUT without a picture"),
    ],
)
def test_smoke_test_fails_with_its_reason_on_any_other_outcome(
    platform: respx.MockRouter, status: dict[str, Any], detail: str
) -> None:
    one = tried(platform, status)

    assert (one.ok, one.detail) == (False, detail)


@pytest.mark.usefixtures("selfie")
def test_smoke_job_that_no_worker_takes_is_cancelled(platform: respx.MockRouter) -> None:
    one = tried(platform, limit_s=0)

    assert "still IN_QUEUE" in one.detail
    assert platform.calls[-1].request.url.path.endswith("/cancel/j1")


@pytest.mark.usefixtures("selfie")
def test_a_refused_request_is_reported_by_its_status(platform: respx.MockRouter) -> None:
    platform.post("/run").respond(401)

    [one] = smoke.run_smoke_tests(BASE, "key", "orch", poll_s=0)

    assert (one.ok, one.detail) == (False, "HTTP 401")


def test_smoke_request_of_every_route_is_valid_for_the_orchestrator() -> None:
    for route, request in smoke.requests().items():
        assert read_request(request, REQUESTS).task == route
    assert set(smoke.requests()) == set(Route)
