"""The one thread that owns the device, and the batches it runs.

Jobs wait here in one line. The thread takes the first and, with it, others that can run in the same batch; while a
batch runs the next ones gather. A cancelled job leaves at once: the device hears of it at its next step, and no later
work begins before the thread has really ended what it was doing, because there is only the one thread.

May import: core.backends, core.errors, core.worker.job. It knows neither torch nor the SDK.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.backends import Outcome, Watch
from core.errors import Cancelled, DeviceError, ImgPodError
from core.worker.job import unforeseen

Q = TypeVar("Q")
R = TypeVar("R")
OnStep = Callable[[int, int], None]
Generate = Callable[[Sequence[Q], Watch], Sequence[Outcome[R]]]


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A job's result; `device_ms` is how long its batch ran, which `batch_size` jobs share."""

    result: R
    device_ms: int
    batch_size: int


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Q, R]):
    request: Q
    bucket: Hashable
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Done[R]]
    on_step: OnStep | None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def tell(self, outcome: Done[R] | ImgPodError) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._tell, outcome)

    def _tell(self, outcome: Done[R] | ImgPodError) -> None:
        if self.future.done():
            return
        if isinstance(outcome, ImgPodError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


@dataclass(frozen=True, slots=True)
class _BatchWatch(Generic[Q, R]):
    batch: Sequence[_Waiting[Q, R]]

    def step(self, index: int, step: int, of: int) -> None:
        member = self.batch[index]
        if member.on_step is not None and not member.cancelled.is_set():
            member.loop.call_soon_threadsafe(member.on_step, step, of)

    def cancelled(self, index: int) -> bool:
        return self.batch[index].cancelled.is_set()


class Device(Generic[Q, R]):
    """`generate` runs in the device's thread; requests of one `bucket` may share a call of at most `max_batch`.

    `window_s` is how long a batch waits for more, and only while jobs arrive so densely that waiting has paid.
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
        self._window_s = window_s
        self._line: deque[_Waiting[Q, R]] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._last_arrival = self._last_gap = float("inf")
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, request: Q, on_step: OnStep | None = None) -> Done[R]:
        """Raises what the backend gave for this request; `on_step(step, of)` is called in the event loop."""
        loop = asyncio.get_running_loop()
        mine: _Waiting[Q, R] = _Waiting(request, self._bucket(request), loop, loop.create_future(), on_step)
        self._enter(mine)
        try:
            return await mine.future
        finally:
            mine.cancelled.set()

    def close(self) -> None:
        """Waits for the batch that runs; nothing may be run afterwards."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    # ── in the event loop ──

    def _enter(self, job: _Waiting[Q, R]) -> None:
        with self._news:
            now = time.monotonic()
            self._last_gap, self._last_arrival = now - self._last_arrival, now
            self._line.append(job)
            self._news.notify()

    # ── in the device's thread ──

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._run(batch)

    def _next_batch(self) -> list[_Waiting[Q, R]] | None:
        with self._news:
            self._news.wait_for(lambda: self._line or self._closed)
            if self._closed:
                return None
            if self._max_batch > 1 and self._last_gap < self._window_s:
                self._news.wait_for(lambda: len(self._line) >= self._max_batch or self._closed, timeout=self._window_s)
            return self._gather()

    def _gather(self) -> list[_Waiting[Q, R]]:
        waiting = [job for job in self._line if not job.cancelled.is_set()]
        batch = [job for job in waiting if job.bucket == waiting[0].bucket][: self._max_batch]
        self._line = deque(job for job in waiting if job not in batch)
        return batch

    def _run(self, batch: Sequence[_Waiting[Q, R]]) -> None:
        started = time.monotonic()
        try:
            outcomes = self._generate([job.request for job in batch], _BatchWatch(batch))
        except DeviceError as error:
            for job in batch:
                job.tell(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, each member of the batch must hear of it
            self._isolate(batch, error)
        else:
            device_ms = round(1000 * (time.monotonic() - started))
            for job, outcome in zip(batch, outcomes, strict=True):
                job.tell(outcome if isinstance(outcome, ImgPodError) else Done(outcome, device_ms, len(batch)))

    def _isolate(self, batch: Sequence[_Waiting[Q, R]], error: Exception) -> None:
        """One member's unforeseen failure must not be the others': each runs again alone."""
        if len(batch) == 1:
            batch[0].tell(unforeseen(error))
            return
        for job in batch:
            if job.cancelled.is_set():
                job.tell(Cancelled("The job was cancelled."))
            else:
                self._run([job])
