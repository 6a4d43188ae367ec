"""Load-balancing endpoints: real HTTP workers behind localpod's proxy."""

import asyncio
import json
import sys

import httpx
import pytest
import pytest_asyncio

from core.errors import Misconfigured
from core.settings import ROOT, load_endpoints
from localpod import LocalEndpoint, Localpod, Options, Scaler, WorkerTimes
from localpod.spec import Platform, worker_environment
from tests.localpod.manual_worker import HANDLERS, manual, until

KEY = {"Authorization": "Bearer any"}
TIMES = WorkerTimes(health_interval_s=0.05, ping_timeout_s=0.2, grace_s=0.3)


@pytest_asyncio.fixture
async def start(tmp_path):
    """Start a localpod with a load-balancing endpoint `web` and a queue `e`; yield it and a client without a key."""
    started = []

    async def start(env=None, *, scaler=None, idle_timeout_s=60.0, **options):
        endpoint = LocalEndpoint(
            handler=(sys.executable, str(HANDLERS / "http_worker.py")),
            scaler=scaler or Scaler("request_count", 1, 0, 1),
            idle_timeout_s=idle_timeout_s,
            load_balancer=True,
            env={"WORKER_LOG": str(tmp_path / "log"), **(env or {})},
        )
        fixed = {"state_dir": tmp_path, "shutdown_grace_s": 0, "times": TIMES}
        pod = Localpod({"e": manual(0), "web": endpoint}, Options(**{**fixed, **options}))
        await pod.start()
        http = httpx.AsyncClient(base_url=pod.url, timeout=30)
        started.append((pod, http))
        return pod, http

    yield start
    for pod, http in started:
        await http.aclose()
        await pod.stop()


def events_of(tmp_path):
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


async def test_a_request_starts_a_worker_and_is_forwarded_unchanged(start):
    _, http = await start()

    answer = await http.post("/lb/web/v1/thing%20x?a=1&b=%2F", content=b"body", headers={**KEY, "X-Own": "kept"})

    seen = answer.json()
    assert (seen["method"], seen["path"], seen["bytes"]) == ("POST", "/v1/thing%20x?a=1&b=%2F", 4)
    assert seen["headers"]["X-Own"] == "kept"


async def test_the_platform_key_is_required_and_not_passed_to_the_worker(start):
    _, http = await start()

    assert (await http.get("/lb/web/x")).status_code == 401
    assert "Authorization" not in (await http.get("/lb/web/x", headers=KEY)).json()["headers"]


async def test_paths_outside_the_platform_api_reach_the_http_api_without_a_key(start):
    _, http = await start()

    for path in ("/v1/profile/create", "/healthz", "/"):
        assert (await http.post(path, content=b"x")).json()["path"] == path


async def test_a_configured_key_is_required_for_the_http_api(start):
    _, http = await start(key="secret")

    assert (await http.get("/v1/x")).status_code == 401
    assert (await http.get("/v1/x", headers={"Authorization": "Bearer secret"})).status_code == 200


async def test_beyond_loopback_the_http_api_needs_a_key_unless_switched_off(start):
    _, http = await start(host="0.0.0.0")
    _, without = await start(host="0.0.0.0", http_without_key=True)

    assert (await http.get("/v1/x")).status_code == 401
    assert (await http.get("/v1/x", headers=KEY)).status_code == 200
    assert (await without.get("/v1/x")).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
async def test_keyless_calls_by_other_web_pages_are_refused(start, origin):
    _, http = await start()

    assert (await http.post("/v1/x", headers={"Origin": origin})).status_code == 403


async def test_keyless_calls_by_local_web_pages_are_served(start):
    _, http = await start()

    assert (await http.post("/v1/x", headers={"Origin": "http://localhost:3000"})).status_code == 200


async def test_a_worker_gets_its_port_and_no_queue_variables(start, tmp_path):
    _, http = await start()
    await http.get("/v1/x")

    env = json.loads(events_of(tmp_path)[0])
    assert env["PORT"] == env["PORT_HEALTH"] == env["HTTP_PORT"]
    assert env["RUNPOD_ENDPOINT_ID"] == "web"
    assert not [name for name in env if "WEBHOOK" in name]


async def test_requests_wait_while_the_worker_answers_204(start, tmp_path):
    pod, http = await start(env={"START_FILE": str(tmp_path / "go")})
    waiting = asyncio.create_task(http.get("/v1/x"))
    await until(lambda: pod.balancers["web"].balancer.in_queue == 1 and events_of(tmp_path))
    health = (await http.get("/v2/web/health", headers=KEY)).json()
    assert (health["workers"]["initializing"], health["workers"]["ready"]) == (1, 0)

    (tmp_path / "go").touch()

    assert (await waiting).status_code == 200


async def test_without_a_worker_the_answer_is_400(start):
    _, http = await start(scaler=Scaler("request_count", 1, 0, 0), no_worker_timeout_s=0.05)

    answer = await http.get("/v1/x")

    assert (answer.status_code, answer.json()) == (400, {"error": "no workers available"})


async def test_workers_that_crash_at_the_start_end_the_wait_with_the_log(start, tmp_path):
    _, http = await start(env={"WORKER_LOG": str(tmp_path / "no" / "folder")})

    answer = await http.get("/v1/x")

    assert answer.status_code == 400
    assert "its log" in answer.json()["error"] or "exited with code 1" in answer.json()["error"]


async def test_an_unhealthy_worker_gets_no_requests_and_is_replaced(start):
    pod, http = await start()
    first = (await http.get("/v1/x")).headers["X-Runpod-Worker-Id"]
    await http.get("/set-ping?status=503")
    await until(lambda: first not in {worker["id"] for worker in pod.workers("web")})

    assert (await http.get("/v1/x")).headers["X-Runpod-Worker-Id"] != first


async def test_a_killed_worker_ends_its_request_with_502_and_nothing_is_retried(start):
    pod, http = await start()

    assert (await http.get("/die")).status_code == 502
    assert pod.counters("web")["submitted"] == 1


async def test_server_sent_events_arrive_one_by_one(start, tmp_path):
    _, http = await start()
    async with http.stream("GET", "/events") as answer:
        lines = answer.aiter_lines()
        for number in range(3):
            assert await anext(lines) == f"data: {number}"
            await anext(lines)
            (tmp_path / f"next{number}").touch()  # the worker waits for this file before the next event


async def test_a_client_that_disconnects_before_the_answer_cancels_the_request_at_the_worker(start, tmp_path):
    _, http = await start()
    request = asyncio.create_task(http.get("/hang"))
    await until(lambda: "hanging" in events_of(tmp_path))

    request.cancel()

    await until(lambda: "disconnected" in events_of(tmp_path))


async def test_a_client_that_disconnects_from_a_stream_cancels_it_at_the_worker(start, tmp_path):
    pod, http = await start()
    async with http.stream("GET", "/events") as answer:
        assert await anext(answer.aiter_lines()) == "data: 0"

    await until(lambda: "disconnected" in events_of(tmp_path))
    await until(lambda: pod.balancers["web"].balancer.in_progress == 0)


async def test_a_request_is_cut_at_the_time_limit(start, tmp_path):
    _, http = await start(request_timeout_s=0.3)
    await http.get("/v1/x")

    assert (await http.get("/hang")).status_code == 524
    await until(lambda: "disconnected" in events_of(tmp_path))


async def test_an_answer_that_has_begun_is_cut_at_the_time_limit(start):
    _, http = await start(request_timeout_s=0.3)

    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/events")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_30_mb_is_refused(start, declared):
    _, http = await start()
    await http.get("/v1/x")
    body = b"x" * 30_000_001

    async def chunks():
        for at in range(0, len(body), 1_000_000):
            yield body[at : at + 1_000_000]

    assert (await http.post("/v1/x", content=body[:-1])).json()["bytes"] == 30_000_000
    assert (await http.post("/v1/x", content=body if declared else chunks())).status_code == 413


async def test_an_answer_above_30_mb_is_cut(start):
    _, http = await start()

    assert len((await http.get("/large?bytes=30000000")).content) == 30_000_000
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/large?bytes=31000000")


async def test_workers_scale_with_requests_in_flight_and_stop_when_idle(start):
    pod, http = await start(scaler=Scaler("request_count", 1, 0, 2), idle_timeout_s=0.2)
    hanging = [asyncio.create_task(http.get("/hang")) for _ in range(2)]
    await until(lambda: len(pod.workers("web")) == 2)
    await until(lambda: pod.balancers["web"].balancer.in_progress == 2)
    assert all(not worker["closing"] for worker in pod.workers("web"))

    for task in hanging:
        task.cancel()

    await until(lambda: not pod.workers("web"))


async def test_affinity_chooses_the_named_worker(start):
    pod, http = await start(scaler=Scaler("request_count", 1, 2, 2))
    await until(lambda: sum(worker["ready"] for worker in pod.workers("web")) == 2)
    for worker in pod.workers("web"):
        for header in (worker["id"], f"strict {worker['id']}", f"strict-resume {worker['id']}"):
            answer = await http.get("/v1/x", headers={"X-Runpod-Worker-Id": header})
            assert answer.headers["X-Runpod-Worker-Id"] == worker["id"]


async def test_strict_affinity_to_a_worker_that_is_gone_is_404(start):
    _, http = await start()

    answer = await http.get("/v1/x", headers={"X-Runpod-Worker-Id": "strict gone"})
    assert (answer.status_code, answer.json()) == (404, {"error": "affinity_worker_gone"})
    assert (await http.get("/v1/x", headers={"X-Runpod-Worker-Id": "gone"})).status_code == 200


async def test_queue_operations_on_a_load_balancer_and_the_reverse_are_refused(start):
    _, http = await start()

    assert (await http.post("/v2/web/run", json={"input": 1}, headers=KEY)).status_code == 400
    assert (await http.get("/lb/e/x", headers=KEY)).status_code == 404


async def test_expect_100_continue_is_answered_before_the_body(start):
    pod, http = await start()
    await http.get("/v1/x")
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(b"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")

    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    await reader.readline()
    writer.write(b"ok")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize("target", ["@127.0.0.1:9/", "http://127.0.0.1:9/x", "*", "x"])
async def test_request_target_that_is_not_a_path_is_refused(start, target):
    pod, _ = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    status = (await reader.readline()).split()[1]
    writer.close()
    assert status == b"400"


async def test_state_lists_load_balancers(start):
    _, http = await start()
    await http.get("/v1/x")

    state = (await http.get("/localpod/state", headers=KEY)).json()
    assert state["endpoints"]["web"]["jobs"]["completed"] == 1
    assert state["endpoints"]["web"]["processes"][0]["ready"]


def test_a_load_balancer_cant_be_attached():
    endpoint = LocalEndpoint(handler="x", load_balancer=True)
    with pytest.raises(Misconfigured, match="can't be attached"):
        Localpod({"web": endpoint}, Options(attach=("web",)))


def test_http_endpoint_of_the_shipped_file_listens_on_loopback():
    local = LocalEndpoint.from_spec(load_endpoints(ROOT / "endpoints-http.yaml").endpoints["http"])
    platform = Platform("http://127.0.0.1:1/v2", "key", "worker-key", {}, "mark", 10)

    env = worker_environment("http", local, "w", platform, {}, port=4711)

    assert local.load_balancer
    assert local.idle_timeout_s == 330
    assert (env["HTTP_HOST"], env["HTTP_PORT"], env["PORT"]) == ("127.0.0.1", "4711", "4711")
    assert env["RUNPOD_API_KEY"] == "key"
