"""Replies, posted until they are delivered.

The SDK tries three times within five seconds and then drops the result with one line in the log; the GPU's work is lost
and the caller waits for its time-out.

May import: core.errors, core.logs, core.worker.job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import stamina

from core.errors import TooLarge
from core.logs import logger
from core.worker.job import Reply

log = logger()
stamina.instrumentation.set_on_retry_hooks([])  # the outbox logs in its own words


class NotDelivered(Exception):
    """The platform did not take a reply. `status` is its answer's; None where there was none."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status

    @property
    def worth_retrying(self) -> bool:
        return self.status is None or self.status >= 500 or self.status in {408, 425, 429}


Post = Callable[[str, bytes], Awaitable[None]]
"""Posts a body for a job id; raises `NotDelivered`."""


class Outbox:
    def __init__(self, post: Post, *, wait_max_s: float = 10.0) -> None:
        self._post = post
        self._wait_max_s = wait_max_s
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, job_id: str, reply: Reply) -> asyncio.Task[None]:
        """Delivers in the background; the task ends when the platform has the reply or will never take it."""
        task = asyncio.create_task(self._deliver(job_id, reply))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def __len__(self) -> int:
        return len(self._under_way)

    async def drain(self, timeout_s: float) -> int:
        """Waits for what is under way; returns how many replies could not be delivered in that time."""
        if not self._under_way:
            return 0
        _, late = await asyncio.wait(self._under_way, timeout=timeout_s)
        for task in late:
            task.cancel()
        return len(late)

    async def _deliver(self, job_id: str, reply: Reply) -> None:
        try:
            await self._retrying(job_id, reply.body)
        except NotDelivered as refusal:
            log.warning("reply refused", job_id=job_id, http_status=refusal.status, bytes=len(reply.body))
            if refusal.status in {400, 413} and reply.error is None:
                # Too large for the platform after all: say so, instead of leaving a job that completed with nothing.
                error = TooLarge("The platform refused the result as too large; configure storage (BUCKET_…).")
                await self._deliver(job_id, Reply.of_error(error))

    async def _retrying(self, job_id: str, body: bytes) -> None:
        attempts = stamina.retry_context(
            on=lambda error: isinstance(error, NotDelivered) and error.worth_retrying,
            attempts=None,
            timeout=None,
            wait_initial=0.2,
            wait_max=self._wait_max_s,
        )
        async for attempt in attempts:
            with attempt:
                if attempt.num > 1:
                    log.info("posting a reply again", job_id=job_id, attempt=attempt.num)
                await self._post(job_id, body)
