"""API keys, limits of each caller, and separation of the callers' requests."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from core.errors import BudgetSpent, Misconfigured, RateLimited
from core.settings import HttpSettings
from http_api.__main__ import main
from http_api.callers import Caller, Callers, KeyEntry, new_key
from http_api.server import check_exposure
from tests.http_api.conftest import InstantEndpoints

IMAGE = {"prompt": "a lighthouse at dusk", "idempotency_key": "order-1"}


def keys_file(folder: Path, *entries: str) -> Path:
    path = folder / "keys.yaml"
    path.write_text("keys:\n" + "".join(entries))
    return path


def entry(**limits: Any) -> KeyEntry:
    return KeyEntry(name="shop", sha256=hashlib.sha256(b"key").hexdigest(), **limits)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, str, str]:
    (one, first), (other, second) = new_key("one"), new_key("other")
    return keys_file(tmp_path, first, second), one, other


async def test_request_without_a_valid_key_is_401(http: Any, two: tuple[Path, str, str]) -> None:
    async with http(keys_file=two[0]) as client:
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Basic eDp5"}):
            response = await client.post("/v1/imagegen", json=IMAGE, headers=headers)
            assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"


async def test_key_is_read_from_its_header_or_as_a_bearer_token(http: Any, two: tuple[Path, str, str]) -> None:
    path, one, _ = two
    async with http(keys_file=path) as client:
        for headers in ({"X-API-Key": one}, {"Authorization": f"Bearer {one}"}):
            assert (await client.post("/v1/imagegen", json=IMAGE, headers=headers)).status_code == 200


async def test_metrics_need_a_key_and_health_does_not(http: Any, two: tuple[Path, str, str]) -> None:
    async with http(keys_file=two[0]) as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/ping")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200


async def test_idempotency_keys_of_two_callers_are_separate(
    http: Any, two: tuple[Path, str, str], endpoints: InstantEndpoints
) -> None:
    path, one, other = two
    async with http(keys_file=path) as client:
        first = await client.post("/v1/imagegen", json=IMAGE, headers={"X-API-Key": one})
        same = await client.post("/v1/imagegen", json=IMAGE, headers={"X-API-Key": one})
        others = await client.post("/v1/imagegen", json=IMAGE, headers={"X-API-Key": other})

    assert same.json()["trace_id"] == first.json()["trace_id"]
    assert others.json()["trace_id"] != first.json()["trace_id"]


async def test_job_of_another_caller_does_not_exist(http: Any, two: tuple[Path, str, str]) -> None:
    path, one, other = two
    async with http(keys_file=path) as client:
        headers = {"X-API-Key": one, "Prefer": "respond-async"}
        location = (await client.post("/v1/imagegen", json=IMAGE, headers=headers)).headers["location"]
        for method, address in (("GET", location), ("GET", f"{location}/events"), ("DELETE", location)):
            assert (await client.request(method, address, headers={"X-API-Key": other})).status_code == 404
        assert (await client.get(location, headers={"X-API-Key": one})).status_code == 200


async def test_requests_over_the_concurrency_limit_are_429(
    http: Any, tmp_path: Path, endpoints: InstantEndpoints
) -> None:
    key, line = new_key("shop")
    headers = {"X-API-Key": key, "Prefer": "respond-async"}
    endpoints.hold.clear()
    async with http(keys_file=keys_file(tmp_path, f"{line}    max_in_flight: 1\n")) as client:
        first = await client.post("/v1/imagegen", json={"prompt": "a harbour"}, headers=headers)
        second = await client.post("/v1/imagegen", json={"prompt": "a harbour"}, headers=headers)
        await client.delete(first.headers["location"], headers=headers)
        third = await client.post("/v1/imagegen", json={"prompt": "a harbour"}, headers=headers)

    assert (first.status_code, second.status_code, third.status_code) == (202, 429, 202)
    assert second.json()["code"] == "rate_limited"
    assert "retry-after" in second.headers


async def test_malformed_request_frees_its_capacity(http: Any, tmp_path: Path) -> None:
    key, line = new_key("shop")
    headers = {"X-API-Key": key}
    async with http(keys_file=keys_file(tmp_path, f"{line}    max_in_flight: 1\n")) as client:
        for _ in range(3):
            assert (await client.post("/v1/imagegen", json={}, headers=headers)).status_code == 400
        assert (await client.post("/v1/imagegen", json=IMAGE, headers=headers)).status_code == 200


def test_requests_per_minute_are_counted_over_the_last_minute() -> None:
    now = [0.0]
    caller = Caller(entry(per_minute=2), clock=lambda: now[0])
    caller.admission()
    now[0] = 30
    caller.admission()
    with pytest.raises(RateLimited) as caught:
        caller.admission()
    assert caught.value.retry_after_ms == 30_000
    now[0] = 60
    caller.admission()


def test_budget_is_for_one_day_in_utc() -> None:
    now = [datetime(2026, 5, 1, 23, 0, tzinfo=UTC)]
    caller = Caller(entry(daily_usd=1.0), now=lambda: now[0])
    caller.spend(0.6)
    caller.admission()
    caller.spend(0.4)
    with pytest.raises(BudgetSpent) as caught:
        caller.admission()
    assert caught.value.retry_after_ms == 3_600_000
    now[0] = datetime(2026, 5, 2, tzinfo=UTC)
    caller.admission()


async def test_cost_of_a_failed_request_counts_against_the_budget(
    http: Any, tmp_path: Path, endpoints: InstantEndpoints
) -> None:
    from core.contracts import Route, StageRecord
    from orchestrator.tracing import RequestTrace

    key, line = new_key("shop")
    record = StageRecord(stage="generate", task="generate", endpoint_id="e", started_ms=0, wall_ms=1, cost_usd=2.0)
    async with http(keys_file=keys_file(tmp_path, f"{line}    daily_usd: 1\n")) as client:
        for observe in client.service.observers:
            observe(RequestTrace("0", Route.GENERAL, 1, (record,), code="stage_failed", caller="shop"))
        response = await client.post("/v1/imagegen", json=IMAGE, headers={"X-API-Key": key})

    assert (response.status_code, response.json()["code"]) == (402, "budget_spent")


def test_new_key_is_printed_once_and_is_not_in_its_entry(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["new-key", "shop"]) == 0
    printed = capsys.readouterr()
    [key] = re.findall(r"ip_\S+", printed.err)

    assert key not in printed.out
    callers = Callers.from_file(keys_file(tmp_path, printed.out))
    assert callers.identify({"x-api-key": key}).name == "shop"


@pytest.mark.parametrize(
    "text", ["", "keys: []", "keys:\n  - name: a b\n    sha256: x", "keys:\n  - name: a\n    key: plain"]
)
def test_invalid_key_file_error_names_the_field(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=r"keys\.yaml"):
        Callers.from_file(path)


def test_duplicate_caller_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="twice"):
        Callers.from_file(keys_file(tmp_path, new_key("shop")[1], new_key("shop")[1]))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com"])
def test_listening_beyond_loopback_needs_keys_or_an_explicit_setting(host: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="HTTP_KEYS_FILE"):
        check_exposure(HttpSettings(host=host))
    check_exposure(HttpSettings(host=host, keys_file=tmp_path / "keys.yaml"))
    check_exposure(HttpSettings(host=host, allow_without_keys=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    check_exposure(HttpSettings(host=host))


async def test_log_contains_no_key_and_no_text(
    http: Any, two: tuple[Path, str, str], endpoints: InstantEndpoints
) -> None:
    path, one, _ = two
    endpoints.failures["caption"] = RuntimeError("canary-words")
    with structlog.testing.capture_logs() as logs:
        async with http(keys_file=path) as client:
            for key in (one, "canary-key"):
                body = {"prompt": "canary-words at dusk", "caption": True}
                await client.post("/v1/imagegen", json=body, headers={"X-API-Key": key})

    assert logs
    assert not [line for line in logs if "canary" in str(line) or one in str(line)]
