"""A job delivered twice is run once and answered twice.

RunPod may deliver a job again, and a submit whose answer was lost is sent again under the same `replay_key`. The second
delivery waits for the reply of the first, or gets it from the cache. Only final replies are stored: a job that failed
for a temporary reason runs again.

May import: core.worker.job.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from core.worker.job import Reply


class ReplayCache:
    """Replies by key, kept for `keep_s` seconds and up to `max_bytes` in total; the oldest are removed first."""

    def __init__(self, *, keep_s: float, max_bytes: int) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._running: dict[str, asyncio.Future[Reply]] = {}
        self._stored: OrderedDict[str, tuple[float, Reply]] = OrderedDict()
        self._bytes = 0

    async def answer(self, key: str, run: Callable[[], Awaitable[Reply]]) -> Reply:
        """Return the stored reply of `key`, or run. Cancelling the first caller cancels only that caller."""
        while True:
            if (stored := self._lookup(key)) is not None:
                return stored
            first = self._running.get(key)
            if first is None:
                return await self._run(key, run)
            # If the first caller is cancelled, a waiting one runs instead.
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
        if reply.final:
            self._store(key, reply)
        return reply

    def _lookup(self, key: str) -> Reply | None:
        self._evict_expired()
        stored = self._stored.get(key)
        return stored[1] if stored else None

    def _store(self, key: str, reply: Reply) -> None:
        if len(reply.body) > self._max_bytes:
            return  # it would evict all others and then itself
        self._stored[key] = (time.monotonic() + self._keep_s, reply)
        self._bytes += len(reply.body)
        self._evict_expired()

    def _evict_expired(self) -> None:
        now = time.monotonic()
        while self._stored and (self._bytes > self._max_bytes or next(iter(self._stored.values()))[0] < now):
            _, (_, reply) = self._stored.popitem(last=False)
            self._bytes -= len(reply.body)
