"""Replies, posted until they are delivered.

The SDK tries three times within five seconds and then drops the result with one line in the log; the GPU's work is lost
and the caller waits for its time-out.

May import: core.errors, core.logs, core.worker.{job,platform}.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core.errors import TooLarge
from core.logs import logger
from core.worker.job import Reply
from core.worker.platform import NotDelivered

log = logger()

_FIRST_WAIT_S = 0.2
_HURRIED_WAIT_S = 0.5


Post = Callable[[str, bytes], Awaitable[None]]
"""Posts a body for a job id; raises `NotDelivered`."""


class Outbox:
    """`wait_max_s` bounds the pause between two tries, which doubles from 0.2 s."""

    def __init__(self, post: Post, *, wait_max_s: float = 10.0) -> None:
        self._post = post
        self._wait_max_s = wait_max_s
        self._under_way: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()

    def send(self, job_id: str, reply: Reply) -> asyncio.Task[None]:
        """Delivers in the background; the task ends when the platform has the reply or will never take it."""
        task = asyncio.create_task(self._deliver(job_id, reply))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def __len__(self) -> int:
        return len(self._under_way)

    def hurry(self) -> None:
        """From here on pauses are short: the worker has to leave."""
        self._hurry.set()

    async def _deliver(self, job_id: str, reply: Reply) -> None:
        try:
            await self._persist(job_id, reply.body)
        except NotDelivered as refusal:
            log.warning("reply refused", job_id=job_id, http_status=refusal.status, bytes=len(reply.body))
            if refusal.status in {400, 413} and reply.error is None:
                # Too large for the platform after all: say so, instead of leaving a job that completed with nothing.
                error = TooLarge("The platform refused the result as too large; configure storage (BUCKET_…).")
                await self._deliver(job_id, Reply.of_error(error))

    async def _persist(self, job_id: str, body: bytes) -> None:
        """Raises `NotDelivered` where the platform has said no and would say it again."""
        pause_s, attempt = _FIRST_WAIT_S, 1
        while True:
            try:
                await self._post(job_id, body)
            except NotDelivered as failure:
                if not failure.worth_retrying:
                    raise
                attempt += 1
                log.info("posting a reply again", job_id=job_id, attempt=attempt, http_status=failure.status)
            else:
                return
            await self._pause(random.uniform(0.5, 1) * pause_s)  # noqa: S311 - jitter, not a secret
            pause_s = min(2 * pause_s, self._wait_max_s)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
                await asyncio.sleep(_HURRIED_WAIT_S)
