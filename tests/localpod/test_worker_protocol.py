"""The protocol that workers speak, request by request."""

import asyncio
import os
import signal
import socket

import pytest

from tests.localpod.handworker import pids, status, submit, until


async def test_a_batch_holds_what_waits_up_to_its_size(http, hand):
    jobs = [await submit(http) for _ in range(3)]
    assert [job["id"] for job in (await hand.take_batch(2)).json()] == jobs[:2]
    assert [job["id"] for job in (await hand.take_batch(5)).json()] == jobs[2:]


async def test_an_open_question_is_answered_the_moment_a_job_comes(http, hand):
    asking = asyncio.create_task(hand.take())
    await asyncio.sleep(0.05)
    job_id = await submit(http)
    assert (await asyncio.wait_for(asking, 1))["id"] == job_id


async def test_progress_shows_in_status_until_the_result_replaces_it(http, hand):
    job_id = await submit(http)
    await hand.take()
    await hand.done(job_id, {"status": "IN_PROGRESS", "output": {"step": 3}})
    seen = (await status(http, job_id)).json()
    assert (seen["status"], seen["output"]) == ("IN_PROGRESS", {"step": 3})
    await hand.done(job_id, {"output": "done"})
    await hand.done(job_id, {"status": "IN_PROGRESS", "output": {"step": 4}})
    seen = (await status(http, job_id)).json()
    assert (seen["status"], seen["output"]) == ("COMPLETED", "done")


async def test_a_result_over_the_limit_is_refused_and_the_job_completes_without_output(http, hand):
    job_id = await submit(http)
    await hand.take()
    refused = await hand.done(job_id, None, content=b'{"output":"' + b"x" * 10_000_000 + b'"}')
    assert refused.status_code == 400
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "COMPLETED"
    assert "output" not in seen


async def test_a_runsync_result_may_have_twice_the_size(http, hand):
    waiting = asyncio.create_task(http.post("/e/runsync", json={"input": 1}))
    job = await hand.take()
    await hand.done(job["id"], {"output": "x" * 15_000_000})
    assert len((await waiting).json()["output"]) == 15_000_000


async def test_a_result_that_is_not_json_fails_the_job_with_a_reason(http, hand):
    job_id = await submit(http)
    await hand.take()
    assert (await hand.done(job_id, None, content=b'{"output": {"score": NaN}}')).status_code == 400
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "FAILED"
    assert "not JSON" in seen["error"]


async def test_an_error_object_is_lost_and_an_error_string_is_told(http, hand):
    told, lost = await submit(http), await submit(http)
    await hand.take_batch(2)
    await hand.done(told, {"error": "bad", "output": {"partial": 1}})
    await hand.done(lost, {"error": {"code": "bad"}})
    seen = (await status(http, told)).json()
    assert (seen["status"], seen["error"], seen["output"]) == ("FAILED", "bad", {"partial": 1})
    seen = (await status(http, lost)).json()
    assert seen["status"] == "COMPLETED"
    assert "output" not in seen
    assert "error" not in seen


async def test_chunks_arrive_once_and_in_order_and_large_ones_are_refused(http, hand):
    job_id = await submit(http)
    await hand.take()
    for number in range(3):
        assert (await hand.chunk(job_id, {"output": number})).status_code == 200
    assert (await hand.chunk(job_id, {"output": "x" * 1_000_000})).status_code == 400
    seen = (await http.get(f"/e/stream/{job_id}")).json()
    assert seen["status"] == "IN_PROGRESS"
    assert seen["stream"] == [{"output": 0}, {"output": 1}, {"output": 2}]
    assert (await http.get(f"/e/stream/{job_id}")).json()["stream"] == []


async def test_a_second_post_of_the_same_result_is_acknowledged_and_changes_nothing(pod, http, hand):
    job_id = await submit(http)
    await hand.take()
    assert (await hand.done(job_id, {"output": 1})).status_code == 200
    assert (await hand.done(job_id, {"output": 2})).status_code == 200
    assert (await status(http, job_id)).json()["output"] == 1
    assert pod.counters("e")["late_results"] == 1


async def test_a_job_for_a_connection_that_was_closed_goes_to_the_next_worker(pod, http, pair):
    gone, other = pair
    _, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(f"GET /v2/pair/job-take/{gone.id}?gpu=CPU HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await until(lambda: pod.served["pair"].endpoint._takers)
    # The job's hand-over and the closing race here as closely as one process can make them.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
    job_id = await submit(http, "pair")
    job = await asyncio.wait_for(other.take(), 2)
    assert job["id"] == job_id


async def test_a_killed_workers_job_is_requeued_once_and_then_fails_with_where_its_log_is(pod, http, hand):
    job_id = await submit(http)
    await hand.take()
    os.kill(pod.workers("e")[0]["pid"], signal.SIGKILL)
    await until(lambda: pod.counters("e").get("requeued") == 1)
    await until(lambda: pids(pod))
    hand.id = pod.workers("e")[0]["id"]
    assert (await hand.take())["id"] == job_id
    assert pod.kill_worker(hand.id)
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


async def test_a_worker_that_stops_pinging_is_replaced_and_its_job_requeued(pod, http, hand):
    job_id = await submit(http)
    await hand.take()
    await http.get(f"/e/ping/{hand.id}?job_id={job_id}&runpod_version=1.12.0")
    fleet = pod.served["e"].fleet
    worker = fleet.workers[hand.id]
    worker.seat.last_seen -= fleet._times.ping_timeout_s
    fleet._check_ping(worker)
    await until(lambda: pod.counters("e").get("requeued") == 1)
    assert (await status(http, job_id)).json()["status"] == "IN_QUEUE"


@pytest.mark.parametrize("path", ["job-take/stranger", "job-stop/stranger", "ping/stranger", "job-take"])
async def test_a_worker_nobody_started_is_not_served(http, path):
    assert (await http.get(f"/e/{path}?gpu=CPU")).status_code == 404


async def test_a_heartbeat_that_names_a_cancelled_job_brings_the_stop_again(http, hand):
    job_id = await submit(http)
    await hand.take()
    await http.post(f"/e/cancel/{job_id}")
    assert (await hand.stops()).json() == {"jobsToStop": [job_id]}
    listening = asyncio.create_task(hand.stops())
    await http.get(f"/e/ping/{hand.id}?job_id={job_id}&runpod_version=1.12.0")
    assert (await asyncio.wait_for(listening, 1)).json() == {"jobsToStop": [job_id]}


async def test_a_worker_that_asks_for_nothing_while_jobs_wait_is_replaced(pod, http, hand):
    first, second = await submit(http), await submit(http)
    await hand.take()
    await http.post(f"/e/cancel/{first}")
    fleet = pod.served["e"].fleet
    worker = fleet.workers[hand.id]
    worker.seat.asked_at = worker.seat.idle_since = worker.seat.idle_since - 100
    fleet._check_idle(worker)
    await until(worker.gone.done)
    await until(lambda: pids(pod))
    hand.id = pod.workers("e")[0]["id"]
    assert (await hand.take())["id"] == second


async def test_a_worker_told_to_stop_gets_its_open_question_back_and_no_job(pod, http, hand):
    asking = asyncio.create_task(hand.take())
    await until(lambda: pod.served["e"].endpoint._takers)
    fleet = pod.served["e"].fleet
    fleet.retire(fleet.workers[hand.id])
    job_id = await submit(http)
    assert await asyncio.wait_for(asking, 2) is None
    assert (await status(http, job_id)).json()["status"] == "IN_QUEUE"
