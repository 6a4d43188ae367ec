"""The device's thread and its batches, with a `generate` that the test controls."""

import asyncio
import threading
import time

import pytest

from core.errors import Cancelled, DeviceLost, Internal, InvalidRequest, OutOfDeviceMemory, WorkerStopping
from core.worker.device import Device


class Model:
    """A backend that returns its requests after the test sets `gate`; `batches` records its calls."""

    def __init__(self, *, gate=True):
        self.batches = []
        self.gate = threading.Event()
        if gate:
            self.gate.set()
        self.raises = {}
        self.busy = 0
        self.overlap = False

    def generate(self, requests, watch):
        self.busy += 1
        self.overlap |= self.busy > 1
        self.batches.append(list(requests))
        try:
            while not self.gate.wait(0.005):
                if all(watch.cancelled(index) for index in range(len(requests))):
                    return [Cancelled("The job was cancelled.") for _ in requests]
            for index, request in enumerate(requests):
                watch.step(index, 1, 1)
                if request in self.raises:
                    raise self.raises[request]
            return [InvalidRequest("odd") if request == "odd" else request for request in requests]
        finally:
            self.busy -= 1


@pytest.fixture
def model():
    return Model()


def device(model, **options):
    return Device(model.generate, **options)


async def until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.001)


async def test_single_job_gets_its_result(model):
    done = await device(model).run("a")
    assert (done.result, done.batch_size) == ("a", 1)


async def test_refused_member_does_not_affect_the_others(model):
    model.gate.clear()
    on = device(model, max_batch=3)
    first = asyncio.create_task(on.run("first"))
    await until(lambda: model.batches)
    rest = [asyncio.create_task(on.run(request)) for request in ("a", "odd", "b")]
    await asyncio.sleep(0.02)
    model.gate.set()
    ended = await asyncio.gather(first, *rest, return_exceptions=True)
    assert model.batches == [["first"], ["a", "odd", "b"]]
    assert isinstance(ended[2], InvalidRequest)
    assert [ended[1].result, ended[3].result] == ["a", "b"]
    assert {ended[1].batch_size, ended[3].batch_size} == {3}


async def test_jobs_of_different_buckets_never_share_a_batch(model):
    model.gate.clear()
    on = device(model, max_batch=8, bucket=len)
    first = asyncio.create_task(on.run("first"))
    await until(lambda: model.batches)
    rest = [asyncio.create_task(on.run(request)) for request in ("a", "bb", "c", "dd")]
    await asyncio.sleep(0.02)
    model.gate.set()
    await asyncio.gather(first, *rest)
    assert model.batches[1:] == [["a", "c"], ["bb", "dd"]]


async def test_a_batch_is_never_larger_than_allowed(model):
    model.gate.clear()
    on = device(model, max_batch=2)
    jobs = [asyncio.create_task(on.run(str(number))) for number in range(7)]
    await asyncio.sleep(0.02)
    model.gate.set()
    await asyncio.gather(*jobs)
    assert max(map(len, model.batches)) == 2
    assert [request for batch in model.batches for request in batch] == [str(number) for number in range(7)]


async def test_jobs_that_arrive_together_run_in_one_batch(model):
    on = device(model, max_batch=8, window_s=0.5)
    await asyncio.gather(*(on.run(str(number)) for number in range(8)))
    assert [len(batch) for batch in model.batches] == [8]


async def test_callers_that_return_separately_share_a_batch_again(model):
    on = device(model, max_batch=8, window_s=1)

    async def again(delay_s):
        await asyncio.sleep(delay_s)
        return await on.run("again")

    await asyncio.gather(*(on.run(str(number)) for number in range(4)))
    await asyncio.gather(*(again(0.02 * number) for number in range(4)))
    assert [len(batch) for batch in model.batches] == [4, 4]


async def test_single_caller_does_not_wait_for_the_window(model):
    on = device(model, max_batch=8, window_s=3)
    started = time.monotonic()
    for _ in range(5):
        await on.run("a")
    assert time.monotonic() - started < 3
    assert [len(batch) for batch in model.batches] == [1] * 5


async def test_two_callers_with_different_timing_soon_share_batches(model):
    on = device(model, max_batch=8, window_s=0.5)
    model.gate.clear()
    first = asyncio.create_task(on.run("a"))
    await until(lambda: model.batches)
    second = asyncio.create_task(on.run("b"))
    await asyncio.sleep(0.01)
    model.gate.set()
    await first
    await asyncio.gather(on.run("a"), second)
    assert [sorted(batch) for batch in model.batches] == [["a"], ["a", "b"]]


async def test_batch_waits_for_recent_callers_once_up_to_the_window(model):
    on = device(model, max_batch=8, window_s=1.0)
    await asyncio.gather(*(on.run(str(number)) for number in range(4)))
    started = time.monotonic()
    await on.run("a")
    first = time.monotonic() - started
    await on.run("b")
    second = time.monotonic() - started - first
    assert 0.5 < first < 5
    assert second < first / 2


async def test_cancelled_job_returns_at_once_and_the_device_stops():
    model = Model(gate=False)
    on = device(model)
    job = asyncio.create_task(on.run("a"))
    await until(lambda: model.batches)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(job, 1)
    await until(lambda: not model.busy)


async def test_job_cancelled_while_waiting_never_reaches_the_device():
    model = Model(gate=False)
    on = device(model)
    first = asyncio.create_task(on.run("first"))
    await until(lambda: model.batches)
    second = asyncio.create_task(on.run("second"))
    third = asyncio.create_task(on.run("third"))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.sleep(0.01)
    model.gate.set()
    await asyncio.gather(first, third)
    assert model.batches == [["first"], ["third"]]


async def test_device_continues_while_one_member_of_the_batch_is_not_cancelled():
    model = Model(gate=False)
    on = device(model, max_batch=2, window_s=0.5)
    a, b = asyncio.create_task(on.run("a")), asyncio.create_task(on.run("b"))
    await until(lambda: model.batches == [["a", "b"]])
    a.cancel()
    await asyncio.sleep(0.03)
    assert model.busy == 1
    model.gate.set()
    assert (await b).result == "b"


async def test_next_batch_starts_after_the_cancelled_one_ended():
    model = Model(gate=False)
    on = device(model)
    for _ in range(5):
        job = asyncio.create_task(on.run("a"))
        await asyncio.sleep(0.01)
        job.cancel()
    model.gate.set()
    await on.run("last")
    assert not model.overlap


async def test_crash_of_one_member_does_not_affect_the_others(model):
    model.raises = {"b": RuntimeError("the words of a prompt")}
    on = device(model, max_batch=3, window_s=0.5)
    ended = await asyncio.gather(*(on.run(request) for request in "abc"), return_exceptions=True)
    assert [ended[0].result, ended[2].result] == ["a", "c"]
    assert isinstance(ended[1], Internal)
    assert "prompt" not in ended[1].message


@pytest.mark.parametrize("crash", [SystemExit(3), KeyboardInterrupt(), MemoryError()])
async def test_device_thread_survives_any_exception_of_the_backend(model, crash):
    model.raises = {"a": crash}
    on = device(model)
    with pytest.raises(Internal):
        await asyncio.wait_for(on.run("a"), 2)
    assert (await asyncio.wait_for(on.run("b"), 2)).result == "b"


async def test_too_few_outcomes_fail_the_jobs_and_not_the_worker():
    on = Device(lambda requests, watch: ["only one"] if len(requests) > 1 else list(requests), max_batch=2, window_s=1)
    ended = await asyncio.wait_for(asyncio.gather(on.run("a"), on.run("b")), 2)
    assert [done.result for done in ended] == ["a", "b"]


async def test_out_of_memory_fails_the_batch_as_retryable(model):
    model.raises = {"b": OutOfDeviceMemory("The device ran out of memory.")}
    on = device(model, max_batch=2, window_s=0.5)
    ended = await asyncio.gather(on.run("a"), on.run("b"), return_exceptions=True)
    assert all(isinstance(error, OutOfDeviceMemory) for error in ended)


async def test_lost_device_is_not_used_again(model):
    model.raises = {"a": DeviceLost("The device is gone.")}
    on = device(model)
    for request in ("a", "b"):
        with pytest.raises(DeviceLost):
            await on.run(request)
    assert model.batches == [["a"]]


async def test_closed_device_fails_waiting_jobs():
    model = Model(gate=False)
    on = device(model)
    running = asyncio.create_task(on.run("running"))
    await until(lambda: model.batches)
    waiting = asyncio.create_task(on.run("waiting"))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(asyncio.to_thread(on.close))
    await asyncio.sleep(0.01)
    model.gate.set()
    await asyncio.wait_for(closing, 2)
    assert (await running).result == "running"
    for late in (waiting, on.run("late")):
        with pytest.raises(WorkerStopping):
            await asyncio.wait_for(late, 2)


async def test_steps_are_reported_in_the_event_loop(model):
    steps = []
    await device(model).run("a", lambda step, of: steps.append((step, of, threading.current_thread().name)))
    assert steps == [(1, 1, threading.main_thread().name)]


async def test_finished_member_gets_its_result_while_the_others_run(model):
    model.gate.clear()

    def generate(requests, watch):
        if "short" in requests:
            watch.finished(requests.index("short"), "early")
        return model.generate(requests, watch)

    on = Device(generate, max_batch=2, window_s=0.2)
    short, long = asyncio.create_task(on.run("short")), asyncio.create_task(on.run("long"))
    async with asyncio.timeout(5):
        done = await short
    assert (done.result, done.batch_size, long.done()) == ("early", 2, False)
    await asyncio.sleep(0.1)
    model.gate.set()
    rest = await long
    assert rest.result == "long"
    # Half of the time until the short one was finished, and all of the time since.
    assert done.share_ms == pytest.approx(done.device_ms / 2, abs=1)
    assert done.share_ms + rest.share_ms == pytest.approx(rest.device_ms, abs=2)


async def test_a_finished_member_is_not_run_again_when_another_fails(model):
    model.raises = {"bad": ValueError("odd")}

    def generate(requests, watch):
        if requests[0] == "good":
            watch.finished(0, "early")
        return model.generate(requests, watch)

    on = Device(generate, max_batch=2, window_s=0.2)
    good, bad = await asyncio.gather(on.run("good"), on.run("bad"), return_exceptions=True)
    assert good.result == "early"
    assert isinstance(bad, Internal)
    assert model.batches == [["good", "bad"], ["bad"]]


class Continuous:
    """A backend that asks for more jobs between steps; a job is finished when the test adds it to `done`."""

    def __init__(self):
        self.members = []
        self.calls = 0
        self.done = set()
        self.fails = None

    def generate(self, requests, callbacks):
        self.calls += 1
        self.members = members = list(requests)
        finished = set()
        while len(finished) < len(members):
            members += callbacks.more()
            if self.fails is not None:
                raise self.fails
            for index, request in enumerate(members):
                if index not in finished and (request in self.done or callbacks.cancelled(index)):
                    finished.add(index)
                    callbacks.finished(index, request)
            time.sleep(0.001)
        return members


async def test_a_job_joins_a_batch_that_runs_and_is_answered_before_it_ends():
    model = Continuous()
    on = device(model, max_batch=4)
    long = asyncio.create_task(on.run("long"))
    await until(lambda: model.members)
    model.done.add("short")
    async with asyncio.timeout(5):
        done = await on.run("short")
    assert (done.result, done.batch_size, long.done(), model.calls) == ("short", 2, False, 1)
    model.done.add("long")
    rest = await long
    assert (rest.batch_size, model.calls) == (2, 1)
    assert done.share_ms + rest.share_ms == pytest.approx(rest.device_ms, abs=2)
    assert done.device_ms <= rest.device_ms


async def test_joining_jobs_never_exceed_the_batch_limit():
    model = Continuous()
    on = device(model, max_batch=2)
    jobs = [asyncio.create_task(on.run(request)) for request in "abc"]
    await until(lambda: len(model.members) == 2)
    await asyncio.sleep(0.02)
    assert len(model.members) == 2
    model.done.add("a")
    await until(lambda: model.members == ["a", "b", "c"])
    model.done |= {"b", "c"}
    assert [done.result for done in await asyncio.gather(*jobs)] == ["a", "b", "c"]


async def test_job_of_another_bucket_runs_before_later_jobs_join():
    model = Continuous()
    on = device(model, max_batch=8, bucket=len)
    first = asyncio.create_task(on.run("a"))
    await until(lambda: model.members)
    other = asyncio.create_task(on.run("bb"))
    await asyncio.sleep(0.01)
    later = asyncio.create_task(on.run("c"))
    await asyncio.sleep(0.02)
    assert model.members == ["a"]
    model.done |= {"a", "bb", "c"}
    assert [done.result for done in await asyncio.gather(first, other, later)] == ["a", "bb", "c"]
    assert model.calls == 3


async def test_a_job_cancelled_in_the_queue_joins_nothing():
    model = Continuous()
    on = device(model, max_batch=2)
    running = [asyncio.create_task(on.run(request)) for request in "ab"]
    await until(lambda: len(model.members) == 2)
    waiting = asyncio.create_task(on.run("gone"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0.01)
    model.done |= {"a", "b", "c"}
    await asyncio.gather(*running)
    await on.run("c")
    assert "gone" not in model.members


async def test_closing_device_finishes_its_batch_and_accepts_no_job():
    model = Continuous()
    on = device(model, max_batch=4)
    running = asyncio.create_task(on.run("a"))
    await until(lambda: model.members)
    closing = asyncio.create_task(asyncio.to_thread(on.close))
    await asyncio.sleep(0.02)
    with pytest.raises(WorkerStopping):
        await on.run("late")
    model.done.add("a")
    await asyncio.wait_for(closing, 5)
    assert (await running).result == "a"


async def test_failure_also_fails_the_jobs_that_joined():
    model = Continuous()
    on = device(model, max_batch=4)
    jobs = [asyncio.create_task(on.run("a"))]
    await until(lambda: model.members)
    jobs.append(asyncio.create_task(on.run("b")))
    await until(lambda: len(model.members) == 2)
    model.fails = OutOfDeviceMemory("full")
    ended = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(error) for error in ended] == [OutOfDeviceMemory] * 2


async def test_jobs_that_joined_a_batch_that_crashed_run_again_one_by_one():
    calls = []

    def generate(requests, callbacks):
        requests = list(requests)
        while not calls and len(requests) == 1:
            requests += callbacks.more()
        calls.append(requests)
        if "bad" in requests:
            raise ValueError("odd")
        assert callbacks.more() == [], "a job that runs again is joined by none"
        return requests

    on = Device(generate, max_batch=4)
    good = asyncio.create_task(on.run("good"))
    await asyncio.sleep(0.01)
    bad = asyncio.create_task(on.run("bad"))
    ended = await asyncio.gather(good, bad, return_exceptions=True)
    assert ended[0].result == "good"
    assert isinstance(ended[1], Internal)
    assert calls == [["good", "bad"], ["good"], ["bad"]]
