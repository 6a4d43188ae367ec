"""The one thread that owns the device, and the batches it runs.

Jobs wait in one queue. The thread takes the first and, with it, others that can run in the same batch. While the batch
runs, later jobs wait in the queue, or join the batch if the backend asks for more; a job is answered as soon as it is
finished. A cancelled job ends at once for its caller and at the next step on the device. Because there is one thread
only, the next batch starts after the running one has ended.

May import: core.backends, core.errors, core.worker.job. Neither torch nor the SDK.
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
"""Jobs that the platform delivered together reach the queue within this many seconds of one another."""
_STOPPING = "The worker is shutting down; send the request again."


@dataclass(frozen=True, slots=True)
class DeviceResult(Generic[R]):
    """A job's result; `device_ms` is how long the device worked for it, and `share_ms` the job's own part of that.

    Each moment is shared by the unfinished jobs of the batch, so all shares add up to the device's time. `batch_size`
    is the largest number of jobs that ran together with it, itself included.
    """

    result: R
    device_ms: int
    share_ms: int
    batch_size: int


@dataclass(slots=True)
class DeviceTime:
    """Device time of one job over all its calls; `batch_size` is that of the call that returned the result."""

    device_ms: int = 0
    share_ms: int = 0
    batch_size: int = 1

    def add(self, done: DeviceResult[Any]) -> None:
        self.device_ms += done.device_ms
        self.share_ms += done.share_ms

    def facts(self) -> dict[str, Any]:
        """The fields as in a stage's result."""
        return {"device_ms": self.device_ms, "share_ms": self.share_ms, "batch_size": self.batch_size}


@dataclass(eq=False, slots=True)
class _Job(Generic[Q, R]):
    """A job in the queue or in a batch. `shared_s`: device time per unfinished job of its batch when it joined."""

    request: Q
    bucket: Hashable
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[DeviceResult[R]]
    on_step: OnStep | None
    cancelled: threading.Event = field(default_factory=threading.Event)
    answered: bool = False
    joined: float = 0.0
    shared_s: float = 0.0
    batch_size: int = 1

    def answer(self, outcome: DeviceResult[R] | ImgPodError) -> None:
        if not self.answered:
            self.answered = True
            self._in_loop(self._resolve, outcome)

    def step(self, step: int, of: int) -> None:
        if self.on_step is not None and not self.cancelled.is_set():
            self._in_loop(self.on_step, step, of)

    def _in_loop(self, call: Callable[..., None], *args: object) -> None:
        # After a shutdown the event loop is closed; the thread must continue.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call, *args)

    def _resolve(self, outcome: DeviceResult[R] | ImgPodError) -> None:
        if self.future.done():
            return
        if isinstance(outcome, ImgPodError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class _Batch(Generic[Q, R]):
    """The jobs of one call of the backend, and its `BatchCallbacks`.

    `take` returns the jobs that may join, given the number of running ones.
    """

    def __init__(self, jobs: Sequence[_Job[Q, R]], take: Callable[[int], list[_Job[Q, R]]]) -> None:
        self.jobs: list[_Job[Q, R]] = []
        self._take = take
        self._shared_s = 0.0
        self._shared_until = time.monotonic()
        self._join(jobs)

    @property
    def unfinished(self) -> int:
        return sum(not job.answered for job in self.jobs)

    def step(self, index: int, step: int, of: int) -> None:
        self.jobs[index].step(step, of)

    def cancelled(self, index: int) -> bool:
        return self.jobs[index].cancelled.is_set()

    def finished(self, index: int, outcome: Outcome[R]) -> None:
        self.all_finished({index: outcome})

    def more(self) -> list[Q]:
        joining = self._take(self.unfinished)
        if joining:
            self._share_out()
            self._join(joining)
        return [job.request for job in joining]

    def all_finished(self, outcomes: Mapping[int, Outcome[R]]) -> None:
        """Answer jobs with `outcomes`, given by their positions in the batch; skip those that were answered before."""
        now = self._share_out()
        for index, outcome in outcomes.items():
            job = self.jobs[index]
            if isinstance(outcome, ImgPodError):
                job.answer(outcome)
                continue
            device_ms, share_ms = (round(1000 * s) for s in (now - job.joined, self._shared_s - job.shared_s))
            job.answer(DeviceResult(outcome, device_ms, share_ms, job.batch_size))

    def _share_out(self) -> float:
        """Divide the time since the last change among the unfinished jobs; return the present time."""
        now = time.monotonic()
        self._shared_s += (now - self._shared_until) / max(self.unfinished, 1)
        self._shared_until = now
        return now

    def _join(self, jobs: Sequence[_Job[Q, R]]) -> None:
        for job in jobs:
            job.joined, job.shared_s = self._shared_until, self._shared_s
        self.jobs += jobs
        together = self.unfinished
        for job in self.jobs:
            if not job.answered:
                job.batch_size = max(job.batch_size, together)


class Device(Generic[Q, R]):
    """Runs `generate` in the device's thread; at most `max_batch` requests of one `bucket` share a call.

    `window_s` bounds how long a batch waits for more jobs before it starts. It waits only for as many jobs as were
    in the previous batch, so a single caller waits a few milliseconds and several callers form one batch again.
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
        self._queue: deque[_Job[Q, R]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._expected = 0
        self._lost: DeviceLost | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, request: Q, on_step: OnStep | None = None) -> DeviceResult[R]:
        """Run a request and return its result, or raise its error. `on_step(step, of)` is called in the event loop."""
        loop = asyncio.get_running_loop()
        mine: _Job[Q, R] = _Job(request, self._bucket(request), loop, loop.create_future(), on_step)
        self._enqueue(mine)
        try:
            return await mine.future
        finally:
            mine.cancelled.set()

    def close(self) -> None:
        """Wait for the running batch; the jobs that still wait in the queue fail with `WorkerStopping`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _enqueue(self, job: _Job[Q, R]) -> None:
        with self._changed:
            if self._closed:
                raise WorkerStopping(_STOPPING)
            self._queue.append(job)
            self._changed.notify()

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._run(batch)
        for job in self._queue:
            job.answer(WorkerStopping(_STOPPING))

    def _next_batch(self) -> list[_Job[Q, R]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            self._await_more(self._expected if self._expected > 1 else 0)
            return self._gather()

    def _await_more(self, expected: int) -> None:
        """Wait, without the lock, until the batch is full, the expected jobs are there, or the window is over."""
        until = time.monotonic() + self._window_s
        while len(self._queue) < self._max_batch and not self._closed:
            left_s = until - time.monotonic()
            if left_s <= 0 or not self._changed.wait(left_s if len(self._queue) < expected else min(left_s, _SETTLE_S)):
                return

    def _gather(self) -> list[_Job[Q, R]]:
        self._drop_cancelled()
        batch = [job for job in self._queue if job.bucket == self._queue[0].bucket][: self._max_batch]
        taken = set(map(id, batch))
        self._queue = deque(job for job in self._queue if id(job) not in taken)
        return batch

    def _take_joining(self, bucket: Hashable, running: int) -> list[_Job[Q, R]]:
        """Remove and return the first jobs of the queue, as far as they fit the running batch.

        A job of another bucket ends the list, so that it runs when the batch has ended.
        """
        with self._changed:
            self._drop_cancelled()
            joining: list[_Job[Q, R]] = []
            while self._may_join(bucket) and running + len(joining) < self._max_batch:
                joining.append(self._queue.popleft())
            return joining

    def _may_join(self, bucket: Hashable) -> bool:
        return not self._closed and bool(self._queue) and self._queue[0].bucket == bucket

    def _drop_cancelled(self) -> None:
        self._queue = deque(job for job in self._queue if not job.cancelled.is_set())

    def _run(self, jobs: Sequence[_Job[Q, R]]) -> None:
        bucket = jobs[0].bucket
        self._run_batch(_Batch(jobs, lambda running: self._take_joining(bucket, running)))

    def _run_batch(self, batch: _Batch[Q, R]) -> None:
        try:
            outcomes = self._outcomes(batch)
        except DeviceError as error:
            for job in batch.jobs:
                job.answer(error)
        except BaseException as error:  # noqa: BLE001 - any exception: the jobs need an answer and the thread must continue
            self._isolate(batch.jobs, error)
        else:
            batch.all_finished(dict(enumerate(outcomes)))

    def _outcomes(self, batch: _Batch[Q, R]) -> Sequence[Outcome[R]]:
        if self._lost is not None:
            raise self._lost  # a lost device does not recover, and another call can block for minutes
        try:
            outcomes = self._generate([job.request for job in batch.jobs], batch)
        except DeviceLost as error:
            self._lost = error
            raise
        finally:
            # A sequential caller sends its next job as soon as it has an answer. Jobs that are answered from now on are
            # counted as expected; the next jobs of those answered before are in the queue by now.
            self._expected = batch.unfinished + len(self._queue)
        if len(outcomes) != len(batch.jobs):
            raise RuntimeError(f"the backend gave {len(outcomes)} outcomes for {len(batch.jobs)} requests")
        return outcomes

    def _isolate(self, jobs: Sequence[_Job[Q, R]], error: BaseException) -> None:
        """Run each job again alone, so that one job's unexpected failure doesn't fail the others."""
        if len(jobs) == 1:
            jobs[0].answer(internal_error(error))
            return
        for job in jobs:
            if job.cancelled.is_set():
                job.answer(Cancelled("The job was cancelled."))
            elif not job.answered:
                self._run_batch(_Batch([job], lambda _: []))
