"""Deployment of `endpoints-http.yaml`: a load-balancing endpoint in the orchestrator's place."""

import json
from typing import Any

import httpx
import pytest
import respx

from core.contracts import Route
from core.errors import Misconfigured, PolicyBlocked
from core.settings import ROOT, load_endpoints
from deploy import smoke
from deploy.api import Api, InvalidResponse, RateLimited
from deploy.apply import ApplyBlocked, apply
from deploy.desired_state import DesiredEndpoint, Images, desired_endpoints
from deploy.doctor import Level, diagnose
from deploy.plan import Kind, make_plan
from tests.deploy.fake_api import SHAPE, FakeRunpodApi, schema_errors

URL = "https://ep.api.runpod.invalid"


@pytest.fixture
def desired() -> list[DesiredEndpoint]:
    return desired_endpoints(load_endpoints(ROOT / "endpoints-http.yaml"), Images("ghcr.io/acme", "1.2.3"), "img-pod")


@pytest.fixture
def http(api: Api, fake_api: FakeRunpodApi, desired: list[DesiredEndpoint]) -> dict[str, Any]:
    """The live load-balancing endpoint after `apply`."""
    apply(api, desired, make_plan(desired, api.endpoints()), lambda _: None)
    return fake_api.find_live("img-pod-http")


def test_file_fits_the_quota_of_a_new_account(api: Api, desired: list[DesiredEndpoint]) -> None:
    assert make_plan(desired, api.endpoints()).workers == 5


@pytest.mark.parametrize("path", sorted(ROOT.glob("endpoints*.yaml")), ids=lambda path: path.name)
def test_every_create_body_is_valid_and_names_its_container_disk(path: Any) -> None:
    schema = SHAPE["operations"]["createEndpoint"]["request"]
    for one in desired_endpoints(load_endpoints(path), Images("ghcr.io/acme", "1.2.3"), "img-pod"):
        body = {name: value for name, value in one.body.items() if value is not None}
        assert not schema_errors(schema, body)
        assert body["disk"] >= 10


def test_load_balancer_gets_type_port_idle_timeout_and_module(http: dict[str, Any]) -> None:
    assert http["type"] == "LOAD_BALANCER"
    assert http["ports"] == ["8000/http"]
    assert http["env"]["IMG_POD_MODULE"] == "http_api"
    assert http["image"] == "ghcr.io/acme/img-pod-orchestrator:1.2.3"
    assert http["scaling"] == {"type": "REQUEST_COUNT", "requestCount": 50}
    assert http["workers"] == {"min": 0, "max": 1, "idleTimeout": 330}
    assert {http["env"][name] for name in ("PORT", "PORT_HEALTH", "HTTP_PORT")} == {"8000"}
    assert http["env"]["HEALTH_CHECK_PATH"] == "/ping"


def test_load_balancer_calls_the_pools(http: dict[str, Any], fake_api: FakeRunpodApi) -> None:
    assert http["env"]["ORCHESTRATOR_LLM_ENDPOINT_IDS"] == fake_api.find_live("img-pod-llm")["id"]
    assert http["env"]["RUNPOD_API_KEY"] == "{{ RUNPOD_SECRET_RUNPOD_API_KEY }}"


@pytest.mark.usefixtures("http")
def test_second_apply_of_a_load_balancer_changes_nothing(api: Api, desired: list[DesiredEndpoint]) -> None:
    assert not make_plan(desired, api.endpoints()).changes_something


def test_port_and_idle_timeout_changed_in_the_console_are_reverted(
    api: Api, http: dict[str, Any], fake_api: FakeRunpodApi, desired: list[DesiredEndpoint]
) -> None:
    http |= {"ports": ["80/http"], "workers": {"min": 0, "max": 1, "idleTimeout": 5}}

    apply(api, desired, make_plan(desired, api.endpoints()), lambda _: None)

    live = fake_api.find_live("img-pod-http")
    assert live["ports"] == ["8000/http"]
    assert live["workers"]["idleTimeout"] == 330


def test_queue_endpoint_of_that_name_blocks_the_plan(
    api: Api, http: dict[str, Any], desired: list[DesiredEndpoint]
) -> None:
    http |= {"type": "QUEUE", "requestUrls": {}}
    del http["requestUrls"]
    made = make_plan(desired, api.endpoints())

    [blocked] = [action for action in made.actions if action.kind is Kind.BLOCKED]
    assert "type" in blocked.reason
    with pytest.raises(ApplyBlocked, match="img-pod-http"):
        apply(api, desired, made, lambda _: None)


def test_load_balancer_url_is_that_of_the_answer_or_the_documented_one(api: Api, http: dict[str, Any]) -> None:
    [live] = [endpoint for endpoint in api.endpoints() if endpoint.load_balancer]
    assert live.http_url == f"https://{http['id']}.eu.api.runpod.invalid"
    assert live.model_copy(update={"request_urls": {}}).http_url == f"https://{http['id']}.api.runpod.ai"


def test_scaler_of_a_load_balancer_must_count_requests(tmp_path: Any) -> None:
    text = (ROOT / "endpoints-http.yaml").read_text().replace("request_count, value: 50", "queue_delay, value: 4")
    (tmp_path / "endpoints.yaml").write_text(text)

    with pytest.raises(Misconfigured, match="request_count"):
        load_endpoints(tmp_path / "endpoints.yaml")


@pytest.mark.parametrize("page_size", [1, 2, 3])
@pytest.mark.usefixtures("http")
def test_every_page_of_endpoints_is_read(api: Api, fake_api: FakeRunpodApi, page_size: int) -> None:
    fake_api.page_size = page_size

    assert {endpoint.id for endpoint in api.endpoints()} == set(fake_api.endpoints)


def test_pages_that_repeat_are_an_error() -> None:
    page = {"endpoints": [], "pagination": {"hasNextPage": True, "nextCursor": "a"}}
    with respx.mock() as router, Api("key", "https://api.invalid") as api:
        router.get("https://api.invalid/v2/serverless").respond(json=page)
        with pytest.raises(InvalidResponse, match="repeat"):
            api.endpoints()


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"RateLimit": '"default";r=0;t=30'}, 30),
        ({"RateLimit": '"a";r=1;t=5, "b";r=0; t=12'}, 12),
        ({"RateLimit": '"default";r=0;t=30', "Retry-After": "7"}, 7),
        ({"RateLimit": '"default";r=0'}, None),
        ({}, None),
    ],
)
def test_wait_after_429_comes_from_retry_after_or_the_rate_limit(headers: dict[str, str], wait_s: float | None) -> None:
    with respx.mock() as router, Api("key", "https://api.invalid", max_attempts=1) as api:
        router.get("https://api.invalid/v2/serverless").respond(429, headers=headers, json={})
        with pytest.raises(RateLimited) as caught:
            api.endpoints()
    assert caught.value.retry_after_s == wait_s


@pytest.mark.usefixtures("http")
def test_sound_load_balancer_has_no_findings(api: Api, desired: list[DesiredEndpoint]) -> None:
    assert diagnose(api, desired) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"timeout": 600_000}, "execution timeout is 600 s"),
        ({"env": {"ORCHESTRATOR_TIMEOUT_S": "400"}}, "ORCHESTRATOR_TIMEOUT_S is 400 s"),
        ({"env": {"HTTP_WAIT_S": "331"}}, "HTTP_WAIT_S is 331 s"),
        ({"workers": {"min": 0, "max": 1, "idleTimeout": 10}}, "asynchronous jobs"),
    ],
)
def test_limits_of_the_load_balancer_are_warnings(
    api: Api, http: dict[str, Any], desired: list[DesiredEndpoint], change: dict[str, Any], says: str
) -> None:
    http |= {**change, "env": {**http["env"], **change.get("env", {})}}

    warnings = [finding.what for finding in diagnose(api, desired) if finding.level is Level.WARNING]

    assert any(says in what for what in warnings)


@pytest.fixture
def one_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "requests", lambda: {Route.GENERAL: {"task": Route.GENERAL, "prompt": "a lighthouse"}})


def tried(*answers: httpx.Response) -> tuple[smoke.Smoke, Any]:
    with respx.mock() as router:
        router.post(f"{URL}/v1/imagegen").mock(side_effect=answers)
        [one] = smoke.run_http_smoke_tests(URL, "key", limit_s=5, pause_s=0)
        return one, list(router.calls)


@pytest.mark.usefixtures("one_route")
def test_http_smoke_request_is_the_input_without_its_task() -> None:
    one, calls = tried(httpx.Response(200, json={"width": 1024, "height": 512, "image_format": "webp"}))

    assert (one.ok, one.detail) == (True, "1024×512 webp")
    assert json.loads(calls[0].request.content) == {"prompt": "a lighthouse"}
    assert calls[0].request.headers["authorization"] == "Bearer key"


@pytest.mark.usefixtures("one_route")
@pytest.mark.parametrize("status", [400, 502, 503])
def test_http_smoke_test_repeats_while_no_worker_is_ready(status: int) -> None:
    starting = httpx.Response(status, json={"error": "no workers available"})

    one, calls = tried(starting, starting, httpx.Response(200, json={"width": 8, "height": 8}))

    assert one.ok
    assert len(calls) == 3


@pytest.mark.usefixtures("one_route")
def test_http_smoke_test_reports_a_problem_document_at_once() -> None:
    problem = {"code": PolicyBlocked.code, "detail": "Refused."}
    answer = httpx.Response(400, json=problem, headers={"content-type": "application/problem+json"})

    one, calls = tried(answer)

    assert (one.ok, one.detail) == (False, "policy_blocked: Refused.")
    assert len(calls) == 1


@pytest.mark.usefixtures("one_route")
def test_http_smoke_test_reports_an_answer_without_json() -> None:
    one, _ = tried(httpx.Response(401, text="nope"))

    assert (one.ok, one.detail) == (False, "HTTP 401")
