"""The one thread that owns the device, and the batches it runs.

Jobs wait here in one line. The thread takes the first and, with it, others that can run in the same batch; while a
batch runs the next ones gather, and a member that is done before the others hears so. A cancelled job leaves at once:
the device hears of it at its next step, and no later work begins before the thread has really ended what it was doing,
because there is only the one thread.

May import: core.backends, core.errors, core.worker.job. It knows neither torch nor the SDK.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from core.backends import BatchCallbacks, Outcome
from core.errors import Cancelled, DeviceError, DeviceLost, ImgPodError, WorkerStopping
from core.worker.job import internal_error

Q = TypeVar("Q")
R = TypeVar("R")
OnStep = Callable[[int, int], None]
Generate = Callable[[Sequence[Q], BatchCallbacks], Sequence[Outcome[R]]]

_SETTLE_S = 0.003
"""Jobs that the platform handed over together reach the line within this of one another."""


@dataclass(frozen=True, slots=True)
class DeviceResult(Generic[R]):
    """A job's result; `device_ms` is how long its batch ran for it, and `share_ms` the job's own part of that.

    Each moment is shared by those of the batch who are not finished, so that all shares add up to the device's time.
    """

    result: R
    device_ms: int
    share_ms: int
    batch_size: int


@dataclass(slots=True)
class DeviceTime:
    """What the device did for one job in all its turns there; `batch_size` is that of the turn that made the result."""

    device_ms: int = 0
    share_ms: int = 0
    batch_size: int = 1

    def add(self, done: DeviceResult[Any]) -> None:
        self.device_ms += done.device_ms
        self.share_ms += done.share_ms

    def facts(self) -> dict[str, Any]:
        """As a stage's result has them."""
        return {"device_ms": self.device_ms, "share_ms": self.share_ms, "batch_size": self.batch_size}


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Q, R]):
    request: Q
    bucket: Hashable
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[DeviceResult[R]]
    on_step: OnStep | None
    cancelled: threading.Event = field(default_factory=threading.Event)
    told: bool = False

    def tell(self, outcome: DeviceResult[R] | ImgPodError) -> None:
        if not self.told:
            self.told = True
            self._in_loop(self._tell, outcome)

    def step(self, step: int, of: int) -> None:
        if self.on_step is not None and not self.cancelled.is_set():
            self._in_loop(self.on_step, step, of)

    def _in_loop(self, call: Callable[..., None], *args: object) -> None:
        # A loop that has closed belongs to a worker that has left: nobody listens, and the thread must live on.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call, *args)

    def _tell(self, outcome: DeviceResult[R] | ImgPodError) -> None:
        if self.future.done():
            return
        if isinstance(outcome, ImgPodError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


@dataclass(slots=True)
class _BatchWatch(Generic[Q, R]):
    batch: Sequence[_Waiting[Q, R]]
    started: float = field(default_factory=time.monotonic)
    _shared_s: float = 0.0
    """What each one that is not finished has had of the device by `_shared_until`."""
    _shared_until: float = 0.0

    def step(self, index: int, step: int, of: int) -> None:
        self.batch[index].step(step, of)

    def cancelled(self, index: int) -> bool:
        return self.batch[index].cancelled.is_set()

    def finished(self, index: int, outcome: Outcome[R]) -> None:
        """A short text need not wait for the longest of its batch."""
        self.all_finished({index: outcome})

    def all_finished(self, outcomes: Mapping[int, Outcome[R]]) -> None:
        """`outcomes` by their members' places, all at this moment; who has been told already is left out."""
        now = time.monotonic()
        going = sum(not job.told for job in self.batch)
        self._shared_s += (now - (self._shared_until or self.started)) / max(going, 1)
        self._shared_until = now
        device_ms, share_ms = round(1000 * (now - self.started)), round(1000 * self._shared_s)
        for index, outcome in outcomes.items():
            done = (
                outcome
                if isinstance(outcome, ImgPodError)
                else DeviceResult(outcome, device_ms, share_ms, len(self.batch))
            )
            self.batch[index].tell(done)


class Device(Generic[Q, R]):
    """`generate` runs in the device's thread; requests of one `bucket` may share a call of at most `max_batch`.

    `window_s` bounds how long a batch waits for company. It waits only for as many jobs as came together the last
    time, so a lone caller pays a few milliseconds and a crowd comes back as one batch.
    """

    def __init__(
        self,
        generate: Generate[Q, R],
        *,
        bucket: Callable[[Q], Hashable] | None = None,
        max_batch: int = 1,
        window_s: float = 0.0,
        name: str = "device",
    ) -> None:
        self._generate = generate
        self._bucket = bucket or (lambda _: None)
        self._max_batch = max_batch
        self._window_s = window_s if max_batch > 1 else 0.0
        self._line: deque[_Waiting[Q, R]] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._crowd = 0
        self._lost: DeviceLost | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, request: Q, on_step: OnStep | None = None) -> DeviceResult[R]:
        """Raises what the backend gave for this request; `on_step(step, of)` is called in the event loop."""
        loop = asyncio.get_running_loop()
        mine: _Waiting[Q, R] = _Waiting(request, self._bucket(request), loop, loop.create_future(), on_step)
        self._enter(mine)
        try:
            return await mine.future
        finally:
            mine.cancelled.set()

    def close(self) -> None:
        """Waits for the batch that runs; who still waits in line hears `WorkerStopping`."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    # ── in the event loop ──

    def _enter(self, job: _Waiting[Q, R]) -> None:
        with self._news:
            if self._closed:
                raise WorkerStopping("The worker is leaving; send the request again.")
            self._line.append(job)
            self._news.notify()

    # ── in the device's thread ──

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._run(batch)
        for job in self._line:
            job.tell(WorkerStopping("The worker is leaving; send the request again."))

    def _next_batch(self) -> list[_Waiting[Q, R]] | None:
        with self._news:
            self._news.wait_for(lambda: self._line or self._closed)
            if self._closed:
                return None
            self._await_company(self._crowd if self._crowd > 1 else 0)
            return self._gather()

    def _await_company(self, expected: int) -> None:
        """Lets go of the lock while it waits; ends when the batch is full, the crowd is back, or the window is over."""
        until = time.monotonic() + self._window_s
        while len(self._line) < self._max_batch and not self._closed:
            left_s = until - time.monotonic()
            if left_s <= 0 or not self._news.wait(left_s if len(self._line) < expected else min(left_s, _SETTLE_S)):
                return

    def _gather(self) -> list[_Waiting[Q, R]]:
        waiting = [job for job in self._line if not job.cancelled.is_set()]
        batch = [job for job in waiting if job.bucket == waiting[0].bucket][: self._max_batch]
        taken = set(map(id, batch))
        self._line = deque(job for job in waiting if id(job) not in taken)
        return batch

    def _run(self, batch: Sequence[_Waiting[Q, R]]) -> None:
        watch = _BatchWatch(batch)
        try:
            outcomes = self._outcomes(batch, watch)
        except DeviceError as error:
            for job in batch:
                job.tell(error)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the jobs must hear of it and the thread live on
            self._isolate(batch, error)
        else:
            watch.all_finished(dict(enumerate(outcomes)))

    def _outcomes(self, batch: Sequence[_Waiting[Q, R]], watch: BatchCallbacks) -> Sequence[Outcome[R]]:
        if self._lost is not None:
            raise self._lost  # a lost device stays lost, and asking it again can block for minutes
        try:
            outcomes = self._generate([job.request for job in batch], watch)
        except DeviceLost as error:
            self._lost = error
            raise
        finally:
            # Whoever works in sequence comes back as soon as he hears, and must not wait for himself: those who hear
            # from now on are counted before they do, and those who have heard are in the line if they are back.
            self._crowd = sum(not job.told for job in batch) + len(self._line)
        if len(outcomes) != len(batch):
            raise RuntimeError(f"the backend gave {len(outcomes)} outcomes for {len(batch)} requests")
        return outcomes

    def _isolate(self, batch: Sequence[_Waiting[Q, R]], error: BaseException) -> None:
        """After an unexpected failure of a batch, run each member alone, so that one cannot fail the others."""
        if len(batch) == 1:
            batch[0].tell(internal_error(error))
            return
        for job in batch:
            if job.cancelled.is_set():
                job.tell(Cancelled("The job was cancelled."))
            elif not job.told:
                self._run([job])
