"""Post replies until the platform accepts them.

The SDK tries three times within five seconds and then drops the result with one log line: the GPU's work is lost, and
the caller waits until the job times out.

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
_SHORT_WAIT_S = 0.5


Post = Callable[[str, bytes], Awaitable[None]]
"""Posts a body for a job id; raises `NotDelivered`."""


class Outbox:
    """Replies that wait for delivery. The pause between two attempts doubles from 0.2 s up to `wait_max_s`."""

    def __init__(self, post: Post, *, wait_max_s: float = 10.0) -> None:
        self._post = post
        self._wait_max_s = wait_max_s
        self._pending: set[asyncio.Task[None]] = set()
        self._short_pauses = asyncio.Event()

    def send(self, job_id: str, reply: Reply) -> asyncio.Task[None]:
        """Deliver in the background. The task ends when the platform has accepted or finally refused the reply."""
        task = asyncio.create_task(self._deliver(job_id, reply))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return task

    def __len__(self) -> int:
        return len(self._pending)

    def shorten_pauses(self) -> None:
        """Shorten the pauses between attempts, because the worker is stopping."""
        self._short_pauses.set()

    async def _deliver(self, job_id: str, reply: Reply) -> None:
        try:
            await self._post_until_accepted(job_id, reply.body)
        except NotDelivered as refusal:
            log.warning("reply refused", job_id=job_id, http_status=refusal.status, bytes=len(reply.body))
            if refusal.status in {400, 413} and reply.error is None:
                # The platform found the result too large: report that, instead of completing the job without a result.
                error = TooLarge("The platform refused the result as too large; configure storage (BUCKET_…).")
                await self._deliver(job_id, Reply.of_error(error))

    async def _post_until_accepted(self, job_id: str, body: bytes) -> None:
        """Post the reply until it is accepted. Raises `NotDelivered` if the platform finally refuses it."""
        pause_s, attempt = _FIRST_WAIT_S, 1
        while True:
            try:
                await self._post(job_id, body)
            except NotDelivered as failure:
                if not failure.retryable:
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
                await self._short_pauses.wait()
                await asyncio.sleep(_SHORT_WAIT_S)
