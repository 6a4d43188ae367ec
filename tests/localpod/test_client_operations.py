"""The client API. The test sends the worker's requests itself."""

import asyncio

import httpx
import pytest

from localpod import Localpod, Options
from tests.localpod.manual_worker import manual, status, submit


async def test_run_answers_at_once_and_status_follows_the_job_to_its_end(http, worker):
    answer = await http.post("/e/run", json={"input": {"n": 1}})
    job_id = answer.json()["id"]
    assert answer.json() == {"id": job_id, "status": "IN_QUEUE"}
    assert job_id.endswith("-u1")
    assert (await status(http, job_id)).json() == {"id": job_id, "status": "IN_QUEUE"}
    assert await worker.take() == {"id": job_id, "input": {"n": 1}}
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "IN_PROGRESS"
    assert seen["workerId"] == worker.id
    await worker.done(job_id, {"output": {"text": "hello"}})
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "COMPLETED"
    assert seen["output"] == {"text": "hello"}
    assert {"delayTime", "executionTime"} <= seen.keys()


async def test_runsync_waits_for_the_result(http, worker):
    waiting = asyncio.create_task(http.post("/e/runsync", json={"input": {"n": 1}}))
    job = await worker.take()
    assert job["id"].startswith("sync-")
    await worker.done(job["id"], {"output": 7})
    assert (await waiting).json()["output"] == 7


async def test_runsync_answers_with_the_current_state_when_its_wait_is_over(http):
    answer = await http.post("/none/runsync?wait=1000", json={"input": {"n": 1}})
    assert answer.status_code == 200
    assert answer.json()["status"] == "IN_QUEUE"
    assert (await status(http, answer.json()["id"], "none")).json()["status"] == "IN_QUEUE"


@pytest.mark.parametrize("wait", ["999", "300001", "soon", "-1"])
async def test_a_wait_outside_of_its_bounds_is_refused(http, wait):
    assert (await http.post(f"/none/runsync?wait={wait}", json={"input": 1})).status_code == 400


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"[]", b"{}", b'{"input": null}', b'{"input": NaN}', b"\xff", b"[" * 100_000]
)
async def test_invalid_envelope_is_refused_and_the_next_job_is_accepted(http, worker, content):
    refused = await http.post("/e/run", content=content)
    assert refused.status_code == 400
    assert "error" in refused.json()
    job_id = await submit(http)
    assert (await worker.take())["id"] == job_id


async def test_a_lone_surrogate_reaches_the_worker_as_it_was_sent(http, worker):
    await http.post("/e/run", content=b'{"input": {"text": "\\ud800"}}')
    assert (await worker.take())["input"] == {"text": "\ud800"}


@pytest.mark.parametrize(("operation", "limit"), [("run", 10_000_000), ("runsync", 20_000_000)])
async def test_a_payload_at_the_limit_is_accepted_and_one_byte_more_is_refused(http, operation, limit):
    frame = len(b'{"input":""}')
    wait = "?wait=1000" if operation == "runsync" else ""
    fits = await http.post(f"/none/{operation}{wait}", content=b'{"input":"' + b"x" * (limit - frame) + b'"}')
    assert fits.status_code == 200
    too_large = await http.post(f"/none/{operation}{wait}", content=b'{"input":"' + b"x" * (limit - frame + 1) + b'"}')
    assert too_large.status_code == 400
    assert "max body size" in too_large.json()["error"]


async def test_unknown_endpoints_operations_and_jobs_are_404(http):
    assert (await http.post("/nowhere/run", json={"input": 1})).status_code == 404
    assert (await http.post("/e/openai", json={"input": 1})).status_code == 404
    assert (await http.get("/e/status/no-such-job")).status_code == 404
    assert (await http.post("/e/cancel/no-such-job")).status_code == 404


async def test_an_operation_with_the_wrong_method_is_405(http):
    assert (await http.get("/e/run")).status_code == 405
    assert (await http.get("/e/cancel/x")).status_code == 405


async def test_missing_key_is_401_and_any_key_is_accepted_if_none_is_configured(pod, http):
    async with httpx.AsyncClient(base_url=pod.base_url) as bare:
        assert (await bare.get("/e/health")).status_code == 401
        assert (await bare.get("/e/health", headers={"Authorization": "raw"})).status_code == 200


async def test_only_the_configured_key_is_accepted_bearer_or_raw():
    async with (
        Localpod({"e": manual(0)}, Options(key="right")) as pod,
        httpx.AsyncClient(base_url=pod.base_url) as http,
    ):
        codes = [
            (await http.get("/e/health", headers={"Authorization": given})).status_code
            for given in ("Bearer right", "right", "Bearer wrong", "rightt", "")
        ]
        assert codes == [200, 200, 401, 401, 401]
        assert (await http.get(f"{pod.url}/localpod/state")).status_code == 401


async def test_cancelling_a_running_job_reaches_its_worker_within_a_moment(http, worker):
    job_id = await submit(http)
    await worker.take()
    listening = asyncio.create_task(worker.stops())
    await asyncio.sleep(0.05)
    assert (await http.post(f"/e/cancel/{job_id}")).json() == {"id": job_id, "status": "CANCELLED"}
    assert (await asyncio.wait_for(listening, 1)).json() == {"jobsToStop": [job_id]}
    assert (await status(http, job_id)).json()["status"] == "CANCELLED"


async def test_cancelling_a_finished_job_keeps_it_finished(http, worker):
    job_id = await submit(http)
    await worker.take()
    await worker.done(job_id, {"output": 1})
    assert (await http.post(f"/e/cancel/{job_id}")).json()["status"] == "COMPLETED"


async def test_retry_runs_a_failed_job_again_under_its_id(http, worker):
    job_id = await submit(http)
    await worker.take()
    await worker.done(job_id, {"error": "bad"})
    seen = (await status(http, job_id)).json()
    assert (seen["status"], seen["error"]) == ("FAILED", "bad")
    assert (await http.post(f"/e/retry/{job_id}")).json() == {"id": job_id, "status": "IN_QUEUE"}
    assert (await worker.take())["id"] == job_id
    await worker.done(job_id, {"output": 1})
    assert (await http.post(f"/e/retry/{job_id}")).status_code == 400


async def test_purge_removes_queued_jobs_and_answers_their_number(http):
    jobs = [await submit(http, "none") for _ in range(3)]
    assert (await http.post("/none/purge-queue")).json() == {"removed": 3, "status": "completed"}
    assert (await status(http, jobs[0], "none")).json()["status"] == "CANCELLED"


async def test_health_counts_jobs_and_workers(http, worker):
    first, _second = await submit(http), await submit(http)
    assert (await http.get("/e/health")).json()["workers"]["initializing"] == 1
    await worker.take()
    health = (await http.get("/e/health")).json()
    assert health["jobs"] == {"completed": 0, "failed": 0, "inProgress": 1, "inQueue": 1, "retried": 0}
    workers = {"idle": 0, "initializing": 0, "ready": 1, "running": 1, "throttled": 0, "unhealthy": 0}
    assert health["workers"] == workers
    await worker.done(first, {"error": "bad"})
    health = (await http.get("/e/health")).json()
    assert health["jobs"]["failed"] == 1
    assert health["workers"]["idle"] == 1


async def test_more_submissions_than_the_rate_limit_get_429(http):
    codes = [(await http.post("/none/purge-queue")).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


async def test_concurrent_cancels_above_the_limit_get_429(pod, http):
    limiter = pod.served["none"].limiters["cancel"]
    job_id = await submit(http, "none")
    for _ in range(20):
        assert limiter.acquire(0)
    assert (await http.post(f"/none/cancel/{job_id}")).status_code == 429
    limiter.release()
    assert (await http.post(f"/none/cancel/{job_id}")).status_code == 200


async def test_execution_timeout_ends_a_running_job_as_timed_out(pod, http, worker):
    job_id = await submit(http, policy={"executionTimeout": 5000})
    await worker.take()
    job = pod.served["e"].endpoint.jobs[job_id]
    pod.served["e"].endpoint.clock = lambda: job.taken_at + 5.001
    pod.served["e"].endpoint.advance()
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "TIMED_OUT"
    assert seen["executionTime"] == 5001
    assert (await worker.stops()).json() == {"jobsToStop": [job_id]}


async def test_status_with_ttl_deletes_the_result_after_it(http, worker):
    job_id = await submit(http)
    await worker.take()
    await worker.done(job_id, {"output": 1})
    assert (await http.get(f"/e/status/{job_id}?ttl=100")).status_code == 200
    await asyncio.sleep(0.2)
    assert (await status(http, job_id)).status_code == 404


async def test_a_client_that_disconnects_from_runsync_doesnt_cancel_the_job(http, worker):
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/e/runsync", json={"input": 1}, timeout=0.2)
    job = await worker.take()
    await worker.done(job["id"], {"output": 1})
    assert (await status(http, job["id"])).json()["status"] == "COMPLETED"
