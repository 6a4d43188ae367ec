"""An endpoint's workers: child processes started, watched, stopped and replaced.

Each is a process group of its own, because the SDK's heartbeat is a second process that must not outlive the first.
Nothing here polls: a thread per worker waits for its process, everything else is a timer or an event.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
import signal
import string
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core.settings import ROOT
from localpod.endpoint import Endpoint, WorkerSlot
from localpod.faults import FaultKind, Faults
from localpod.process_reaper import ProcessReaper
from localpod.scaling import Load, look_again_s, wanted_workers
from localpod.spec import LocalEndpoint, Platform, worker_environment

log = logging.getLogger("localpod")

CRASHES_ALLOWED = 3
DEAF_AFTER_S = 60.0
DISMISS_AFTER_S = 0.05
"""A stopped worker must have seen its SIGTERM before its polls return, or it would ask again."""


@dataclass(frozen=True)
class WorkerTimes:
    """Seconds. `init_timeout_s` is RunPod's seven minutes; its grace before SIGKILL is not documented."""

    cold_start_s: float = 0.0
    init_timeout_s: float = 420.0
    ping_timeout_s: float = 30.0
    grace_s: float = 10.0


@dataclass(eq=False)
class Worker:
    """One worker process, from the wish for it to its end."""

    seat: WorkerSlot
    log_path: Path
    gone: asyncio.Future[None]
    process: subprocess.Popen[bytes] | None = None
    timers: dict[Callable[[Worker], None], asyncio.TimerHandle] = field(default_factory=dict)
    killed_for: str | None = None
    launched_at: float = 0.0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def kill(self, reason: str | None = None) -> None:
        """`kill -9` of the whole group; what follows is the same as for a worker that died by itself."""
        self.killed_for = self.killed_for or reason
        if self.process is not None and self.process.returncode is None:
            kill_group(self.process.pid)


@dataclass(frozen=True)
class WorkerContext:
    """What all fleets of a localpod share. `echo` is given each line of a worker's output, with its endpoint."""

    platform: Platform
    times: WorkerTimes
    state_dir: Path
    faults: Faults
    warden: ProcessReaper
    echo: Callable[[str, str], None] | None = None
    inherited: Mapping[str, str] = field(default_factory=lambda: os.environ)


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


class WorkerPool:
    """Keeps as many workers as the scaler wants. `look` after each change of load; changes within a tick are one."""

    def __init__(self, endpoint: Endpoint, local: LocalEndpoint, grounds: WorkerContext) -> None:
        self.endpoint = endpoint
        self.local = local
        self.workers: dict[str, Worker] = {}
        self.unhealthy: str | None = None
        self.started = 0
        self.died = 0
        self.settled = asyncio.Event()
        self._grounds = grounds
        self._times = grounds.times
        self._loop = asyncio.get_running_loop()
        self._crashes = 0
        self._added_at = -math.inf
        self._not_before = -math.inf
        self._look_planned = False
        self._next_look: asyncio.TimerHandle | None = None
        self._closing = False

    # ── how many ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Plans one look at the load, at the end of this tick."""
        if not self._look_planned:
            self._look_planned = True
            self._loop.call_soon(self._look_now)

    def _look_now(self) -> None:
        self._look_planned = False
        if self._closing:
            return
        load = self._load()
        if self.unhealthy is not None and load.in_queue == 0:
            return
        missing = wanted_workers(self.local.scaler, load) - load.workers
        wait_s = self._not_before - self._loop.time()
        if missing > 0 and wait_s > 0:
            self._look_in(wait_s)
            return
        for _ in range(missing):
            self._add()
        again_s = look_again_s(self.local.scaler, self._load())
        if again_s is not None:
            self._look_in(again_s)

    def _load(self) -> Load:
        living = [worker.seat for worker in self.workers.values() if not worker.seat.closing]
        return Load(
            in_queue=self.endpoint.in_queue - self.endpoint.in_queue_low,
            in_progress=self.endpoint.in_progress,
            workers=len(living),
            initializing=sum(not seat.ready for seat in living),
            oldest_wait_s=self.endpoint.oldest_wait_s(),
            since_added_s=self._loop.time() - self._added_at,
        )

    def _look_in(self, seconds: float) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = self._loop.call_later(seconds, self.look)

    # ── a worker's life ──────────────────────────────────────────────────────────────────────────────────────────────

    def _add(self) -> None:
        worker_id = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(14))
        self._added_at = self._loop.time()
        worker = Worker(
            self.endpoint.seat(worker_id),
            self._grounds.state_dir / f"{self.endpoint.name}-{worker_id}.log",
            self._loop.create_future(),
        )
        self.workers[worker_id] = worker
        slow = self._grounds.faults.pick((FaultKind.SLOW_COLD_START,), self.endpoint.name)
        cold_start_s = self._times.cold_start_s + (slow.delay_s if slow else 0)
        self._later(worker, cold_start_s, self._launch)

    def _launch(self, worker: Worker) -> None:
        env = worker_environment(
            self.endpoint.name, self.local, worker.seat.worker_id, self._grounds.platform, self._grounds.inherited
        )
        try:
            worker.process = self._spawn(worker, env)
        except OSError as error:
            worker.log_path.write_text(f"{self.local.command[0]}: {error.strerror}\n", encoding="utf-8")
            self._left(worker, -1)
            return
        self.started += 1
        self._grounds.warden.watch(worker.process.pid)
        worker.launched_at = self._loop.time()
        threading.Thread(target=self._await_exit, args=(worker,), daemon=True).start()
        if worker.process.stdout is not None:
            # A thread of its own: the heartbeat holds the pipe too, until the group is killed.
            threading.Thread(target=self._tee, args=(worker, worker.process.stdout), daemon=True).start()
        self._later(worker, self._times.init_timeout_s, self._check_init)
        self._later(worker, self._times.ping_timeout_s, self._check_ping)
        log.info("%s: worker %s starts, pid %d", self.endpoint.name, worker.seat.worker_id, worker.process.pid)

    def _spawn(self, worker: Worker, env: dict[str, str]) -> subprocess.Popen[bytes]:
        with worker.log_path.open("ab") as log_file:
            return subprocess.Popen(  # noqa: S603  # the command comes from endpoints.yaml, the user's own file
                self.local.command,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._grounds.echo else log_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_exit(self, worker: Worker) -> None:
        process = worker.process
        if process is None:
            return
        code = process.wait()
        try:
            self._loop.call_soon_threadsafe(self._left, worker, code)
        except RuntimeError:  # the loop is closed: `stop` has already killed the group
            kill_group(process.pid)

    def _tee(self, worker: Worker, lines: IO[bytes]) -> None:
        with lines, worker.log_path.open("ab") as log_file:
            for line in lines:
                log_file.write(line)
                log_file.flush()
                if self._grounds.echo is not None:
                    self._grounds.echo(self.endpoint.name, line.decode(errors="replace").rstrip())

    def became_ready(self, seat: WorkerSlot) -> None:
        """The first question for a job: the worker is up, and from now on its idleness counts."""
        seat.ready = True
        self.settled.set()
        seat.idle_since = self.endpoint.clock()
        self.unhealthy = None
        if (worker := self.workers.get(seat.worker_id)) is not None:  # an attached one isn't ours to end
            took_s = self._loop.time() - worker.launched_at
            log.info("%s: worker %s asks for jobs after %.1f s", self.endpoint.name, seat.worker_id, took_s)
            self._later(worker, self.local.idle_timeout_s, self._check_idle)
        self.look()

    def _left(self, worker: Worker, code: int) -> None:
        if worker.gone.done():
            return
        seat = worker.seat
        if worker.process is not None:
            kill_group(worker.process.pid)  # its heartbeat, and whatever else it started
            self._grounds.warden.forget(worker.process.pid)
        for timer in worker.timers.values():
            timer.cancel()
        self.workers.pop(seat.worker_id, None)
        worker.gone.set_result(None)
        why = worker.killed_for or (f"was ended by signal {-code}" if code < 0 else f"exited with code {code}")
        log.info("%s: worker %s %s", self.endpoint.name, seat.worker_id, why)
        self._count_crash(worker, why)
        self.endpoint.leave(seat, f"the worker {why} while it had the job; its log: {worker.log_path}")
        self.look()

    def _count_crash(self, worker: Worker, why: str) -> None:
        if worker.seat.closing:
            return
        self.died += 1
        if worker.seat.taken:
            self._crashes = 0
            return
        self._crashes += 1
        self._not_before = self._loop.time() + 0.1 * 2**self._crashes
        if self._crashes >= CRASHES_ALLOWED or self.unhealthy is not None:
            self._crashes = 0
            self.settled.set()
            self.unhealthy = f"no worker of this endpoint gets as far as taking a job: the last one {why}"
            self.endpoint.fail_queued(f"{self.unhealthy}; its log: {worker.log_path}")

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def retire(self, worker: Worker) -> None:
        """SIGTERM, no more jobs, and SIGKILL after the grace if the worker has no job left to finish."""
        if worker.seat.closing:
            return
        self.endpoint.close(worker.seat)
        if worker.process is None:
            self._left(worker, 0)
            return
        # To the process alone: the SDK ends its heartbeat itself, and the group dies with it in any case.
        if worker.process.returncode is None:
            worker.process.send_signal(signal.SIGTERM)
        self._later(worker, DISMISS_AFTER_S, self._dismiss)
        self._later(worker, self._times.grace_s, self._check_gone)

    def retire_id(self, worker_id: str) -> None:
        if (worker := self.workers.get(worker_id)) is not None:
            self.retire(worker)

    async def stop(self, grace_s: float) -> None:
        """Ends all workers; those that take longer than the grace are killed."""
        self._closing = True
        workers = list(self.workers.values())
        for worker in workers:
            self.retire(worker)
        if workers:
            await asyncio.wait([worker.gone for worker in workers], timeout=grace_s)
        for worker in workers:
            worker.kill("was killed when localpod stopped")
        for worker in workers:
            await worker.gone

    # ── timers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _later(self, worker: Worker, seconds: float, do: Callable[[Worker], None]) -> None:
        """One timer per purpose and worker; all of them end with the worker."""
        worker.timers[do] = self._loop.call_later(seconds, do, worker)

    def _dismiss(self, worker: Worker) -> None:
        self.endpoint.dismiss(worker.seat)

    def _check_init(self, worker: Worker) -> None:
        if not worker.seat.ready:
            worker.kill(f"was not ready within {self._times.init_timeout_s:g} s")

    def _check_ping(self, worker: Worker) -> None:
        silent_s = self.endpoint.clock() - worker.seat.last_seen
        if worker.seat.pinged and silent_s >= self._times.ping_timeout_s:
            worker.kill(f"was silent for {silent_s:.0f} s")
            return
        left_s = self._times.ping_timeout_s - (silent_s if worker.seat.pinged else 0)
        self._later(worker, max(left_s, 0.01), self._check_ping)

    def _check_idle(self, worker: Worker) -> None:
        seat = worker.seat
        if seat.closing:
            return
        idle_s = 0.0 if seat.jobs else self.endpoint.clock() - seat.idle_since
        spare = self._load().workers > self.local.scaler.min
        if idle_s >= self.local.idle_timeout_s and spare and not self.endpoint.in_queue:
            self.retire(worker)
            return
        if self._deaf(seat):
            worker.kill(f"asked for no job for {DEAF_AFTER_S:g} s while some waited")
            return
        left_s = self.local.idle_timeout_s - idle_s
        self._later(worker, left_s if left_s > 0 else self.local.idle_timeout_s, self._check_idle)

    def _deaf(self, seat: WorkerSlot) -> bool:
        """A worker that works on at something it was told to stop, or hangs, while jobs wait for it."""
        silent_s = self.endpoint.clock() - max(seat.asked_at, seat.idle_since)
        return bool(self.endpoint.in_queue) and not seat.jobs and not seat.asking and silent_s >= DEAF_AFTER_S

    def _check_gone(self, worker: Worker) -> None:
        if worker.seat.jobs:  # bounded by the jobs' own execution time-outs
            self._later(worker, self._times.grace_s, self._check_gone)
        else:
            worker.kill("did not stop within the grace")

    # ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def health(self) -> dict[str, int]:
        seats = [seat for seat in self.endpoint.seats.values() if not seat.closing]
        running = sum(bool(seat.jobs) for seat in seats)
        ready = sum(seat.ready for seat in seats)
        return {
            "idle": max(0, ready - running),
            "initializing": len(seats) - ready,
            "ready": ready,
            "running": running,
            "throttled": 0,
            "unhealthy": int(self.unhealthy is not None),
        }

    @property
    def running(self) -> int:
        return sum(bool(worker.seat.jobs) for worker in self.workers.values())
