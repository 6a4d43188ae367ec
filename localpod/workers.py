"""Worker processes of an endpoint: start, watch, stop and replace them.

Each worker is a process group, because the SDK's heartbeat is a second process that must end with the first. There is
no polling: one thread per worker waits for its process, everything else is a timer or an event.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
import signal
import socket
import string
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core.settings import ROOT
from localpod.faults import FaultKind, Faults
from localpod.process_reaper import ProcessReaper
from localpod.scaling import Load, desired_workers, next_check_s
from localpod.slots import WorkerSlot
from localpod.spec import LocalEndpoint, Platform, worker_environment
from localpod.workload import Workload

log = logging.getLogger("localpod")

CRASHES_ALLOWED = 3
UNRESPONSIVE_AFTER_S = 60.0
ANSWER_POLLS_AFTER_S = 0.05
"""A stopped worker must have received its SIGTERM before its long polls return, or it polls again."""


@dataclass(frozen=True)
class WorkerTimes:
    """Time limits of a worker, s. `init_timeout_s` is RunPod's, which documents no grace period before SIGKILL."""

    cold_start_s: float = 0.0
    init_timeout_s: float = 420.0
    ping_timeout_s: float = 30.0
    health_interval_s: float = 5.0
    grace_s: float = 10.0


@dataclass(eq=False)
class Worker:
    """One worker process, from its planned start to its exit."""

    slot: WorkerSlot
    log_path: Path
    exited: asyncio.Future[None]
    process: subprocess.Popen[bytes] | None = None
    timers: dict[Callable[[Worker], None], asyncio.TimerHandle] = field(default_factory=dict)
    kill_reason: str | None = None
    launched_at: float = 0.0
    port: int | None = None
    """Port of a load-balancing endpoint's worker."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def kill(self, reason: str | None = None) -> None:
        """Send SIGKILL to the process group; the exit is then handled like a crash."""
        self.kill_reason = self.kill_reason or reason
        if self.process is not None and self.process.returncode is None:
            kill_group(self.process.pid)


@dataclass(frozen=True)
class WorkerContext:
    """Context of all worker pools of a localpod. `echo` receives each line of a worker's output, with its endpoint."""

    platform: Platform
    times: WorkerTimes
    state_dir: Path
    faults: Faults
    reaper: ProcessReaper
    echo: Callable[[str, str], None] | None = None
    inherited: Mapping[str, str] = field(default_factory=lambda: os.environ)


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    """A free port of the loopback interface; another process can take it before the worker listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class WorkerPool:
    """Keeps the number of workers that the scaler computes."""

    def __init__(self, endpoint: Workload, local: LocalEndpoint, context: WorkerContext) -> None:
        self.endpoint = endpoint
        self.local = local
        self.workers: dict[str, Worker] = {}
        self.unhealthy: str | None = None
        self.started = 0
        self.crashes = 0
        self.on_launch: Callable[[Worker], None] = lambda _: None
        self.settled = asyncio.Event()
        self._context = context
        self._times = context.times
        self._loop = asyncio.get_running_loop()
        self._crashes = 0
        self._added_at = -math.inf
        self._not_before = -math.inf
        self._scaling_planned = False
        self._scaling_timer: asyncio.TimerHandle | None = None
        self._closing = False

    def schedule_scaling(self) -> None:
        """Scale at the end of this loop tick; several calls within a tick count as one."""
        if not self._scaling_planned:
            self._scaling_planned = True
            self._loop.call_soon(self._scale_now)

    def _scale_now(self) -> None:
        self._scaling_planned = False
        if self._closing:
            return
        load = self._load()
        if self.unhealthy is not None and load.in_queue == 0:
            return
        missing = desired_workers(self.local.scaler, load) - load.workers
        wait_s = self._not_before - self._loop.time()
        if missing > 0 and wait_s > 0:
            self._scale_in(wait_s)
            return
        for _ in range(missing):
            self._add()
        again_s = next_check_s(self.local.scaler, self._load())
        if again_s is not None:
            self._scale_in(again_s)

    def _load(self) -> Load:
        alive = [worker.slot for worker in self.workers.values() if not worker.slot.closing]
        return Load(
            in_queue=self.endpoint.in_queue - self.endpoint.in_queue_low,
            in_progress=self.endpoint.in_progress,
            workers=len(alive),
            initializing=sum(not slot.ready for slot in alive),
            oldest_wait_s=self.endpoint.oldest_wait_s(),
            since_added_s=self._loop.time() - self._added_at,
        )

    def _scale_in(self, seconds: float) -> None:
        if self._scaling_timer is not None:
            self._scaling_timer.cancel()
        self._scaling_timer = self._loop.call_later(seconds, self.schedule_scaling)

    def _add(self) -> None:
        worker_id = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(14))
        self._added_at = self._loop.time()
        worker = Worker(
            self.endpoint.add_slot(worker_id),
            self._context.state_dir / f"{self.endpoint.name}-{worker_id}.log",
            self._loop.create_future(),
        )
        self.workers[worker_id] = worker
        slow = self._context.faults.pick((FaultKind.SLOW_COLD_START,), self.endpoint.name)
        cold_start_s = self._times.cold_start_s + (slow.delay_s if slow else 0)
        self._set_timer(worker, cold_start_s, self._launch)

    def _launch(self, worker: Worker) -> None:
        worker.port = free_port() if self.local.load_balancer else None
        env = worker_environment(
            self.endpoint.name,
            self.local,
            worker.slot.worker_id,
            self._context.platform,
            self._context.inherited,
            port=worker.port,
        )
        try:
            worker.process = self._spawn(worker, env)
        except OSError as error:
            worker.log_path.write_text(f"{self.local.command[0]}: {error.strerror}\n", encoding="utf-8")
            self._on_exit(worker, -1)
            return
        self.started += 1
        self._context.reaper.watch(worker.process.pid)
        worker.launched_at = self._loop.time()
        threading.Thread(target=self._await_exit, args=(worker,), daemon=True).start()
        if worker.process.stdout is not None:
            # A separate thread: the heartbeat also holds the pipe open until the group is killed.
            threading.Thread(target=self._tee, args=(worker, worker.process.stdout), daemon=True).start()
        self._set_timer(worker, self._times.init_timeout_s, self._check_init)
        if not self.local.load_balancer:
            self._set_timer(worker, self._times.ping_timeout_s, self._check_ping)
        self.on_launch(worker)
        log.info("%s: worker %s starts, pid %d", self.endpoint.name, worker.slot.worker_id, worker.process.pid)

    def _spawn(self, worker: Worker, env: dict[str, str]) -> subprocess.Popen[bytes]:
        with worker.log_path.open("ab") as log_file:
            return subprocess.Popen(  # noqa: S603  # the command comes from endpoints.yaml, the user's own file
                self.local.command,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._context.echo else log_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_exit(self, worker: Worker) -> None:
        process = worker.process
        if process is None:
            return
        code = process.wait()
        try:
            self._loop.call_soon_threadsafe(self._on_exit, worker, code)
        except RuntimeError:  # the loop is closed: `stop` has already killed the group
            kill_group(process.pid)

    def _tee(self, worker: Worker, lines: IO[bytes]) -> None:
        with lines, worker.log_path.open("ab") as log_file:
            for line in lines:
                log_file.write(line)
                log_file.flush()
                if self._context.echo is not None:
                    self._context.echo(self.endpoint.name, line.decode(errors="replace").rstrip())

    def became_ready(self, slot: WorkerSlot) -> None:
        """Mark a worker as ready, at its first request for a job or healthy `/ping`, and start its idle timer."""
        slot.ready = True
        self.settled.set()
        slot.idle_since = self.endpoint.clock()
        self.unhealthy = None
        if (worker := self.workers.get(slot.worker_id)) is not None:  # an attached worker isn't managed here
            took_s = self._loop.time() - worker.launched_at
            log.info("%s: worker %s is ready after %.1f s", self.endpoint.name, slot.worker_id, took_s)
            self._set_timer(worker, self.local.idle_timeout_s, self._check_idle)
        self.schedule_scaling()

    def _on_exit(self, worker: Worker, code: int) -> None:
        if worker.exited.done():
            return
        slot = worker.slot
        if worker.process is not None:
            kill_group(worker.process.pid)  # its heartbeat, and other processes that it started
            self._context.reaper.forget(worker.process.pid)
        for timer in worker.timers.values():
            timer.cancel()
        self.workers.pop(slot.worker_id, None)
        worker.exited.set_result(None)
        why = worker.kill_reason or (f"was ended by signal {-code}" if code < 0 else f"exited with code {code}")
        log.info("%s: worker %s %s", self.endpoint.name, slot.worker_id, why)
        self._count_crash(worker, why)
        self.endpoint.remove_worker(slot, f"the worker {why} while it had the job; its log: {worker.log_path}")
        self.schedule_scaling()

    def _count_crash(self, worker: Worker, why: str) -> None:
        if worker.slot.closing:
            return
        self.crashes += 1
        if worker.slot.taken:
            self._crashes = 0
            return
        self._crashes += 1
        self._not_before = self._loop.time() + 0.1 * 2**self._crashes
        if self._crashes >= CRASHES_ALLOWED or self.unhealthy is not None:
            self._crashes = 0
            self.settled.set()
            self.unhealthy = f"no worker of this endpoint starts successfully: the last one {why}"
            self.endpoint.fail_queued(f"{self.unhealthy}; its log: {worker.log_path}")

    def retire(self, worker: Worker) -> None:
        """Stop a worker: no more jobs, SIGTERM, and SIGKILL after the grace once it has no job in progress."""
        if worker.slot.closing:
            return
        self.endpoint.close(worker.slot)
        if worker.process is None:
            self._on_exit(worker, 0)
            return
        # To the main process only: the SDK ends its heartbeat itself, and the group is killed at the exit anyway.
        if worker.process.returncode is None:
            worker.process.send_signal(signal.SIGTERM)
        self._set_timer(worker, ANSWER_POLLS_AFTER_S, self._answer_open_polls)
        self._set_timer(worker, self._times.grace_s, self._check_gone)

    def retire_id(self, worker_id: str) -> None:
        if (worker := self.workers.get(worker_id)) is not None:
            self.retire(worker)

    async def stop(self, grace_s: float) -> None:
        """Stop all workers; kill those that take longer than the grace."""
        self._closing = True
        workers = list(self.workers.values())
        for worker in workers:
            self.retire(worker)
        if workers:
            await asyncio.wait([worker.exited for worker in workers], timeout=grace_s)
        for worker in workers:
            worker.kill("was killed when localpod stopped")
        for worker in workers:
            await worker.exited

    def _set_timer(self, worker: Worker, seconds: float, do: Callable[[Worker], None]) -> None:
        """Set the worker's timer for a callback; all its timers are cancelled at its exit."""
        worker.timers[do] = self._loop.call_later(seconds, do, worker)

    def _answer_open_polls(self, worker: Worker) -> None:
        self.endpoint.answer_open_takes(worker.slot)

    def _check_init(self, worker: Worker) -> None:
        if not worker.slot.ready:
            worker.kill(f"was not ready within {self._times.init_timeout_s:g} s")

    def _check_ping(self, worker: Worker) -> None:
        silent_s = self.endpoint.clock() - worker.slot.last_seen
        if worker.slot.pinged and silent_s >= self._times.ping_timeout_s:
            worker.kill(f"was silent for {silent_s:.0f} s")
            return
        left_s = self._times.ping_timeout_s - (silent_s if worker.slot.pinged else 0)
        self._set_timer(worker, max(left_s, 0.01), self._check_ping)

    def _check_idle(self, worker: Worker) -> None:
        slot = worker.slot
        if slot.closing:
            return
        idle_s = 0.0 if slot.busy else self.endpoint.clock() - slot.idle_since
        spare = self._load().workers > self.local.scaler.min
        if idle_s >= self.local.idle_timeout_s and spare and not self.endpoint.in_queue:
            self.retire(worker)
            return
        if self._stopped_polling(slot):
            worker.kill(f"requested no job for {UNRESPONSIVE_AFTER_S:g} s while some waited")
            return
        left_s = self.local.idle_timeout_s - idle_s
        self._set_timer(worker, left_s if left_s > 0 else self.local.idle_timeout_s, self._check_idle)

    def _stopped_polling(self, slot: WorkerSlot) -> bool:
        """Whether a worker without a job has requested none for `UNRESPONSIVE_AFTER_S` while some wait."""
        silent_s = self.endpoint.clock() - max(slot.last_poll_at, slot.idle_since)
        return bool(self.endpoint.in_queue) and not (slot.busy or slot.open_polls) and silent_s >= UNRESPONSIVE_AFTER_S

    def _check_gone(self, worker: Worker) -> None:
        if worker.slot.busy:  # bounded by the execution timeouts of the jobs
            self._set_timer(worker, self._times.grace_s, self._check_gone)
        else:
            worker.kill("did not stop within the grace")

    def health(self) -> dict[str, int]:
        slots = [slot for slot in self.endpoint.slots.values() if not slot.closing]
        running = sum(slot.busy for slot in slots)
        ready = sum(slot.ready for slot in slots)
        return {
            "idle": max(0, ready - running),
            "initializing": len(slots) - ready,
            "ready": ready,
            "running": running,
            "throttled": 0,
            "unhealthy": int(self.unhealthy is not None),
        }

    @property
    def running(self) -> int:
        return sum(worker.slot.busy for worker in self.workers.values())
