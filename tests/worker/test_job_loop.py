"""The job loop against a platform that the test controls."""

import asyncio
import json

import pytest

from core.errors import DeviceLost, Internal, InvalidRequest
from core.worker.job import Reply
from core.worker.platform import NotDelivered, Throttling, Unreachable
from tests.worker.handplatform import SETTINGS, Bench, a_while, until


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr("core.worker.loop._DRAIN_S", 1.0)
    monkeypatch.setattr("core.worker.outbox._SHORT_WAIT_S", 0.05)


def code(reply):
    return json.loads(reply["error"])["code"]


async def test_job_is_answered_once_and_then_removed():
    async with Bench() as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        assert bench.heartbeat.ids == {"a"}
        bench.end("a")
        await until(lambda: not bench.heartbeat.ids)
        assert bench.platform.posted == [("a", {"output": "a"})]


async def test_full_worker_requests_no_job():
    async with Bench(running=2, concurrency=2) as bench:
        for job in "abc":
            bench.platform.deliver(job)
        await until(lambda: bench.runs == ["a", "b"])
        await a_while()
        assert bench.platform.polling == 0
        bench.end("b")
        await until(lambda: bench.runs == ["a", "b", "c"])
        bench.end("a")
        bench.end("c")


async def test_the_heartbeat_lists_a_job_until_its_reply_is_delivered():
    async with Bench() as bench:
        bench.platform.refusals = [503, 503]
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")
        await until(lambda: len(bench.platform.refusals) == 1)
        assert bench.heartbeat.ids == {"a"}
        await until(lambda: bench.platform.replies("a"))
        await until(lambda: not bench.heartbeat.ids)


async def test_the_next_job_runs_while_a_reply_waits_for_the_platform():
    async with Bench() as bench:
        bench.platform.refusals = [503] * 3
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")
        bench.platform.deliver("b")
        await until(lambda: bench.runs == ["a", "b"])
        assert not bench.platform.replies()
        bench.end("b")
        await until(lambda: len(bench.platform.replies()) == 2)


async def test_number_of_undelivered_replies_is_bounded():
    async with Bench(running=40, concurrency=40) as bench:
        undelivered = asyncio.Event()

        async def hold(_):
            await undelivered.wait()

        bench.platform.on_post = hold
        for number in range(40):
            bench.platform.deliver(str(number))
        await until(lambda: len(bench.runs) == 40)
        for number in range(40):
            bench.end(str(number))
        await a_while()
        bench.platform.deliver("one more")
        await a_while()
        # The open poll may still return a job; no other poll is opened.
        polls = bench.platform.polling
        bench.platform.deliver("another")
        await a_while()
        assert polls == bench.platform.polling == 0
        undelivered.set()
        await until(lambda: {"one more", "another"} <= set(bench.runs))
        bench.end("one more")
        bench.end("another")


async def test_active_job_delivered_again_runs_once_and_is_answered_once():
    async with Bench(running=2, concurrency=2) as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.platform.deliver("a")
        await a_while()
        bench.end("a")
        await until(bench.platform.replies)
        await a_while()
        assert bench.runs == ["a"]
        assert len(bench.platform.replies()) == 1


async def test_a_finished_job_that_is_delivered_again_is_answered_from_the_cache():
    async with Bench() as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")
        await until(lambda: not bench.heartbeat.ids)
        bench.platform.deliver("a")
        await until(lambda: len(bench.platform.replies("a")) == 2)
        assert bench.runs == ["a"]


async def test_another_job_with_the_same_replay_key_gets_the_same_reply():
    async with Bench(running=2, concurrency=2) as bench:
        bench.platform.deliver("a", context={"replay_key": "k"})
        bench.platform.deliver("b", context={"replay_key": "k"})
        await until(lambda: bench.heartbeat.ids == {"a", "b"})
        bench.end("a")
        await until(lambda: len(bench.platform.replies()) == 2)
        assert bench.runs == ["a"]
        assert bench.platform.replies("b") == [{"output": "a"}]


async def test_another_body_under_the_same_replay_key_runs():
    async with Bench(running=2, concurrency=2) as bench:
        bench.platform.deliver("a", context={"replay_key": "k"}, prompt="one")
        bench.platform.deliver("b", context={"replay_key": "k"}, prompt="another")
        await until(lambda: bench.runs == ["a", "b"])
        bench.end("a")
        bench.end("b")
        await until(lambda: bench.platform.replies("b") == [{"output": "b"}])


async def test_cancelling_the_first_of_two_jobs_with_one_key_still_runs_the_second():
    async with Bench(running=2, concurrency=2) as bench:
        bench.platform.deliver("a", context={"replay_key": "k"})
        bench.platform.deliver("b", context={"replay_key": "k"})
        await until(lambda: bench.heartbeat.ids == {"a", "b"})
        bench.platform.stop_ids.put_nowait("a")
        await until(lambda: bench.runs == ["a", "b"])
        bench.end("b")
        await until(lambda: bench.platform.replies("b"))
        assert not bench.platform.replies("a")


@pytest.mark.parametrize("error", [Internal("Something failed."), DeviceLost("The device is gone.")])
async def test_a_failed_job_that_is_delivered_again_runs_again(error):
    async with Bench() as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a", Reply.of_error(error) if not isinstance(error, DeviceLost) else Reply.of_error(Internal("x")))
        await until(lambda: not bench.heartbeat.ids)
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a", "a"])
        bench.end("a")


async def test_redelivered_job_runs_while_its_earlier_error_is_still_being_posted():
    async with Bench() as bench:
        answered = asyncio.Event()

        async def stall(_):
            await answered.wait()

        bench.platform.on_post = stall
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a", Reply.of_error(InvalidRequest("no")))
        await a_while()
        bench.platform.deliver("a")
        await a_while()
        answered.set()
        # The error of an invalid request is returned without a run; any other outcome would have needed one.
        await until(lambda: bench.platform.replies("a"))
        await until(lambda: not bench.heartbeat.ids)
        assert len(bench.platform.replies("a")) == 1


async def test_stopped_job_has_no_reply_and_frees_its_slot():
    async with Bench() as bench:
        bench.platform.deliver("a")
        bench.platform.deliver("b")
        await until(lambda: bench.runs == ["a"])
        bench.platform.stop_ids.put_nowait("a")
        await until(lambda: bench.runs == ["a", "b"])
        assert bench.cancelled == ["a"]
        assert bench.heartbeat.ids == {"b"}
        bench.end("b")
        await until(bench.platform.replies)
        assert not bench.platform.replies("a")


async def test_jobs_stopped_one_after_another_all_stop_at_once():
    async with Bench(running=3, concurrency=3) as bench:
        for job in "abc":
            bench.platform.deliver(job)
        await until(lambda: len(bench.runs) == 3)
        for job in "abc":
            bench.platform.stop_ids.put_nowait(job)
        await until(lambda: sorted(bench.cancelled) == ["a", "b", "c"], timeout_s=0.5)


async def test_stop_while_the_reply_is_posted_has_no_effect():
    async with Bench() as bench:
        bench.platform.refusals = [503]
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")
        await until(lambda: not bench.platform.refusals)
        bench.platform.stop_ids.put_nowait("a")
        await until(lambda: bench.platform.replies("a"))
        await until(lambda: not bench.heartbeat.ids)


async def test_a_stopped_job_may_be_delivered_again_at_once():
    async with Bench() as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.platform.stop_ids.put_nowait("a")
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a", "a"])
        bench.end("a")
        await until(lambda: bench.platform.replies("a"))
        await until(lambda: not bench.heartbeat.ids)


async def test_stop_for_an_unknown_job_is_ignored():
    async with Bench() as bench:
        bench.platform.stop_ids.put_nowait("elsewhere")
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")
        await until(lambda: bench.platform.replies("a"))


async def test_failed_take_request_is_repeated(monkeypatch):
    monkeypatch.setattr("core.worker.loop._UNREACHABLE_PAUSE_S", 0.01)
    monkeypatch.setattr("core.worker.loop._THROTTLED_PAUSE_S", 0.01)
    async with Bench() as bench:
        bench.platform.queue.put_nowait(Unreachable("ClientError"))
        bench.platform.queue.put_nowait(Throttling())
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")


async def test_platform_that_answers_at_once_is_not_polled_in_a_tight_loop():
    async with Bench() as bench:
        for _ in range(1000):
            bench.platform.queue.put_nowait(None)
        await asyncio.sleep(0.5)
        assert 1 <= len(bench.platform.asked) <= 10


async def test_reply_that_the_platform_refuses_is_dropped():
    async with Bench() as bench:
        bench.platform.refusals = [404]
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")
        await until(lambda: not bench.heartbeat.ids)
        assert not bench.platform.posted


async def test_a_bug_in_the_loop_ends_the_worker_after_its_jobs_and_is_raised():
    bench = Bench(running=2, concurrency=2)
    async with bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.platform.queue.put_nowait({"no": "id"})
        await a_while()
        bench.end("a")
        with pytest.raises(KeyError):
            await asyncio.wait_for(bench.task, 5)
        assert bench.platform.replies("a") == [{"output": "a"}]


async def test_no_progress_is_sent_after_the_result():
    async with Bench() as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        for step in range(1, 9):
            bench.progress["a"].report("generate", step, 8)
            await asyncio.sleep(0.005)
        bench.end("a")
        await until(lambda: bench.platform.replies("a"))
        bench.progress["a"].report("generate", 8, 8)
        await asyncio.sleep(0.05)
        steps = [body["progress"] for _, body in bench.platform.posted[:-1]]
        assert steps == sorted(steps)
        assert len(steps) > 1
        assert bench.platform.posted[-1] == ("a", {"output": "a"})


async def test_no_job_is_prefetched_while_the_duration_is_unknown():
    async with Bench(running=1, concurrency=2) as bench:
        bench.platform.deliver("a")
        bench.platform.deliver("b")
        await until(lambda: bench.runs == ["a"])
        await asyncio.sleep(0.1)
        assert bench.runs == ["a"]
        bench.end("a")
        await until(lambda: bench.runs == ["a", "b"])
        bench.end("b")


async def test_the_next_job_is_taken_shortly_before_the_running_one_is_predicted_to_end():
    async with Bench(running=1, concurrency=2) as bench:
        bench.loop._durations.record_run("work", 0.5)
        bench.loop._durations.record_take(0.01)
        started = asyncio.get_running_loop().time()
        bench.platform.deliver("a")
        bench.platform.deliver("b")
        await until(lambda: bench.runs == ["a", "b"])
        waited = asyncio.get_running_loop().time() - started
        assert 0.35 < waited < 2
        bench.end("a")
        bench.end("b")


async def test_next_job_is_taken_when_the_device_has_finished_the_running_one():
    async with Bench(running=1, concurrency=2) as bench:
        bench.platform.deliver("a")
        bench.platform.deliver("b")
        await until(lambda: bench.runs == ["a"])
        bench.progress["a"].report("generate", 8, 8)
        await until(lambda: bench.runs == ["a", "b"])
        bench.end("a")
        bench.end("b")


async def test_stopping_worker_finishes_its_job_and_takes_no_other():
    async with Bench(running=1, concurrency=1) as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.loop.shutdown("SIGTERM")
        bench.platform.deliver("b")
        bench.end("a")
        await asyncio.wait_for(bench.task, 5)
        assert bench.platform.posted == [("a", {"output": "a"})]
        assert bench.runs == ["a"]


async def test_job_that_arrives_in_the_last_poll_runs():
    async with Bench() as bench:
        await until(lambda: bench.platform.polling)
        bench.loop.shutdown("SIGTERM")
        await a_while()
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a")
        await asyncio.wait_for(bench.task, 5)
        assert bench.platform.replies("a") == [{"output": "a"}]


async def test_job_that_exceeds_the_grace_period_is_returned():
    async with Bench(settings=SETTINGS.model_copy(update={"grace_s": 0.1})) as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.loop.shutdown("SIGTERM")
        await asyncio.wait_for(bench.task, 5)
        assert [code(reply) for reply in bench.platform.replies("a")] == ["worker_stopping"]
        assert bench.cancelled == ["a"]
        assert not bench.heartbeat.ids


async def test_job_that_ignores_cancellation_is_returned():
    async with Bench(settings=SETTINGS.model_copy(update={"grace_s": 0.1})) as bench:
        bench.stubborn = True
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.loop.shutdown("SIGTERM")
        await asyncio.wait_for(bench.task, 10)
        assert [code(reply) for reply in bench.platform.replies("a")] == ["worker_stopping"]
        bench.end("a")


async def test_second_signal_returns_jobs_at_once():
    async with Bench(settings=SETTINGS.model_copy(update={"grace_s": 60})) as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.loop.shutdown("SIGTERM")
        await a_while()
        bench.loop.shutdown("SIGTERM")
        await asyncio.wait_for(bench.task, 5)
        assert [code(reply) for reply in bench.platform.replies("a")] == ["worker_stopping"]


async def test_job_taken_at_the_second_signal_is_returned():
    async with Bench(running=2, concurrency=2, settings=SETTINGS.model_copy(update={"grace_s": 60})) as bench:
        await until(lambda: bench.platform.polling)
        bench.loop.shutdown("SIGTERM")
        bench.loop.shutdown("SIGTERM")
        bench.platform.deliver("a")
        await asyncio.wait_for(bench.task, 5)
        taken = bench.platform.queue.empty()
        assert [code(reply) for reply in bench.platform.replies("a")] == (["worker_stopping"] if taken else [])


async def test_reply_ready_at_the_end_of_the_grace_period_is_delivered():
    async with Bench(settings=SETTINGS.model_copy(update={"grace_s": 0.2})) as bench:
        on_the_wire = asyncio.Event()

        async def slow_report(job_id, progress):
            on_the_wire.set()
            await asyncio.sleep(0.5)

        bench.platform.post_progress = slow_report
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.progress["a"].report("generate", 1, 8)
        await on_the_wire.wait()
        bench.loop.shutdown("SIGTERM")
        bench.end("a")
        await asyncio.wait_for(bench.task, 10)
        assert bench.platform.posted == [("a", {"output": "a"})]


async def test_stopping_worker_posts_until_the_platform_is_back():
    async with Bench() as bench:
        bench.platform.refusals = [None, 503, 429]
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.loop.shutdown("SIGTERM")
        bench.end("a")
        await asyncio.wait_for(bench.task, 10)
        assert bench.platform.replies("a") == [{"output": "a"}]


async def test_stopping_worker_ends_while_the_platform_is_down():
    async with Bench(settings=SETTINGS.model_copy(update={"grace_s": 0.1})) as bench:
        bench.platform.on_post = _never_delivered
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.loop.shutdown("SIGTERM")
        bench.end("a")
        await asyncio.wait_for(bench.task, 10)
        assert not bench.platform.posted


async def _never_delivered(_):
    raise NotDelivered(None)


async def test_device_error_is_reported_and_the_worker_stops():
    async with Bench() as bench:
        bench.platform.deliver("a")
        await until(lambda: bench.runs == ["a"])
        bench.end("a", Reply.of_error(DeviceLost("The device is gone.")))
        await asyncio.wait_for(bench.task, 10)
        (reply,) = bench.platform.replies("a")
        assert reply["stopPod"] is True
        assert code(reply) == "device_lost"
