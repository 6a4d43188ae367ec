"""The event-driven job loop of a worker process.

The SDK's loop checks once per second whether it may take another job, so that a worker runs at most one job per second
and every job lasts until the next check. Here every step waits for the event that makes it possible.

    take    request jobs while slots are free: a job that has ended, or is about to end, frees its slot
    run     one task runs the job and may be cancelled; a second task, never cancelled, delivers the reply
    stop    the platform's stop channel cancels a job; a stopped job has no reply
    drain   after SIGTERM, or when a reply asks for a new worker: take no job, finish, return the rest, deliver, exit

May import: core.contracts, core.errors, core.logs, core.settings, core.worker.*. The SDK is used in
`sdk.py` only, through the protocol `Platform`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from core.contracts import StageProgress
from core.errors import WorkerStopping
from core.logs import logger
from core.settings import WorkerSettings
from core.worker.job import Reply, internal_error
from core.worker.outbox import Outbox
from core.worker.platform import Heartbeat, NotDelivered, Platform, Throttling, Unreachable
from core.worker.progress import Progress
from core.worker.replay import ReplayCache

Answer = Callable[[dict[str, Any], Progress], Awaitable[Reply]]
log = logger()

_THROTTLED_PAUSE_S = 5.0
_UNREACHABLE_PAUSE_S = 1.0
_EMPTY_PAUSE_S = 0.2
"""Pause after an empty answer that came at once, because the platform did not hold the request open."""
_LAST_POLL_S = 8.0
"""After SIGTERM the open long poll may still return a job, which must not be lost. Docker kills after ten seconds."""
_DRAIN_S = 3.0
"""Time for returned jobs to end (an orchestrator cancels its children), and for replies to be delivered after that."""
_MAX_UNDELIVERED = 32
_MAX_TAKE_S = 0.25


class JobDurations:
    """Measured durations of jobs and of take requests, which determine when to request the next job.

    A job that is taken too early waits here while another worker could run it; one that is taken too late leaves the
    device idle for the duration of a take request. So the next job is requested when the running job is predicted to
    end within that duration.
    """

    def __init__(self) -> None:
        self._mean_s: dict[str, float] = {}
        self._takes_s: deque[float] = deque([0.05], maxlen=32)

    def predicted_s(self, task: str) -> float:
        """Predicted duration of `task`; infinite until it has been measured once."""
        return self._mean_s.get(task, float("inf"))

    def record_run(self, task: str, seconds: float) -> None:
        self._mean_s[task] = 0.8 * self._mean_s.get(task, seconds) + 0.2 * seconds

    def record_take(self, seconds: float) -> None:
        self._takes_s.append(seconds)

    @property
    def take_s(self) -> float:
        """Duration of the shortest of the last take requests; longer ones include the wait for a job."""
        return min(*self._takes_s, _MAX_TAKE_S)


@dataclass(eq=False, slots=True)
class _ActiveJob:
    """A job between arrival and delivered reply. `began`: when the device was free for it (monotonic, s)."""

    id: str
    task: str
    progress: Progress
    work: asyncio.Task[Reply] = field(init=False)
    delivery: asyncio.Task[None] | None = None
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)
    began: float | None = None
    stopped: bool = False
    reply: Reply | None = None

    @property
    def on_device(self) -> bool:
        return self.began is not None and self.progress.last_step_at is None and not self.work.done()


class JobLoop:
    """Take, run and answer jobs until shutdown.

    `running` jobs run at a time; `concurrency` includes those taken ahead.
    """

    def __init__(
        self, platform: Platform, answer: Answer, settings: WorkerSettings, *, running: int, concurrency: int
    ) -> None:
        self._platform = platform
        self._answer = answer
        self._settings = settings
        self._running = running
        self._concurrency = max(running, concurrency)
        self._heartbeat: Heartbeat
        self._outbox = Outbox(platform.post)
        self._replay = ReplayCache(keep_s=settings.replay_keep_s, max_bytes=settings.replay_max_bytes)
        self._active: dict[str, _ActiveJob] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._durations = JobDurations()
        self._slots_event = asyncio.Event()
        self._draining = asyncio.Event()
        self._urgent = asyncio.Event()
        self._returning = False

    async def run(self, heartbeat: Heartbeat) -> None:
        """Run until the worker has drained: every job is answered, unless a delivery did not succeed in time."""
        self._heartbeat = heartbeat
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.shutdown, signal.Signals(number).name)
        taking = asyncio.create_task(self._take_jobs())
        stopping = asyncio.create_task(self._watch_stops())
        draining = asyncio.create_task(self._draining.wait())
        await asyncio.wait([taking, stopping, draining], return_when=asyncio.FIRST_COMPLETED)
        self._start_draining()
        await self._drain(taking)
        for task in (taking, stopping, draining):
            task.cancel()
        # A task that has ended here has failed: its exception determines the log and the exit status.
        for result in await asyncio.gather(taking, stopping, draining, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def shutdown(self, why: str) -> None:
        """Start draining: jobs finish within the grace period. A second call returns them to the platform at once."""
        log.info("worker stopping", signal=why, in_flight=len(self._working()))
        if self._draining.is_set():
            self._urgent.set()
        self._start_draining()

    async def _take_jobs(self) -> None:
        while (free_slots := await self._wait_for_free_slots()) > 0:
            started = time.monotonic()
            try:
                jobs = await self._platform.take(free_slots)
            except Throttling:
                await self._pause(_THROTTLED_PAUSE_S * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
                continue
            except Unreachable as error:
                log.warning("job-take failed", error_type=str(error))
                await self._pause(_UNREACHABLE_PAUSE_S)
                continue
            took_s = time.monotonic() - started
            if jobs:
                self._durations.record_take(took_s)
            elif took_s < _EMPTY_PAUSE_S:
                await self._pause(_EMPTY_PAUSE_S)
            for job in jobs:
                self._begin(job)

    async def _wait_for_free_slots(self) -> int:
        """Wait for free slots; return the number of jobs to request. 0: the worker is draining."""
        while not self._draining.is_set():
            self._slots_event.clear()
            free_slots, recheck_s = self._free_slots()
            if free_slots > 0:
                return free_slots
            with suppress(TimeoutError):
                async with asyncio.timeout(recheck_s):
                    await self._slots_event.wait()
        return 0

    def _free_slots(self) -> tuple[int, float | None]:
        """Number of free slots; if 0, also the seconds after which to check again (None: wait for an event)."""
        working = len(self._working())
        if len(self._outbox) >= _MAX_UNDELIVERED:
            return 0, None  # the number of replies that wait for delivery is bounded
        if working < self._running:
            return self._running - working, None
        if working >= self._concurrency:
            return 0, None
        early_s = self._time_to_free_s() - 2 * self._durations.take_s
        if early_s <= 0:
            return self._concurrency - working, None
        return 0, early_s if early_s < float("inf") else None

    def _time_to_free_s(self) -> float:
        """Predicted time until the device has finished one of its jobs; 0 if it is free."""
        now = time.monotonic()
        if sum(active.on_device for active in self._working()) < self._running:
            return 0.0
        rests = (
            self._durations.predicted_s(active.task) - (now - active.began)
            for active in self._working()
            if active.on_device and active.began is not None
        )
        return min(rests, default=0.0)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    def _working(self) -> list[_ActiveJob]:
        return [active for active in self._active.values() if not active.work.done()]

    def _begin(self, raw: dict[str, Any]) -> None:
        job_id = str(raw["id"])
        if (previous := self._active.get(job_id)) is not None:
            if previous.reply is None or previous.reply.error is None:
                log.info("active job delivered again", job_id=job_id)
                return
            # The platform received an error and delivers the job again: the reply of the new run replaces the old one.
            self._remove(previous)
        payload = raw.get("input")
        progress = Progress(
            lambda report: self._report(job_id, report),
            interval_s=self._settings.progress_interval_s,
            on_last_step=self._slots_changed,
        )
        active = _ActiveJob(job_id, str(payload.get("task")) if isinstance(payload, dict) else "", progress)
        active.work = asyncio.create_task(self._work(active, raw), name=job_id)
        active.work.add_done_callback(lambda _: self._slots_changed())
        self._active[job_id] = active
        self._heartbeat.add(job_id)
        self._slots_changed()
        delivering = asyncio.create_task(self._deliver_reply(active))
        self._deliveries.add(delivering)
        delivering.add_done_callback(self._deliveries.discard)
        if self._returning:
            self._abandon(active)

    async def _work(self, active: _ActiveJob, raw: dict[str, Any]) -> Reply:
        async def run() -> Reply:
            reply = await self._answer(raw, active.progress)
            # Only successful jobs are measured: a refused one ends at once, and its task may be any string.
            if reply.error is None and active.began is not None:
                self._durations.record_run(
                    active.task, (active.progress.last_step_at or time.monotonic()) - active.began
                )
            return reply

        return await self._replay.answer(_replay_key(raw, active.id), run)

    async def _deliver_reply(self, active: _ActiveJob) -> None:
        """Wait for the job and deliver its reply. This task is never cancelled, so that no job ends without a reply."""
        abandoned = asyncio.create_task(active.abandoned.wait())
        await asyncio.wait([active.work, abandoned], return_when=asyncio.FIRST_COMPLETED)
        abandoned.cancel()
        await active.progress.close()
        if active.stopped:
            return
        active.reply = reply = _reply_of(active)
        active.delivery = self._outbox.send(active.id, reply)
        if reply.refresh:
            log.warning("asking for a new worker", job_id=active.id, code=reply.error.code if reply.error else None)
            self._start_draining()
        await asyncio.wait([active.delivery])
        self._remove(active)

    def _remove(self, active: _ActiveJob) -> None:
        """Remove a job whose reply was delivered, or that needs no reply."""
        if active.delivery is not None:
            active.delivery.cancel()
        if self._active.get(active.id) is active:
            del self._active[active.id]
            self._heartbeat.remove(active.id)
        self._slots_changed()

    async def _report(self, job_id: str, report: StageProgress) -> None:
        try:
            await self._platform.post_progress(job_id, report)
        except NotDelivered as refusal:
            log.debug("progress not delivered", job_id=job_id, http_status=refusal.status)

    def _slots_changed(self) -> None:
        """Mark the longest waiting jobs as started, if the device has free slots; wake the take loop."""
        working = self._working()
        free = self._running - sum(active.on_device for active in working)
        for active in [active for active in working if active.began is None][: max(0, free)]:
            active.began = time.monotonic()
        self._slots_event.set()

    async def _watch_stops(self) -> None:
        while True:
            started = time.monotonic()
            stopped = 0
            try:
                stopped = sum([self._stop(job_id) for job_id in await self._platform.stops()])
            except Throttling:
                await asyncio.sleep(_THROTTLED_PAUSE_S)
            except Unreachable as error:
                log.warning("job-stop failed", error_type=str(error))
                await asyncio.sleep(_UNREACHABLE_PAUSE_S)
            if not stopped and time.monotonic() - started < _EMPTY_PAUSE_S:
                await asyncio.sleep(_UNREACHABLE_PAUSE_S)

    def _stop(self, job_id: str) -> bool:
        """Cancel a job and return whether it was running. A job that has finished is not stopped: its reply is sent."""
        active = self._active.get(job_id)
        if active is None or active.work.done():
            return False
        log.info("job stopped", job_id=job_id)
        active.stopped = True
        self._abandon(active)
        self._remove(active)
        return True

    def _start_draining(self) -> None:
        self._draining.set()
        self._slots_event.set()

    async def _drain(self, taking: asyncio.Task[None]) -> None:
        until = time.monotonic() + self._settings.grace_s
        # The open long poll may still return a job; it runs like any other, within the same grace period.
        await self._wait_unless_urgent([taking], min(_LAST_POLL_S, self._settings.grace_s))
        taking.cancel()
        await self._wait_unless_urgent([active.work for active in self._working()], until - time.monotonic())
        returned = self._return_jobs()
        if returned:
            await asyncio.wait(returned, timeout=_DRAIN_S)
        self._outbox.shorten_pauses()
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=max(_DRAIN_S, until - time.monotonic()))
        if self._active:
            log.error("replies not delivered before exit", jobs=len(self._active))
        for delivering in self._deliveries:
            delivering.cancel()

    async def _wait_unless_urgent(self, tasks: Collection[asyncio.Task[Any]], timeout_s: float) -> None:
        if not tasks:
            return
        ended = asyncio.create_task(asyncio.wait(tasks))
        urgent = asyncio.create_task(self._urgent.wait())
        await asyncio.wait([ended, urgent], timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        urgent.cancel()

    def _return_jobs(self) -> list[asyncio.Task[Reply]]:
        self._returning = True
        working = self._working()
        for active in working:
            self._abandon(active)
        return [active.work for active in working]

    def _abandon(self, active: _ActiveJob) -> None:
        active.work.cancel()
        active.abandoned.set()


def _reply_of(active: _ActiveJob) -> Reply:
    if not active.work.done() or active.work.cancelled():
        return Reply.of_error(WorkerStopping("The worker stopped before the job was done; send the request again."))
    error = active.work.exception()
    return active.work.result() if error is None else Reply.of_error(internal_error(error))


def _replay_key(raw: dict[str, Any], job_id: str) -> str:
    payload = raw.get("input")
    context = payload.get("context") if isinstance(payload, dict) else None
    key = context.get("replay_key") if isinstance(context, dict) else None
    if not isinstance(key, str) or not key:
        return job_id
    # The body is part of the key: a caller who knows another's key must not receive that caller's result.
    return f"{key} {hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()}"
