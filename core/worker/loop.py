"""The event-driven job loop: what one worker process does between its start and its end.

The SDK's loop looks every second whether it may take another job, so that a worker does at most one job a second and
every job is padded up to the next tick. Here each step waits for the event that makes it possible.

    take    while there is room: a job that ended, or one about to end, makes room
    serve   work is a task that may be cancelled; a second task, which never is, sees the job through to its reply
    stop    the platform's stop channel cancels a job's work; a stopped job has no reply
    leave   after SIGTERM, or when a reply asks for a new worker: take nothing, finish, hand back, deliver, end

May import: core.contracts, core.errors, core.logs, core.settings, core.worker.*. The SDK is in `sdk` alone,
which the loop knows as a `Platform`.
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
from core.worker.job import Reply, unforeseen
from core.worker.outbox import Outbox
from core.worker.platform import Heartbeat, NotDelivered, Platform, Throttling, Unreachable
from core.worker.progress import Progress
from core.worker.replay import Replay

Answer = Callable[[dict[str, Any], Progress], Awaitable[Reply]]
log = logger()

_THROTTLED_S = 5.0
_BROKEN_S = 1.0
_NOT_HELD_S = 0.2
"""Pause where the platform answers "nothing" at once, instead of holding the request open."""
_CLOSING_POLL_S = 8.0
"""After SIGTERM the open long poll may still bring a job, which must not be lost. Docker kills after ten seconds."""
_WIND_UP_S = 3.0
"""What handed-back work gets to end in (an orchestrator cancels its children), and what replies get after that."""
_MOST_UNDELIVERED = 32
_LONGEST_TAKE_S = 0.25


class Pace:
    """How long jobs keep the device, and so when the next one should be asked for.

    A job taken too early waits here while another worker might run it; too late, and the device idles for the length
    of a take. So it is asked for when the rest of a running job is predicted to be shorter than a take.
    """

    def __init__(self) -> None:
        self._mean_s: dict[str, float] = {}
        self._takes_s: deque[float] = deque([0.05], maxlen=32)

    def predicted_s(self, task: str) -> float:
        """Infinite for a task never seen, which teaches its length first."""
        return self._mean_s.get(task, float("inf"))

    def ran(self, task: str, seconds: float) -> None:
        self._mean_s[task] = 0.8 * self._mean_s.get(task, seconds) + 0.2 * seconds

    def took(self, seconds: float) -> None:
        self._takes_s.append(seconds)

    @property
    def take_s(self) -> float:
        """The shortest of the last takes: the others waited for a job to exist."""
        return min(*self._takes_s, _LONGEST_TAKE_S)


@dataclass(eq=False, slots=True)
class _Held:
    """A job from its delivery to us until its reply is delivered. `began` (monotonic, s): when the device was free."""

    id: str
    task: str
    progress: Progress
    work: asyncio.Task[Reply] = field(init=False)
    delivery: asyncio.Task[None] | None = None
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    began: float | None = None
    stopped: bool = False
    reply: Reply | None = None

    @property
    def on_device(self) -> bool:
        return self.began is not None and self.progress.last_step_at is None and not self.work.done()


class JobLoop:
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
        self._replay = Replay(keep_s=settings.replay_keep_s, max_bytes=settings.replay_max_bytes)
        self._held: dict[str, _Held] = {}
        self._seeing: set[asyncio.Task[None]] = set()
        self._pace = Pace()
        self._room_news = asyncio.Event()
        self._leaving = asyncio.Event()
        self._hurry = asyncio.Event()
        self._handing_back = False

    async def run(self, heartbeat: Heartbeat) -> None:
        """Returns when the worker has left: nothing taken is unanswered but what could not be delivered in time."""
        self._heartbeat = heartbeat
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.shutdown, signal.Signals(number).name)
        taking = asyncio.create_task(self._take_jobs())
        stopping = asyncio.create_task(self._watch_stops())
        leaving = asyncio.create_task(self._leaving.wait())
        await asyncio.wait([taking, stopping, leaving], return_when=asyncio.FIRST_COMPLETED)
        self._shutdown_soon()
        await self._wind_up(taking)
        for task in (taking, stopping, leaving):
            task.cancel()
        # A loop that ended by itself has failed: its exception belongs in the log and in the exit status.
        for result in await asyncio.gather(taking, stopping, leaving, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def shutdown(self, why: str) -> None:
        """Told once: jobs finish within the grace. Told twice: they are handed back at once."""
        log.info("worker leaving", signal=why, in_flight=len(self._working()))
        if self._leaving.is_set():
            self._hurry.set()
        self._shutdown_soon()

    # ── take ──

    async def _take_jobs(self) -> None:
        while (room := await self._room()) > 0:
            started = time.monotonic()
            try:
                jobs = await self._platform.take(room)
            except Throttling:
                await self._pause(_THROTTLED_S * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
                continue
            except Unreachable as error:
                log.warning("job-take failed", error_type=str(error))
                await self._pause(_BROKEN_S)
                continue
            took_s = time.monotonic() - started
            if jobs:
                self._pace.took(took_s)
            elif took_s < _NOT_HELD_S:
                await self._pause(_NOT_HELD_S)
            for job in jobs:
                self._begin(job)

    async def _room(self) -> int:
        """How many jobs to ask for; waits until there is room for one. 0: the worker is leaving."""
        while not self._leaving.is_set():
            self._room_news.clear()
            room, look_again_s = self._room_now()
            if room > 0:
                return room
            with suppress(TimeoutError):
                async with asyncio.timeout(look_again_s):
                    await self._room_news.wait()
        return 0

    def _room_now(self) -> tuple[int, float | None]:
        """And if there is none, after how many seconds there may be some without any news."""
        working = len(self._working())
        if len(self._outbox) >= _MOST_UNDELIVERED:
            return 0, None  # replies that can't be delivered must not pile up without bound
        if working < self._running:
            return self._running - working, None
        if working >= self._concurrency:
            return 0, None
        early_s = self._rest_s() - 2 * self._pace.take_s
        if early_s <= 0:
            return self._concurrency - working, None
        return 0, early_s if early_s < float("inf") else None

    def _rest_s(self) -> float:
        """Predicted time until the device is done with one of its jobs; 0 where one has left it already."""
        now = time.monotonic()
        if sum(held.on_device for held in self._working()) < self._running:
            return 0.0
        rests = (
            self._pace.predicted_s(held.task) - (now - held.began)
            for held in self._working()
            if held.on_device and held.began is not None
        )
        return min(rests, default=0.0)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leaving.wait()

    # ── serve ──

    def _working(self) -> list[_Held]:
        return [held for held in self._held.values() if not held.work.done()]

    def _begin(self, raw: dict[str, Any]) -> None:
        job_id = str(raw["id"])
        if (known := self._held.get(job_id)) is not None:
            if known.reply is None or known.reply.error is None:
                log.info("a job in hand was delivered again", job_id=job_id)
                return
            # The platform has our error and was asked to try again: the new run's reply is the one that counts.
            self._forget(known)
        payload = raw.get("input")
        progress = Progress(
            lambda report: self._report(job_id, report),
            interval_s=self._settings.progress_interval_s,
            on_last_step=self._room_changed,
        )
        held = _Held(job_id, str(payload.get("task")) if isinstance(payload, dict) else "", progress)
        held.work = asyncio.create_task(self._work(held, raw), name=job_id)
        held.work.add_done_callback(lambda _: self._room_changed())
        self._held[job_id] = held
        self._heartbeat.holds(job_id)
        self._room_changed()
        seeing = asyncio.create_task(self._see_through(held))
        self._seeing.add(seeing)
        seeing.add_done_callback(self._seeing.discard)
        if self._handing_back:
            self._give_up(held)

    async def _work(self, held: _Held, raw: dict[str, Any]) -> Reply:
        async def run() -> Reply:
            reply = await self._answer(raw, held.progress)
            # Only what succeeded teaches: a refused job is over at once, and its task may be any string.
            if reply.error is None and held.began is not None:
                self._pace.ran(held.task, (held.progress.last_step_at or time.monotonic()) - held.began)
            return reply

        return await self._replay.answer(_replay_key(raw, held.id), run)

    async def _see_through(self, held: _Held) -> None:
        """Never cancelled, so that no cancellation, wherever it strikes, can leave a job without its reply."""
        given_up = asyncio.create_task(held.given_up.wait())
        await asyncio.wait([held.work, given_up], return_when=asyncio.FIRST_COMPLETED)
        given_up.cancel()
        await held.progress.close()
        if held.stopped:
            return
        held.reply = reply = _reply_of(held)
        held.delivery = self._outbox.send(held.id, reply)
        if reply.refresh:
            log.warning("asking for a new worker", job_id=held.id, code=reply.error.code if reply.error else None)
            self._shutdown_soon()
        await asyncio.wait([held.delivery])
        self._forget(held)

    def _forget(self, held: _Held) -> None:
        """The platform has heard the last of this job from us."""
        if held.delivery is not None:
            held.delivery.cancel()
        if self._held.get(held.id) is held:
            del self._held[held.id]
            self._heartbeat.released(held.id)
        self._room_changed()

    async def _report(self, job_id: str, report: StageProgress) -> None:
        try:
            await self._platform.post_progress(job_id, report)
        except NotDelivered as refusal:
            log.debug("progress not delivered", job_id=job_id, http_status=refusal.status)

    def _room_changed(self) -> None:
        """The device takes up the jobs that have waited longest, as far as it has places."""
        working = self._working()
        free = self._running - sum(held.on_device for held in working)
        for held in [held for held in working if held.began is None][: max(0, free)]:
            held.began = time.monotonic()
        self._room_news.set()

    # ── stop ──

    async def _watch_stops(self) -> None:
        while True:
            started = time.monotonic()
            stopped = 0
            try:
                stopped = sum([self._stop(job_id) for job_id in await self._platform.stops()])
            except Throttling:
                await asyncio.sleep(_THROTTLED_S)
            except Unreachable as error:
                log.warning("job-stop failed", error_type=str(error))
                await asyncio.sleep(_BROKEN_S)
            if not stopped and time.monotonic() - started < _NOT_HELD_S:
                await asyncio.sleep(_BROKEN_S)

    def _stop(self, job_id: str) -> bool:
        """A job whose work is done is past stopping: its reply is on the way, and the platform knows what to do."""
        held = self._held.get(job_id)
        if held is None or held.work.done():
            return False
        log.info("job stopped", job_id=job_id)
        held.stopped = True
        self._give_up(held)
        self._forget(held)
        return True

    # ── leave ──

    def _shutdown_soon(self) -> None:
        self._leaving.set()
        self._room_news.set()

    async def _wind_up(self, taking: asyncio.Task[None]) -> None:
        until = time.monotonic() + self._settings.grace_s
        # The open poll may still bring a job; it is served like any other, within the same grace.
        await self._unless_hurried([taking], min(_CLOSING_POLL_S, self._settings.grace_s))
        taking.cancel()
        await self._unless_hurried([held.work for held in self._working()], until - time.monotonic())
        handed_back = self._hand_back()
        if handed_back:
            await asyncio.wait(handed_back, timeout=_WIND_UP_S)
        self._outbox.hurry()
        if self._seeing:
            await asyncio.wait(self._seeing, timeout=max(_WIND_UP_S, until - time.monotonic()))
        if self._held:
            log.error("replies could not be delivered before leaving", jobs=len(self._held))
        for seeing in self._seeing:
            seeing.cancel()

    async def _unless_hurried(self, tasks: Collection[asyncio.Task[Any]], timeout_s: float) -> None:
        if not tasks:
            return
        ended = asyncio.create_task(asyncio.wait(tasks))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([ended, hurried], timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        hurried.cancel()

    def _hand_back(self) -> list[asyncio.Task[Reply]]:
        self._handing_back = True
        working = self._working()
        for held in working:
            self._give_up(held)
        return [held.work for held in working]

    def _give_up(self, held: _Held) -> None:
        held.work.cancel()
        held.given_up.set()


def _reply_of(held: _Held) -> Reply:
    if not held.work.done() or held.work.cancelled():
        return Reply.of_error(WorkerStopping("The worker had to go before the job was done; send it again."))
    error = held.work.exception()
    return held.work.result() if error is None else Reply.of_error(unforeseen(error))


def _replay_key(raw: dict[str, Any], job_id: str) -> str:
    payload = raw.get("input")
    context = payload.get("context") if isinstance(payload, dict) else None
    key = context.get("replay_key") if isinstance(context, dict) else None
    if not isinstance(key, str) or not key:
        return job_id
    # The same key with another body is another job: whoever knows a key must not be given what it made for others.
    return f"{key} {hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()}"
