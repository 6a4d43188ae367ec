"""The worker protocol, request by request."""

import asyncio
import os
import signal
import socket

import pytest

from tests.localpod.manual_worker import AS_WORKER, WORKER_KEY, pids, status, submit, until


async def test_a_batch_contains_the_queued_jobs_up_to_its_size(http, worker):
    jobs = [await submit(http) for _ in range(3)]
    assert [job["id"] for job in (await worker.take_batch(2)).json()] == jobs[:2]
    assert [job["id"] for job in (await worker.take_batch(5)).json()] == jobs[2:]


async def test_an_open_poll_is_answered_as_soon_as_a_job_is_queued(http, worker):
    asking = asyncio.create_task(worker.take())
    await asyncio.sleep(0.05)
    job_id = await submit(http)
    assert (await asyncio.wait_for(asking, 1))["id"] == job_id


async def test_progress_shows_in_status_until_the_result_replaces_it(http, worker):
    job_id = await submit(http)
    await worker.take()
    await worker.done(job_id, {"status": "IN_PROGRESS", "output": {"step": 3}})
    seen = (await status(http, job_id)).json()
    assert (seen["status"], seen["output"]) == ("IN_PROGRESS", {"step": 3})
    await worker.done(job_id, {"output": "done"})
    await worker.done(job_id, {"status": "IN_PROGRESS", "output": {"step": 4}})
    seen = (await status(http, job_id)).json()
    assert (seen["status"], seen["output"]) == ("COMPLETED", "done")


async def test_a_result_over_the_limit_is_refused_and_the_job_completes_without_output(http, worker):
    job_id = await submit(http)
    await worker.take()
    refused = await worker.done(job_id, None, content=b'{"output":"' + b"x" * 10_000_000 + b'"}')
    assert refused.status_code == 400
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "COMPLETED"
    assert "output" not in seen


async def test_a_runsync_result_may_have_twice_the_size(http, worker):
    waiting = asyncio.create_task(http.post("/e/runsync", json={"input": 1}))
    job = await worker.take()
    await worker.done(job["id"], {"output": "x" * 15_000_000})
    assert len((await waiting).json()["output"]) == 15_000_000


async def test_a_result_that_is_not_json_fails_the_job_with_a_reason(http, worker):
    job_id = await submit(http)
    await worker.take()
    assert (await worker.done(job_id, None, content=b'{"output": {"score": NaN}}')).status_code == 400
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "FAILED"
    assert "not JSON" in seen["error"]


async def test_error_object_is_dropped_and_error_string_reported(http, worker):
    failed, lost = await submit(http), await submit(http)
    await worker.take_batch(2)
    await worker.done(failed, {"error": "bad", "output": {"partial": 1}})
    await worker.done(lost, {"error": {"code": "bad"}})
    seen = (await status(http, failed)).json()
    assert (seen["status"], seen["error"], seen["output"]) == ("FAILED", "bad", {"partial": 1})
    seen = (await status(http, lost)).json()
    assert seen["status"] == "COMPLETED"
    assert "output" not in seen
    assert "error" not in seen


async def test_chunks_arrive_once_and_in_order_and_large_ones_are_refused(http, worker):
    job_id = await submit(http)
    await worker.take()
    for number in range(3):
        assert (await worker.chunk(job_id, {"output": number})).status_code == 200
    assert (await worker.chunk(job_id, {"output": "x" * 1_000_000})).status_code == 400
    seen = (await http.get(f"/e/stream/{job_id}")).json()
    assert seen["status"] == "IN_PROGRESS"
    assert seen["stream"] == [{"output": 0}, {"output": 1}, {"output": 2}]
    assert (await http.get(f"/e/stream/{job_id}")).json()["stream"] == []


async def test_a_second_post_of_the_same_result_is_acknowledged_and_changes_nothing(pod, http, worker):
    job_id = await submit(http)
    await worker.take()
    assert (await worker.done(job_id, {"output": 1})).status_code == 200
    assert (await worker.done(job_id, {"output": 2})).status_code == 200
    assert (await status(http, job_id)).json()["output"] == 1
    assert pod.counters("e")["late_results"] == 1


async def test_job_for_a_closed_connection_is_delivered_to_the_next_worker(pod, http, pair):
    gone, other = pair
    _, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    headers = f"Host: 127.0.0.1\r\nAuthorization: {WORKER_KEY}"
    writer.write(f"GET /v2/pair/job-take/{gone.id}?gpu=CPU HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    await until(lambda: pod.served["pair"].endpoint._pending_takes)
    # The job is delivered and the connection is closed at nearly the same time.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
    job_id = await submit(http, "pair")
    job = await asyncio.wait_for(other.take(), 2)
    assert job["id"] == job_id


async def test_job_of_a_killed_worker_is_requeued_once_then_fails_and_names_the_log(pod, http, worker):
    job_id = await submit(http)
    await worker.take()
    os.kill(pod.workers("e")[0]["pid"], signal.SIGKILL)
    await until(lambda: pod.counters("e").get("requeued") == 1)
    await until(lambda: pids(pod))
    worker.id = pod.workers("e")[0]["id"]
    assert (await worker.take())["id"] == job_id
    assert pod.kill_worker(worker.id)
    await until(lambda: pod.counters("e").get("FAILED") == 1)
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "FAILED"
    assert "was killed" in seen["error"]
    assert str(pod.state_dir) in seen["error"]


async def test_stop_pod_stops_that_worker_after_the_result(pod, http, pair):
    job_id = await submit(http, "pair")
    asking = asyncio.create_task(pair[0].take())
    await asking
    await pair[0].done(job_id, {"output": 1, "stopPod": True})
    await until(lambda: pair[0].id not in {worker["id"] for worker in pod.workers("pair")})
    assert (await status(http, job_id, "pair")).json()["output"] == 1
    assert pair[1].id in {worker["id"] for worker in pod.workers("pair")}


async def test_a_worker_that_stops_pinging_is_replaced_and_its_job_requeued(pod, http, worker):
    job_id = await submit(http)
    await worker.take()
    await worker.ping(job_id)
    worker_pool = pod.served["e"].worker_pool
    process = worker_pool.workers[worker.id]
    process.slot.last_seen -= worker_pool._times.ping_timeout_s
    worker_pool._check_ping(process)
    await until(lambda: pod.counters("e").get("requeued") == 1)
    assert (await status(http, job_id)).json()["status"] == "IN_QUEUE"


@pytest.mark.parametrize("path", ["job-take/unknown", "job-stop/unknown", "ping/unknown", "job-take"])
async def test_an_unknown_worker_is_refused(http, path):
    assert (await http.get(f"/e/{path}?gpu=CPU", headers=AS_WORKER)).status_code == 404


async def test_a_heartbeat_that_names_a_cancelled_job_repeats_the_stop(http, worker):
    job_id = await submit(http)
    await worker.take()
    await http.post(f"/e/cancel/{job_id}")
    assert (await worker.stops()).json() == {"jobsToStop": [job_id]}
    listening = asyncio.create_task(worker.stops())
    await worker.ping(job_id)
    assert (await asyncio.wait_for(listening, 1)).json() == {"jobsToStop": [job_id]}


async def test_worker_that_requests_no_job_while_jobs_wait_is_replaced(pod, http, worker):
    first, second = await submit(http), await submit(http)
    await worker.take()
    await http.post(f"/e/cancel/{first}")
    worker_pool = pod.served["e"].worker_pool
    process = worker_pool.workers[worker.id]
    process.slot.last_poll_at = process.slot.idle_since = process.slot.idle_since - 100
    worker_pool._check_idle(process)
    await until(process.exited.done)
    await until(lambda: pids(pod))
    worker.id = pod.workers("e")[0]["id"]
    assert (await worker.take())["id"] == second


async def test_a_stopped_workers_open_poll_is_answered_without_a_job(pod, http, worker):
    asking = asyncio.create_task(worker.take())
    await until(lambda: pod.served["e"].endpoint._pending_takes)
    worker_pool = pod.served["e"].worker_pool
    worker_pool.retire(worker_pool.workers[worker.id])
    job_id = await submit(http)
    assert await asyncio.wait_for(asking, 2) is None
    assert (await status(http, job_id)).json()["status"] == "IN_QUEUE"
