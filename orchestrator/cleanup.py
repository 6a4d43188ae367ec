"""Cancel jobs that are no longer needed, and start workers of a pool with placeholder jobs.

May import: core.errors, core.logs, core.settings, orchestrator.{deadlines,pools,runpod_client,stage_call}.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from core.errors import EndpointUnavailable, ImgPodError
from core.logs import logger
from core.settings import Pool
from orchestrator.deadlines import Deadline
from orchestrator.pools import Endpoint, Pools
from orchestrator.runpod_client import FINAL, EndpointUnreachable, PlatformThrottled, ResponseLost, RunpodClient, State
from orchestrator.stage_call import has_worker, job_id_of, sleep_until

log = logger()

_CLOSE_S = 2.0
_CANCEL_FOR_S = 20.0
_WAKE_FOR_S = 60.0


class JobCleanup:
    """Background requests to the platform. `close` when done."""

    def __init__(self, client: RunpodClient, pools: Pools) -> None:
        self._client = client
        self._pools = pools
        self._running: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait up to two seconds for pending cancels."""
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_S)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` as a task that outlives its caller."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._discard)
        return task

    def _discard(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here, because most of these tasks are never awaited

    def cancel_submitted(self, endpoint: Endpoint, submitting: asyncio.Task[State]) -> None:
        """Cancel the job of a submit, also if its id has not arrived yet."""
        self.start(self._cancel_submitted(endpoint, submitting))

    async def _cancel_submitted(self, endpoint: Endpoint, submitting: asyncio.Task[State]) -> None:
        try:
            state = await submitting
        except ImgPodError:
            return  # the submit failed or its id never arrived; the job's own limits end it
        if state.get("status") not in FINAL:
            await self._cancel_job(endpoint, job_id_of(state))

    async def _cancel_job(self, endpoint: Endpoint, job_id: str) -> None:
        until = Deadline.after(_CANCEL_FOR_S)
        pause_s = 0.1
        async with endpoint.cancelling:
            while until.left_s() > 0:
                await sleep_until(endpoint.cancels.reserve_s(), until)
                try:
                    await self._client.request("POST", f"{endpoint.id}/cancel/{job_id}", "cancel", within_s=2.0)
                except (EndpointUnreachable, ResponseLost, PlatformThrottled) as error:
                    jitter_ms = 1000 * random.uniform(0, pause_s)  # noqa: S311 - no secret
                    await sleep_until((error.retry_after_ms or jitter_ms) / 1000, until)
                    pause_s = min(2 * pause_s, 2.0)
                except ImgPodError:
                    return  # the job has ended, and the platform has deleted it
                else:
                    return
        log.warning("job not cancelled", endpoint_id=endpoint.id)

    def wake(self, pool: Pool) -> None:
        """Start a worker if the pool's next endpoint has none.

        The platform starts workers for waiting jobs only, so a job is queued that no worker would run (it names no
        task); it is cancelled as soon as a real one is submitted.
        """
        with suppress(EndpointUnavailable):
            endpoint = self._pools.next(pool)
            if endpoint.in_flight == 0 and endpoint.woken_until.left_s() <= 0:
                endpoint.woken_until = Deadline.after(_WAKE_FOR_S)
                endpoint.wake_job = self.start(self._wake(endpoint))

    async def _wake(self, endpoint: Endpoint) -> str | None:
        with suppress(ImgPodError):
            health = await self._client.request("GET", f"{endpoint.id}/health", "wake", within_s=2.0)
            if has_worker(health):
                return None
            body = {"input": {"task": "wake"}, "policy": {"executionTimeout": 5_000, "ttl": round(1000 * _WAKE_FOR_S)}}
            state = await self._client.request("POST", f"{endpoint.id}/run", "wake", within_s=2.0, json=body)
            log.info("pool woken", endpoint_id=endpoint.id)
            return job_id_of(state)
        return None

    def end_wake(self, endpoint: Endpoint) -> None:
        """Cancel the endpoint's wake job, because a real job has been submitted."""
        if (waking := endpoint.wake_job) is not None:
            endpoint.wake_job, endpoint.woken_until = None, Deadline(0.0)
            self.start(self._cancel_wake_job(endpoint, waking))

    async def _cancel_wake_job(self, endpoint: Endpoint, waking: asyncio.Task[str | None]) -> None:
        if job_id := await waking:
            await self._cancel_job(endpoint, job_id)
