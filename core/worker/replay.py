"""A job delivered twice is run once and answered twice.

RunPod may deliver a job again, and a submit whose answer was lost is sent again under the same `replay_key`. Whoever
comes second waits for the first one's reply, or gets it from here. Only replies that another try could not change are
kept: a job that failed for a passing reason, or that its caller had retried, runs again.

May import: core.worker.job.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from core.worker.job import Reply


class Replay:
    """Replies by key, for `keep_s` seconds and at most `max_bytes` of them, oldest out first."""

    def __init__(self, *, keep_s: float, max_bytes: int) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._running: dict[str, asyncio.Future[Reply]] = {}
        self._kept: OrderedDict[str, tuple[float, Reply]] = OrderedDict()
        self._bytes = 0

    async def answer(self, key: str, run: Callable[[], Awaitable[Reply]]) -> Reply:
        """`run()`'s reply, or the one it gave to this key before. Cancelling the first caller ends only the first."""
        while True:
            if (kept := self._recall(key)) is not None:
                return kept
            first = self._running.get(key)
            if first is None:
                return await self._run(key, run)
            # The first may be cancelled: then its waiter takes its place.
            await asyncio.wait([first])
            if not first.cancelled():
                return first.result()

    async def _run(self, key: str, run: Callable[[], Awaitable[Reply]]) -> Reply:
        mine = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await run()
        except BaseException:
            mine.cancel()
            raise
        finally:
            del self._running[key]
        mine.set_result(reply)
        if reply.settled:
            self._keep(key, reply)
        return reply

    def _recall(self, key: str) -> Reply | None:
        self._forget_old()
        kept = self._kept.get(key)
        return kept[1] if kept else None

    def _keep(self, key: str, reply: Reply) -> None:
        if len(reply.body) > self._max_bytes:
            return  # it would push out all others and then itself
        self._kept[key] = (time.monotonic() + self._keep_s, reply)
        self._bytes += len(reply.body)
        self._forget_old()

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._kept and (self._bytes > self._max_bytes or next(iter(self._kept.values()))[0] < now):
            _, (_, reply) = self._kept.popitem(last=False)
            self._bytes -= len(reply.body)
