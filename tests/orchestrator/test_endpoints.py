"""Stage calls against a platform with scripted answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import pytest

from core.contracts import StageProgress
from core.errors import (
    BadAnswer,
    BlackPicture,
    DeadlineExceeded,
    EndpointUnavailable,
    Misconfigured,
    PolicyBlocked,
    StageFailed,
    Throttled,
    TooLarge,
    WorkerStopping,
)
from core.settings import Pool
from orchestrator.deadlines import Deadline
from tests.orchestrator.conftest import OUTPUT, Connect, Reply, ScriptedPlatform, done, long_call, short_call


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


def failed(error: object) -> Reply:
    return Reply({"status": "FAILED", "error": error})


async def wait_for_request(platform: ScriptedPlatform, operation: str, times: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(platform.requests_for(operation)) < times:  # noqa: ASYNC110 - the server is no part of the test
            await asyncio.sleep(0.01)


async def test_short_stage_is_answered_by_its_submit(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("runsync", Reply(done(delayTime=3, workerId="w")))
    answered = await connect().call(short_call(), soon())
    assert (answered.output, answered.endpoint_id, answered.worker_id) == (OUTPUT, "a", "w")
    assert (answered.queue_ms, answered.execution_ms, answered.attempts, answered.lost) == (3, 5, 1, 0)
    assert [request.operation for request in platform.requests] == ["runsync"]


async def test_short_stage_without_an_immediate_result_is_polled(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("runsync", Reply({"status": "IN_PROGRESS"}))
    answered = await connect().call(short_call(), soon())
    assert [request.operation for request in platform.requests] == ["runsync", "status"]
    assert answered.output == OUTPUT


async def test_long_stage_is_polled_and_its_progress_passed_on(connect: Connect, platform: ScriptedPlatform) -> None:
    step = {"stage": "generate", "step": 3, "of": 8, "percent": 37}
    platform.replies("status", Reply({"status": "IN_PROGRESS", "output": step}), Reply({"status": "IN_PROGRESS"}))
    seen: list[StageProgress] = []
    await connect().call(long_call(), soon(), seen.append)
    assert [(report.step, report.percent) for report in seen] == [(3, 37)]


async def test_job_limits_are_rounded_up_to_the_platforms_minimum(connect: Connect, platform: ScriptedPlatform) -> None:
    await connect().call(long_call(limit_s=1.5), soon(3))
    assert platform.requests[0].body["policy"] == {"executionTimeout": 5_000, "ttl": 10_000}
    await connect(queue_allowance_s=100).call(long_call(limit_s=60), soon(1000))
    assert platform.requests_for("run")[1].body["policy"] == {"executionTimeout": 60_000, "ttl": 160_000}


async def test_callers_storage_travels_with_the_job(connect: Connect, platform: ScriptedPlatform) -> None:
    await connect().call(long_call(s3_config={"bucketName": "b"}), soon())
    assert platform.requests[0].body["s3Config"] == {"bucketName": "b"}


async def test_endpoints_of_a_pool_are_used_in_turn(connect: Connect, platform: ScriptedPlatform) -> None:
    endpoints = connect("a", "b", "c")
    for _ in range(6):
        await endpoints.call(short_call(), soon())
    assert Counter(request.endpoint for request in platform.requests) == {"a": 2, "b": 2, "c": 2}


async def test_retry_uses_another_endpoint_at_once(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("runsync", Reply({}, status=503, headers={"Retry-After": "60"}), endpoint="a")
    answered = await connect("a", "b").call(short_call(), soon())
    assert (answered.endpoint_id, answered.attempts) == ("b", 2)


async def test_endpoint_that_does_not_answer_gets_no_more_calls(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("runsync", Reply({}, status=503), endpoint="a")
    endpoints = connect("a", "b", circuit_failures=2, circuit_open_s=60)
    for _ in range(10):
        await endpoints.call(short_call(), soon())
    assert Counter(request.endpoint for request in platform.requests) == {"a": 2, "b": 10}


async def test_pool_without_a_closed_circuit_returns_a_retry_time(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("runsync", Reply({}, status=503))
    endpoints = connect(circuit_failures=1, circuit_open_s=20)
    with pytest.raises(EndpointUnavailable):
        await endpoints.call(short_call(), soon())
    requests = len(platform.requests)
    with pytest.raises(EndpointUnavailable) as refused:
        await endpoints.call(short_call(), soon())
    assert len(platform.requests) == requests
    assert 15_000 < (refused.value.retry_after_ms or 0) <= 20_000


async def test_half_open_circuit_lets_one_call_through_at_a_time(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("runsync", Reply({}, status=503), Reply(after_s=0.3))
    endpoints = connect(circuit_failures=1, circuit_open_s=0.1, retry_budget=0)
    with pytest.raises(EndpointUnavailable):
        await endpoints.call(short_call(), soon())
    await asyncio.sleep(0.15)
    calls = await asyncio.gather(*(endpoints.call(short_call(), soon()) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(call, EndpointUnavailable) for call in calls) == 4
    assert len(platform.requests) == 2
    await endpoints.call(short_call(), soon())  # the probe has closed the circuit


async def test_failed_job_does_not_open_the_circuit_of_its_endpoint(
    connect: Connect, platform: ScriptedPlatform
) -> None:
    # One caller's unreachable bucket must not close the pool for all others.
    for _ in range(10):
        platform.replies("runsync", failed(EndpointUnavailable("no bucket", stage="storage").to_wire()))
    endpoints = connect(circuit_failures=2, circuit_open_s=60, retry_budget=0)
    for _ in range(10):
        with pytest.raises(EndpointUnavailable):
            await endpoints.call(short_call(), soon())
    assert (await endpoints.call(short_call(), soon())).output == OUTPUT


async def test_throttled_submit_waits_for_retry_after(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("runsync", Reply({}, status=429, headers={"Retry-After": "0.4"}))
    started = time.monotonic()
    answered = await connect().call(short_call(), soon())
    assert time.monotonic() - started >= 0.4
    assert (answered.attempts, answered.lost) == (2, 0)


async def test_throttled_submit_does_not_spend_the_retry_budget(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("runsync", *[Reply({}, status=429, headers={"Retry-After": "0"})] * 4)
    assert (await connect(retry_budget=0).call(short_call(), soon(20))).attempts == 5


async def test_throttling_beyond_the_deadline_fails_at_once(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("runsync", Reply({}, status=429, headers={"Retry-After": "60"}))
    started = time.monotonic()
    with pytest.raises(Throttled) as refused:
        await connect().call(short_call(), soon(3))
    assert time.monotonic() - started < 1
    assert refused.value.retry_after_ms == 60_000


async def test_lost_submit_is_repeated_with_the_same_payload(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("run", Reply(drop=True))
    endpoints = connect()
    answered = await endpoints.call(long_call(), soon())
    first, second = platform.requests_for("run")
    assert first.body["input"] == second.body["input"] == {"key": "k"}
    assert (answered.attempts, answered.lost, endpoints.lost_submits) == (2, 1, 1)


@pytest.mark.parametrize("lost", [Reply(drop=True), Reply("<html>"), Reply({}, status=502), Reply({"id": None})])
async def test_second_lost_submit_is_not_repeated(connect: Connect, platform: ScriptedPlatform, lost: Reply) -> None:
    platform.always_replies("run", lost)
    with pytest.raises(EndpointUnavailable):
        await connect().call(long_call(), soon())
    assert len(platform.requests_for("run")) == 2


async def test_retries_stop_at_the_end_of_the_budget(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("runsync", failed(WorkerStopping("left").to_wire()))
    endpoints = connect(retry_budget=0.25)
    calls = [endpoints.call(short_call(), soon(30)) for _ in range(8)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, WorkerStopping) for end in ends)
    # The budget starts with ten and grows by one per four first attempts; eight calls could use sixteen.
    assert len(platform.requests) == 8 + 10 + 2


async def test_transient_failure_of_a_worker_is_retried(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("runsync", failed(BlackPicture("black").to_wire()), failed(WorkerStopping("left").to_wire()))
    assert (await connect().call(short_call(), soon())).attempts == 3


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (failed(PolicyBlocked("no", categories=("minors",)).to_wire()), PolicyBlocked),
        (Reply({"status": "COMPLETED"}), BadAnswer),
        (Reply({"status": "COMPLETED", "output": "text"}), BadAnswer),
        (Reply({"status": "TIMED_OUT"}), DeadlineExceeded),
        (Reply({}, status=404), StageFailed),
        (Reply({}, status=401), Misconfigured),
        (Reply({}, status=413), TooLarge),
    ],
)
async def test_permanent_failures_are_not_retried(
    connect: Connect, platform: ScriptedPlatform, answer: Reply, raised: type[Exception]
) -> None:
    platform.always_replies("runsync", answer)
    with pytest.raises(raised) as error:
        await connect().call(short_call(), soon())
    assert error.value.stage == "generate"  # type: ignore[attr-defined]  # every ImgPodError has one
    assert len(platform.requests_for("runsync")) == 1


async def test_traceback_of_a_worker_is_not_passed_on(connect: Connect, platform: ScriptedPlatform) -> None:
    trace = json.dumps({"error_type": "ValueError", "error_traceback": "/secret/path.py", "error_message": "my prompt"})
    platform.always_replies("runsync", failed(trace))
    with pytest.raises(StageFailed) as error:
        await connect(retry_budget=0).call(short_call(), soon())
    assert "secret" not in error.value.to_wire()
    assert "prompt" not in error.value.to_wire()


async def test_error_object_is_a_failure(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("runsync", failed({"code": "policy_blocked", "message": "words"}))
    with pytest.raises(StageFailed) as error:
        await connect(retry_budget=0).call(short_call(), soon())
    assert "words" not in error.value.message


async def test_unreadable_status_is_requested_again(connect: Connect, platform: ScriptedPlatform) -> None:
    throttled = Reply({}, status=429, headers={"Retry-After": "0.1"})
    platform.replies("status", Reply(drop=True), Reply("<html>"), Reply({}, status=500), throttled)
    answered = await connect(retry_budget=0).call(long_call(), soon())
    assert (answered.output, answered.attempts) == (OUTPUT, 1)
    assert len(platform.requests_for("run")) == 1


async def test_job_unknown_to_the_platform_is_not_run_again(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("status", Reply({}, status=404))
    with pytest.raises(StageFailed):
        await connect().call(long_call(), soon())
    assert len(platform.requests_for("run")) == 1


@pytest.mark.parametrize("call", [long_call(), short_call()])
async def test_stalled_submit_ends_with_the_deadline_and_its_job_is_cancelled(
    connect: Connect, platform: ScriptedPlatform, call: object
) -> None:
    platform.always_replies("run", Reply(after_s=1.2))
    platform.always_replies("runsync", Reply({"status": "IN_QUEUE"}, after_s=1.2))
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await connect().call(call, soon(0.4))  # type: ignore[arg-type]  # a Call
    assert time.monotonic() - started < 1
    await wait_for_request(platform, "cancel")


async def test_job_is_cancelled_at_the_deadline(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("status", Reply({"status": "IN_PROGRESS"}))
    with pytest.raises(DeadlineExceeded):
        await connect().call(long_call(), soon(0.3))
    await wait_for_request(platform, "cancel")
    assert platform.requests_for("cancel")[0].job_id == platform.requests_for("status")[0].job_id


async def test_job_that_completes_just_before_the_deadline_returns_its_result(
    connect: Connect, platform: ScriptedPlatform
) -> None:
    platform.replies("status", Reply({"status": "IN_PROGRESS"}), Reply(after_s=0.32))
    assert (await connect().call(long_call(), soon(0.3))).output == OUTPUT


async def test_stage_is_cancelled_at_its_own_time_limit(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("status", Reply({"status": "IN_PROGRESS"}))
    with pytest.raises(DeadlineExceeded, match=r"limit of 0\.3 s"):
        await connect().call(long_call(limit_s=0.3), soon(30))
    await wait_for_request(platform, "cancel")


async def test_job_without_a_worker_fails_after_the_pools_queue_limit(
    connect: Connect, platform: ScriptedPlatform
) -> None:
    platform.always_replies("status", Reply({"status": "IN_QUEUE"}))
    with pytest.raises(EndpointUnavailable, match="text2img has workers"):
        await connect(queue_allowance_s=0.1).call(long_call(limit_s=0.1), soon(30))
    await wait_for_request(platform, "cancel")
    assert len(platform.requests_for("run")) == 1


async def test_cancel_before_the_job_id_is_known_is_sent_when_it_arrives(
    connect: Connect, platform: ScriptedPlatform
) -> None:
    platform.replies("runsync", Reply({"id": "late", "status": "IN_PROGRESS"}, after_s=0.3))
    calling = asyncio.create_task(connect().call(short_call(), soon()))
    await wait_for_request(platform, "runsync")
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert not platform.requests_for("cancel")
    await wait_for_request(platform, "cancel")
    assert platform.requests_for("cancel")[0].job_id == "late"


async def test_job_that_ended_before_its_cancel_is_not_cancelled(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.replies("runsync", Reply(after_s=0.2))
    endpoints = connect()
    calling = asyncio.create_task(endpoints.call(short_call(), soon()))
    await wait_for_request(platform, "runsync")
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await endpoints.close()
    assert not platform.requests_for("cancel")


async def test_cancel_is_repeated_until_it_is_accepted(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("status", Reply({"status": "IN_PROGRESS"}))
    throttled = Reply({}, status=429, headers={"Retry-After": "0.05"})
    platform.replies("cancel", Reply(drop=True), Reply({}, status=503), throttled)
    with pytest.raises(DeadlineExceeded):
        await connect().call(long_call(), soon(0.2))
    await wait_for_request(platform, "cancel", times=4)


async def test_job_that_cannot_end_before_the_deadline_is_not_submitted(
    connect: Connect, platform: ScriptedPlatform
) -> None:
    platform.replies("runsync", Reply(done(executionTime=4_000)))
    endpoints = connect()
    await endpoints.call(short_call(size=7), soon())
    with pytest.raises(DeadlineExceeded):
        await endpoints.call(short_call(size=7), soon(1))
    assert len(platform.requests) == 1
    await endpoints.call(short_call(size=3), soon(1))  # a smaller picture may fit


async def test_wrong_clock_of_the_platform_has_no_effect(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("runsync", Reply(done(executionTime=-90_000, delayTime=float(10**9))))
    platform.replies("status", Reply({"status": "IN_PROGRESS", "delayTime": 10**9}))
    endpoints = connect()
    assert (await endpoints.call(short_call(), soon())).execution_ms == 0
    assert (await endpoints.call(long_call(), soon())).output == OUTPUT


async def test_wake_job_is_submitted_once_to_a_pool_without_workers_and_cancelled(
    connect: Connect, platform: ScriptedPlatform
) -> None:
    endpoints = connect()
    for _ in range(3):
        endpoints.wake(Pool.TEXT2IMG)
    await wait_for_request(platform, "run")
    await asyncio.sleep(0.05)
    (woken,) = platform.requests_for("run")
    assert woken.body["input"] == {"task": "wake"}
    await endpoints.call(long_call(), soon())
    await wait_for_request(platform, "cancel")
    assert len(platform.requests_for("run")) == 2


async def test_pool_with_workers_gets_no_wake_job(connect: Connect, platform: ScriptedPlatform) -> None:
    platform.always_replies("health", Reply({"workers": {"idle": 1, "running": 0}}))
    endpoints = connect()
    endpoints.wake(Pool.TEXT2IMG)
    await wait_for_request(platform, "health")
    await endpoints.close()
    assert not platform.requests_for("run")
