"""The event-driven job loop: what one worker process does between its start and its end.

The SDK's loop looks every second whether it may take another job, so that a worker does at most one job a second and
every job is padded up to the next tick. Here each step waits for the event that makes it possible.

    take    while there is room: a job that ended, or one about to end, makes room
    serve   each job is a task of its own: answer it, close its progress, hand the reply to the outbox
    stop    the platform's stop channel cancels a job's task; a stopped job has no reply
    leave   after SIGTERM, or when a reply asks for a new worker: take nothing, finish, hand back, deliver, end

May import: core.errors, core.logs, core.settings, core.worker.*. The SDK is reached through `sdk` alone.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from core.contracts import StageProgress
from core.errors import WorkerStopping
from core.logs import logger
from core.settings import WorkerSettings
from core.worker import sdk
from core.worker.job import Reply
from core.worker.outbox import NotDelivered, Outbox
from core.worker.progress import Progress
from core.worker.replay import Replay

Answer = Callable[[dict[str, Any], Progress], Awaitable[Reply]]
log = logger()

_THROTTLED_S = 5.0
_BROKEN_S = 1.0
_CLOSING_POLL_S = 5.0
"""After SIGTERM the open long poll may still bring a job, which must not be lost: it is awaited this long."""


class Pace:
    """How long jobs take, and so when the next one should be asked for.

    A job taken too early waits here while another worker might run it; too late, and the device idles for the length
    of a take. So it is asked for when the rest of a running job is predicted to be shorter than a take.
    """

    def __init__(self) -> None:
        self._mean_s: dict[str, float] = {}
        self.take_s = 0.05

    def rest_s(self, task: str, started: float) -> float:
        """Predicted rest of a job; infinite for a task never seen, which teaches its length first."""
        mean = self._mean_s.get(task)
        return float("inf") if mean is None else max(0.0, mean - (time.monotonic() - started))

    def ended(self, task: str, started: float) -> None:
        took = time.monotonic() - started
        self._mean_s[task] = 0.8 * self._mean_s.get(task, took) + 0.2 * took

    def took(self, seconds: float) -> None:
        """The shortest take counts: a longer one waited for a job to exist. It drifts up, to be learned anew."""
        self.take_s = min(seconds, self.take_s * 1.05) if seconds > 0 else self.take_s


class JobLoop:
    def __init__(
        self, platform: sdk.Platform, answer: Answer, settings: WorkerSettings, *, running: int, concurrency: int
    ) -> None:
        self._platform = platform
        self._answer = answer
        self._settings = settings
        self._running = running
        self._concurrency = max(running, concurrency)
        self._heartbeat: sdk.Heartbeat | None = None
        self._outbox = Outbox(platform.post)
        self._replay = Replay(keep_s=settings.replay_keep_s, max_bytes=settings.replay_max_bytes)
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._since: dict[str, tuple[str, float]] = {}
        self._pace = Pace()
        self._ended = asyncio.Event()
        self._leaving = asyncio.Event()
        self._handing_back = False

    async def run(self, heartbeat: sdk.Heartbeat) -> None:
        """Returns when the worker has left: nothing taken is unanswered but what could not be delivered in time."""
        self._heartbeat = heartbeat
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_go, number)
        taking = asyncio.create_task(self._take_jobs())
        stopping = asyncio.create_task(self._watch_stops())
        leaving = asyncio.create_task(self._leaving.wait())
        await asyncio.wait([taking, stopping, leaving], return_when=asyncio.FIRST_COMPLETED)
        await self._leave(taking)
        for task in (taking, stopping, leaving):
            task.cancel()
        # A loop that ended by itself has failed: its exception belongs in the log and in the exit status.
        for result in await asyncio.gather(taking, stopping, leaving, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    # ── take ──

    async def _take_jobs(self) -> None:
        while not self._leaving.is_set():
            room = await self._room()
            started = time.monotonic()
            try:
                jobs = await self._platform.take(room)
            except sdk.Throttling:
                await asyncio.sleep(_THROTTLED_S * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
                continue
            except sdk.Unreachable as error:
                log.warning("job-take failed", error_type=str(error))
                await asyncio.sleep(_BROKEN_S)
                continue
            if jobs:
                self._pace.took(time.monotonic() - started)
            for job in jobs:
                self._begin(job)

    async def _room(self) -> int:
        """How many jobs to ask for; waits until there is room for one."""
        while True:
            room = self._running - len(self._jobs)
            if room > 0:
                return room
            self._ended.clear()
            rest_s = self._rest_s() if len(self._jobs) < self._concurrency else float("inf")
            if rest_s <= 0:
                return self._concurrency - len(self._jobs)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if rest_s == float("inf") else rest_s):
                    await self._ended.wait()

    def _rest_s(self) -> float:
        """Until a take should start, by the job that is predicted to end first."""
        rests = (self._pace.rest_s(task, started) for task, started in self._since.values())
        return min(rests, default=0.0) - 2 * self._pace.take_s

    # ── serve ──

    def _begin(self, raw: dict[str, Any]) -> None:
        job_id = str(raw["id"])
        if job_id in self._jobs:
            log.info("a job in hand was delivered again", job_id=job_id)
            return
        if self._heartbeat is not None:
            self._heartbeat.holds(job_id)
        payload = raw.get("input")
        task = str(payload.get("task")) if isinstance(payload, dict) else ""
        self._since[job_id] = (task, time.monotonic())
        serving = self._jobs[job_id] = asyncio.create_task(self._serve(job_id, raw), name=job_id)
        serving.add_done_callback(lambda _: self._end(job_id))

    def _end(self, job_id: str) -> None:
        del self._jobs[job_id]
        task, started = self._since.pop(job_id)
        self._pace.ended(task, started)
        self._ended.set()

    async def _serve(self, job_id: str, raw: dict[str, Any]) -> None:
        progress = Progress(lambda report: self._report(job_id, report), interval_s=self._settings.progress_interval_s)
        try:
            reply = await self._replay.answer(_replay_key(raw, job_id), lambda: self._answer(raw, progress))
        except asyncio.CancelledError:
            await progress.close()
            if not self._handing_back:
                log.info("job stopped", job_id=job_id)
                self._released(job_id)
                return
            reply = Reply.of_error(WorkerStopping("The worker had to go before the job was done; send it again."))
        await progress.close()
        delivery = self._outbox.send(job_id, reply)
        delivery.add_done_callback(lambda _: self._released(job_id))
        if reply.refresh:
            log.warning("asking for a new worker", job_id=job_id, code=reply.error.code if reply.error else None)
            self._leaving.set()

    async def _report(self, job_id: str, report: StageProgress) -> None:
        try:
            await self._platform.post_progress(job_id, report)
        except NotDelivered as refusal:
            log.debug("progress not delivered", job_id=job_id, http_status=refusal.status)

    def _released(self, job_id: str) -> None:
        if self._heartbeat is not None and job_id not in self._jobs:
            self._heartbeat.released(job_id)

    # ── stop ──

    async def _watch_stops(self) -> None:
        while True:
            started = time.monotonic()
            try:
                for job_id in await self._platform.stops():
                    if (task := self._jobs.get(job_id)) is not None:
                        task.cancel()
            except sdk.Throttling:
                await asyncio.sleep(_THROTTLED_S)
            except sdk.Unreachable as error:
                log.warning("job-stop failed", error_type=str(error))
            if time.monotonic() - started < 0.05:
                # A platform that does not hold the request open must not be asked in a tight loop.
                await asyncio.sleep(_BROKEN_S)

    # ── leave ──

    def _told_to_go(self, number: int) -> None:
        if self._leaving.is_set():
            self._hand_back()  # told twice: at once
        log.info("worker leaving", signal=signal.Signals(number).name, in_flight=len(self._jobs))
        self._leaving.set()

    async def _leave(self, taking: asyncio.Task[None]) -> None:
        until = time.monotonic() + self._settings.grace_s
        with suppress(TimeoutError):
            # The open poll may still bring a job; it is served like any other, within the same grace.
            await asyncio.wait_for(asyncio.shield(taking), min(_CLOSING_POLL_S, self._settings.grace_s))
        taking.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs.values(), timeout=max(0.0, until - time.monotonic()))
        self._hand_back()
        if self._jobs:
            await asyncio.wait(self._jobs.values())
        lost = await self._outbox.drain(max(2.0, until - time.monotonic()))
        if lost:
            log.error("replies could not be delivered before leaving", jobs=lost)

    def _hand_back(self) -> None:
        self._handing_back = True
        for task in self._jobs.values():
            task.cancel()


def _replay_key(raw: dict[str, Any], job_id: str) -> str:
    payload = raw.get("input")
    context = payload.get("context") if isinstance(payload, dict) else None
    key = context.get("replay_key") if isinstance(context, dict) else None
    return key if isinstance(key, str) and key else job_id
