"""Capacity, the retry budget, idempotency and GPU seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from core.contracts import ImageGen, ModelInfo, PolicyReport, Result, Route
from core.errors import AlreadyRunning, IdempotencyMismatch, QueueFull, StageFailed
from orchestrator.capacity import Capacity, RetryBudget
from orchestrator.idempotency import InMemoryIdempotency


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def request(prompt: str = "a lighthouse", **more: object) -> ImageGen:
    return ImageGen.model_validate({"task": "imagegen", "prompt": prompt, "idempotency_key": "k", **more})


def result(seed: int = 1, image: str = "aGVsbG8=") -> Result:
    return Result(
        request_id=None, task=Route.GENERAL, prompt_used="p", seed=seed, width=16, height=16, image_format="png",
        image_base64=image, model=ModelInfo(name="m", revision="0", profile="none"), trace_id="t",
        policy=PolicyReport(version="1", verdict="allowed", treated_as="moderated"),
    )  # fmt: skip


def gives(answer: Result, asked: list[int] | None = None) -> Callable[[], Awaitable[Result]]:
    async def run() -> Result:
        if asked is not None:
            asked.append(1)
        return answer

    return run


def test_full_route_refuses_until_a_request_ends() -> None:
    capacity = Capacity(2, retry_after_cap_ms=30_000)
    with capacity.slots():
        with capacity.slots(), pytest.raises(QueueFull), capacity.slots():
            pass
        with capacity.slots():
            pass


def test_retry_after_is_the_mean_time_between_completions() -> None:
    clock = Clock()
    capacity = Capacity(9, retry_after_cap_ms=30_000, clock=clock)
    assert capacity.retry_after_ms() == 2_000
    for _ in range(5):
        with capacity.slots():
            clock.now += 3
    assert capacity.retry_after_ms() == 3_000


def test_retry_after_uses_the_last_minute_and_stays_within_its_bounds() -> None:
    clock = Clock()
    capacity = Capacity(999, retry_after_cap_ms=5_000, clock=clock)
    with ExitStack() as places:
        for _ in range(50):
            places.enter_context(capacity.slots())
    assert capacity.retry_after_ms() == 100
    clock.now += 61
    with capacity.slots():
        pass
    clock.now += 30
    with capacity.slots():
        pass
    assert capacity.retry_after_ms() == 5_000


def test_failed_request_frees_its_capacity() -> None:
    capacity = Capacity(1, retry_after_cap_ms=30_000)
    with pytest.raises(StageFailed), capacity.slots():
        raise StageFailed("no")
    with capacity.slots():
        pass


def test_retry_budget_is_a_share_of_first_attempts_after_the_initial_allowance() -> None:
    budget = RetryBudget(0.25, reserve=2)
    assert [budget.another() for _ in range(3)] == [True, True, False]
    for _ in range(8):
        budget.first()
    assert [budget.another() for _ in range(3)] == [True, True, False]


def test_unused_retry_budget_is_bounded() -> None:
    budget = RetryBudget(1.0, reserve=1)
    for _ in range(10_000):
        budget.first()
    assert sum(budget.another() for _ in range(10_000)) == 10


def test_budget_of_zero_allows_no_retry() -> None:
    assert not RetryBudget(0).another()


async def test_requests_with_the_same_key_run_once_and_get_the_same_answer() -> None:
    answers, asked = InMemoryIdempotency(keep_s=60), []
    first = await answers.run_once("k", request(), gives(result(), asked))
    assert await answers.run_once("k", request(request_id="another-name"), gives(result(2), asked)) is first
    assert len(asked) == 1


async def test_key_of_a_different_request_is_refused_during_and_after_its_run() -> None:
    answers, go = InMemoryIdempotency(keep_s=60), asyncio.Event()

    async def slow() -> Result:
        await go.wait()
        return result()

    first = asyncio.create_task(answers.run_once("k", request(), slow))
    await asyncio.sleep(0)
    with pytest.raises(AlreadyRunning):
        await answers.run_once("k", request(), gives(result()))
    with pytest.raises(IdempotencyMismatch):
        await answers.run_once("k", request("else"), gives(result()))
    go.set()
    await first
    with pytest.raises(IdempotencyMismatch):
        await answers.run_once("k", request("else"), gives(result()))


async def test_concurrent_requests_with_one_key_run_once() -> None:
    answers, asked = InMemoryIdempotency(keep_s=60), []

    async def slow() -> Result:
        asked.append(1)
        await asyncio.sleep(0.01)
        return result()

    ends = await asyncio.gather(*(answers.run_once("k", request(), slow) for _ in range(20)), return_exceptions=True)
    assert len(asked) == 1
    assert sum(isinstance(end, AlreadyRunning) for end in ends) == 19


@pytest.mark.parametrize("error", [StageFailed("no"), asyncio.CancelledError()])
async def test_failed_or_cancelled_request_frees_its_key(error: BaseException) -> None:
    answers = InMemoryIdempotency(keep_s=60)

    async def fails() -> Result:
        raise error

    with pytest.raises(type(error)):
        await answers.run_once("k", request(), fails)
    assert await answers.run_once("k", request("else"), gives(result())) == result()


async def test_stored_answer_expires() -> None:
    clock, asked = Clock(), []
    answers = InMemoryIdempotency(keep_s=60, clock=clock)
    await answers.run_once("k", request(), gives(result(), asked))
    clock.now += 61
    await answers.run_once("k", request("else"), gives(result(), asked))
    assert len(asked) == 2


async def test_stored_bytes_are_bounded_and_the_oldest_answer_is_evicted_first() -> None:
    answers, asked = InMemoryIdempotency(keep_s=60, max_bytes=30_000), []
    for key in "abc":
        await answers.run_once(key, request(), gives(result(image="x" * 8_000), asked))
    await answers.run_once("c", request(), gives(result(), asked))
    assert len(asked) == 3
    await answers.run_once("a", request(), gives(result(), asked))
    assert len(asked) == 4


async def test_answer_larger_than_the_store_evicts_nothing() -> None:
    answers, asked = InMemoryIdempotency(keep_s=60, max_bytes=30_000), []
    await answers.run_once("small", request(), gives(result(), asked))
    await answers.run_once("huge", request(), gives(result(image="x" * 40_000), asked))
    await answers.run_once("small", request(), gives(result(), asked))
    assert len(asked) == 2


BUCKET = {"accessId": "k", "accessSecret": "s", "bucketName": "mine", "endpointUrl": "https://s3.example"}


async def test_the_same_key_with_another_bucket_is_refused() -> None:
    answers = InMemoryIdempotency(keep_s=60)
    first = await answers.run_once("k", request(), gives(result()), BUCKET)
    for other in ({**BUCKET, "bucketName": "yours"}, {**BUCKET, "endpointUrl": "https://s3.other"}, None):
        with pytest.raises(IdempotencyMismatch):
            await answers.run_once("k", request(), gives(result(2)), other)
    assert await answers.run_once("k", request(), gives(result(2)), {**BUCKET, "accessSecret": "rotated"}) is first
