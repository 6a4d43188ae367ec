"""Health checks of load-balancing workers: `GET /ping` answers 200 when healthy and 204 while starting."""

from __future__ import annotations

import asyncio

import aiohttp

from localpod.load_balancer import ServedBalancer
from localpod.workers import Worker, WorkerTimes

PATH = "/ping"
STARTING_INTERVAL_S = 0.1
TIMEOUT_S = 5.0
HEALTHY, STARTING = 200, 204


class HealthChecks:
    """Polls each worker until it exits. A worker is ready at its first 200, and not ready at any other answer."""

    def __init__(self, session: aiohttp.ClientSession, times: WorkerTimes) -> None:
        self._session = session
        self._times = times
        self._tasks: set[asyncio.Task[None]] = set()

    def watch(self, served: ServedBalancer, worker: Worker) -> None:
        task = asyncio.create_task(self._poll(served, worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll(self, served: ServedBalancer, worker: Worker) -> None:
        while not worker.exited.done():
            self._apply(served, worker, await self._ping(worker))
            interval_s = self._times.health_interval_s if worker.slot.ready else STARTING_INTERVAL_S
            await asyncio.wait((worker.exited,), timeout=interval_s)

    async def _ping(self, worker: Worker) -> int:
        """The status code, or 0 without an answer."""
        try:
            async with self._session.get(
                f"http://127.0.0.1:{worker.port}{PATH}", timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def _apply(self, served: ServedBalancer, worker: Worker, status: int) -> None:
        slot, now = worker.slot, served.balancer.clock()
        if status == HEALTHY:
            slot.last_seen = now
            if not slot.ready:
                slot.pinged = True
                served.worker_pool.became_ready(slot)
                served.balancer.notify()
        elif slot.pinged:
            slot.ready = False
            if now - slot.last_seen >= self._times.ping_timeout_s and not slot.closing:
                worker.kill(f"was unhealthy for {now - slot.last_seen:.0f} s")
