"""A job delivered twice is run once and answered twice."""

import asyncio

import pytest

from core.errors import Internal
from core.worker.job import Reply
from core.worker.replay import ReplayCache


class Runs:
    def __init__(self, *replies):
        self.replies, self.count = list(replies), 0

    async def __call__(self):
        self.count += 1
        await asyncio.sleep(0)
        return self.replies.pop(0)


def reply(size):
    return Reply(b"x" * size)


def replay(keep_s=60, max_bytes=100):
    return ReplayCache(keep_s=keep_s, max_bytes=max_bytes)


async def test_second_delivery_gets_the_reply_of_the_first():
    runs, cache = Runs(reply(1), reply(2)), replay()
    first, second = await asyncio.gather(cache.answer("k", runs), cache.answer("k", runs))
    assert first is second
    assert runs.count == 1


async def test_job_with_a_temporary_failure_runs_again():
    runs, cache = Runs(Reply.of_error(Internal("x")), reply(1)), replay()
    assert (await cache.answer("k", runs)).error is not None
    assert (await cache.answer("k", runs)).error is None


async def test_oldest_reply_is_evicted_when_the_cache_is_full():
    cache = replay(max_bytes=100)
    for key in "abc":
        await cache.answer(key, Runs(reply(40)))
    again = Runs(reply(40))
    await cache.answer("b", again)
    await cache.answer("c", again)
    assert again.count == 0
    await cache.answer("a", again)
    assert again.count == 1
    assert cache._bytes <= 100


async def test_reply_larger_than_the_cache_evicts_nothing():
    cache = replay(max_bytes=100)
    await cache.answer("small", Runs(reply(40)))
    await cache.answer("large", Runs(reply(101)))
    again = Runs()
    await cache.answer("small", again)
    assert again.count == 0


async def test_stored_reply_expires():
    cache = replay(keep_s=0.01)
    await cache.answer("k", Runs(reply(1)))
    await asyncio.sleep(0.02)
    again = Runs(reply(1))
    await cache.answer("k", again)
    assert again.count == 1
    assert cache._bytes == 1


async def test_cache_without_room_stores_nothing():
    cache, runs = replay(max_bytes=0), Runs(reply(1), reply(1))
    await cache.answer("k", runs)
    await cache.answer("k", runs)
    assert runs.count == 2


async def test_run_that_raises_stores_nothing():
    async def broken():
        raise RuntimeError

    cache, runs = replay(), Runs(reply(1))
    with pytest.raises(RuntimeError):
        await cache.answer("k", broken)
    await cache.answer("k", runs)
    assert runs.count == 1


async def test_cancelling_a_waiting_caller_affects_no_other():
    cache, runs = replay(), Runs(reply(1))
    first = asyncio.create_task(cache.answer("k", runs))
    second = asyncio.create_task(cache.answer("k", runs))
    await asyncio.sleep(0)
    second.cancel()
    assert (await first).error is None
    assert runs.count == 1
