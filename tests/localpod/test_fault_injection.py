"""Every kind of fault occurs where it is configured, and nowhere else."""

import asyncio
import time

import httpx
import pytest

from localpod import Fault, FaultKind, Localpod, Options
from tests.localpod.manual_worker import WORKER_KEY, ManualWorker, manual, pids, status, stock, submit, until


def fault(kind, **fields):
    return Fault(kind=FaultKind(kind), **fields)


async def test_throttle_answers_429_with_and_without_retry_after(pod, http):
    pod.inject(fault("throttle", operation="run", retry_after_s=1.5))
    pod.inject(fault("throttle", operation="run"))
    first, second, third = [await http.post("/none/run", json={"input": 1}) for _ in range(3)]
    assert (first.status_code, first.headers["Retry-After"]) == (429, "1.5")
    assert second.status_code == 429
    assert "Retry-After" not in second.headers
    assert third.status_code == 200


async def test_server_error_answers_5xx_without_processing_the_request(pod, http):
    pod.inject(fault("server_error", operation="run", status=502))
    assert (await http.post("/none/run", json={"input": 1})).status_code == 502
    assert pod.jobs("none") == []


@pytest.mark.parametrize(("kind", "accepted"), [("reset_before", 0), ("reset_after", 1)])
async def test_connection_is_reset_before_or_after_the_job_was_accepted(pod, http, kind, accepted):
    pod.inject(fault(kind, operation="run"))
    with pytest.raises(httpx.ReadError):
        await http.post("/none/run", json={"input": 1})
    assert len(pod.jobs("none")) == accepted


async def test_stalled_answer_is_delayed(pod, http):
    pod.inject(fault("stall", operation="health", delay_s=0.4))
    started = time.monotonic()
    assert (await http.get("/e/health")).status_code == 200
    assert time.monotonic() - started >= 0.4


async def test_a_slow_drip_answer_arrives_complete_in_pieces(pod, http):
    pod.inject(fault("slow_drip", operation="health", delay_s=0.4))
    pieces = 0
    body = b""
    started = time.monotonic()
    async with http.stream("GET", "/e/health") as answer:
        async for piece in answer.aiter_raw():
            pieces += 1
            body += piece
    assert pieces > 3
    assert time.monotonic() - started >= 0.35
    assert body.startswith(b'{"jobs"')
    assert body.endswith(b"}}")


async def test_a_truncated_answer_ends_before_its_length(pod, http):
    pod.inject(fault("truncate", operation="run"))
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/none/run", json={"input": 1})
    assert len(pod.jobs("none")) == 1


async def test_an_answer_may_be_a_page_instead_of_json(pod, http):
    pod.inject(fault("not_json", operation="status"))
    job_id = await submit(http, "none")
    page = await status(http, job_id, "none")
    assert page.status_code == 200
    assert page.text.startswith("<html>")
    assert (await status(http, job_id, "none")).json()["status"] == "IN_QUEUE"


async def test_a_duplicated_delivery_gives_one_job_to_two_workers_and_one_result_counts(pod, http, pair):
    pod.inject(fault("duplicate_delivery", endpoint="pair"))
    second = asyncio.create_task(pair[1].take())
    await asyncio.sleep(0.05)
    first = asyncio.create_task(pair[0].take())
    await asyncio.sleep(0.05)
    job_id = await submit(http, "pair")
    assert (await first)["id"] == (await second)["id"] == job_id
    await pair[0].done(job_id, {"output": "a"})
    await pair[1].done(job_id, {"output": "b"})
    assert (await status(http, job_id, "pair")).json()["output"] == "a"
    assert pod.counters("pair")["COMPLETED"] == 1


async def test_a_duplicate_also_reaches_the_only_worker_after_the_first_is_done(pod, http, worker):
    pod.inject(fault("duplicate_delivery", endpoint="e"))
    job_id = await submit(http)
    assert (await worker.take())["id"] == job_id
    await worker.done(job_id, {"output": "a"})
    assert (await worker.take())["id"] == job_id
    await worker.done(job_id, {"output": "b"})
    assert (await status(http, job_id)).json()["output"] == "a"


async def test_a_lost_result_is_acknowledged_and_the_job_stays_in_progress(pod, http, worker):
    pod.inject(fault("lose_result", endpoint="e"))
    job_id = await submit(http)
    await worker.take()
    assert (await worker.done(job_id, {"output": 1})).status_code == 200
    assert (await status(http, job_id)).json()["status"] == "IN_PROGRESS"


async def test_a_lost_result_post_is_a_reset_that_the_worker_sees(pod, http, worker):
    pod.inject(fault("reset_before", endpoint="e", operation="job-done"))
    job_id = await submit(http)
    await worker.take()
    with pytest.raises(httpx.ReadError):
        await worker.done(job_id, {"output": 1})
    await worker.done(job_id, {"output": 1})
    assert (await status(http, job_id)).json()["status"] == "COMPLETED"


async def test_a_late_result_is_stored_after_its_delay(pod, http, worker):
    pod.inject(fault("late_result", delay_s=0.3))
    job_id = await submit(http)
    await worker.take()
    await worker.done(job_id, {"output": 1})
    assert (await status(http, job_id)).json()["status"] == "IN_PROGRESS"
    await until(lambda: pod.counters("e").get("COMPLETED"))
    assert (await status(http, job_id)).json()["output"] == 1


async def test_job_of_a_killed_worker_is_delivered_to_the_next_worker(pod, http, worker):
    pod.inject(fault("kill_worker", endpoint="e", delay_s=0))
    job_id = await submit(http)
    await worker.take()
    await until(lambda: pod.counters("e").get("requeued") == 1)
    assert (await status(http, job_id)).json()["status"] == "IN_QUEUE"
    assert worker.id not in {worker["id"] for worker in pod.workers("e")}


async def test_an_expired_result_is_404_though_runsync_still_answers(pod, http, worker):
    pod.inject(fault("expire_result", times=2, delay_s=0))
    waiting = asyncio.create_task(http.post("/e/runsync", json={"input": 1}))
    job = await worker.take()
    await worker.done(job["id"], {"output": 1})
    assert (await waiting).json()["output"] == 1
    await asyncio.sleep(0.05)
    assert (await status(http, job["id"])).status_code == 404


async def test_clock_skew_makes_the_platforms_times_wrong(pod, http, worker):
    job_id = await submit(http)
    await worker.take()
    await worker.done(job_id, {"output": 1})
    pod.inject(fault("clock_skew", delay_s=3600))
    skewed = (await status(http, job_id)).json()
    true = (await status(http, job_id)).json()
    assert skewed["delayTime"] - true["delayTime"] == 3_600_000
    assert skewed["executionTime"] - true["executionTime"] == -3_600_000
    assert skewed["executionTime"] < 0


async def test_a_slow_cold_start_delays_the_worker():
    async with Localpod({"e": manual(0), "echo": stock("echo")}, Options(shutdown_grace_s=0)) as pod:
        pod.inject(fault("slow_cold_start", endpoint="echo", delay_s=0.5))
        started = time.monotonic()
        async with httpx.AsyncClient(base_url=pod.base_url, headers={"Authorization": "x"}) as http:
            await submit(http, "echo")
            await until(lambda: pod.workers("echo"))
            assert pod.workers("echo")[0]["pid"] is None
            assert (await http.get("/echo/health")).json()["workers"]["initializing"] == 1
            await until(lambda: pod.workers("echo")[0]["pid"])
        assert time.monotonic() - started >= 0.5


async def test_a_fault_fires_as_often_as_configured_after_the_skipped_requests(pod, http):
    once = pod.inject(fault("server_error", operation="health", times=3, skip=1))
    codes = [(await http.get("/e/health")).status_code for _ in range(6)]
    assert codes == [200, 503, 503, 503, 200, 200]
    assert pod.fired(once) == 3
    pod.inject(fault("server_error", operation="health", times=None))
    assert {(await http.get("/e/health")).status_code for _ in range(5)} == {503}
    pod.clear_faults()
    assert (await http.get("/e/health")).status_code == 200


async def test_a_fault_applies_only_to_its_endpoint_operation_and_task(pod, http):
    pod.inject(fault("server_error", endpoint="none", operation="run", task="expand", times=None))
    fine = [("e", "expand"), ("none", "caption"), ("none", None)]
    for name, task in fine:
        assert (await http.post(f"/{name}/run", json={"input": {"task": task}})).status_code == 200
    assert (await http.post("/none/run", json={"input": {"task": "expand"}})).status_code == 503
    assert (await http.get("/none/health")).status_code == 200


async def test_a_fault_of_one_task_also_applies_to_that_jobs_status(pod, http):
    job_id = (await http.post("/none/run", json={"input": {"task": "expand"}})).json()["id"]
    other = (await http.post("/none/run", json={"input": {"task": "caption"}})).json()["id"]
    pod.inject(fault("server_error", operation="status", task="expand", times=None))
    assert (await status(http, job_id, "none")).status_code == 503
    assert (await status(http, other, "none")).status_code == 200


async def test_jobs_of_an_unread_answer_are_queued_again(pod, http, worker):
    pod.inject(fault("truncate", operation="job-take"))
    job_id = await submit(http)
    with pytest.raises(httpx.RemoteProtocolError):
        await worker.take()
    assert (await worker.take())["id"] == job_id


async def test_faults_are_added_listed_and_ended_over_http(pod, http):
    control = f"{pod.url}/localpod/faults"
    added = await http.post(control, json={"kind": "throttle", "endpoint": "e", "times": None})
    assert added.status_code == 201
    assert (await http.get("/e/health")).status_code == 429
    listed = (await http.get(control)).json()["faults"]
    assert [(one["id"], one["kind"], one["fired"]) for one in listed] == [(added.json()["id"], "throttle", 1)]
    assert (await http.delete(f"{control}/{added.json()['id']}")).json() == {"faults": []}
    assert (await http.get("/e/health")).status_code == 200
    refused = await http.post(control, json={"kind": "gremlin"})
    assert refused.status_code == 400
    assert "kind" in refused.json()["error"]


async def test_state_lists_endpoints_workers_and_faults(pod, http):
    pod.inject(fault("throttle", endpoint="nowhere"))
    state = (await http.get(f"{pod.url}/localpod/state")).json()
    assert set(state["endpoints"]) == {"e", "pair", "none"}
    assert len(state["endpoints"]["pair"]["processes"]) == 2
    assert state["faults"][0]["kind"] == "throttle"


async def test_an_answer_fault_applies_to_the_next_answer_with_a_job():
    options = Options(shutdown_grace_s=0, poll_timeout_s=0.05, worker_key=WORKER_KEY)
    async with (
        Localpod({"e": manual()}, options) as pod,
        httpx.AsyncClient(base_url=pod.base_url, headers={"Authorization": "x"}) as http,
    ):
        await until(lambda: pids(pod))
        worker = ManualWorker(http, "e", pod.workers("e")[0]["id"])
        met = pod.inject(fault("not_json", operation="job-take"))
        assert await worker.take() is None
        assert pod.fired(met) == 0
        job_id = await submit(http)
        with pytest.raises(ValueError, match="Expecting value"):
            await worker.take()
        assert (await worker.take())["id"] == job_id
