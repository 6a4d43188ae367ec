"""One endpoint as the platform keeps it: its queue, its jobs and the seats of its workers.

Pure: the clock is given, nothing sleeps and nothing is sent. Whoever waits leaves a function that is called the moment
there is something for it, so a queued job meets a waiting worker in the same call. Deadlines lie in one heap:
`next_due` tells when `advance` is wanted. No operation looks at every job, but for `purge` and `fail_queued`.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from localpod.jobs import Envelope, Job, Outcome, State, new_id

RETENTION_S = 30 * 60.0
SYNC_RETENTION_S = 60.0


@dataclass(eq=False, slots=True)
class WorkerSlot:
    """A worker as the queue sees it. Being `ready` starts with its first question for a job."""

    worker_id: str
    idle_since: float
    last_seen: float
    ready: bool = False
    closing: bool = False
    pinged: bool = False
    taken: int = 0
    asking: int = 0
    asked_at: float = 0.0
    jobs: dict[str, Job] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)
    on_stop: Callable[[], None] | None = None
    parked: list[PendingTake] = field(default_factory=list)

    def push_stop(self, job_id: str) -> None:
        self.stops.append(job_id)
        self.wake_stop()

    def wake_stop(self) -> None:
        if self.on_stop is not None:
            self.on_stop()


@dataclass(eq=False, slots=True)
class PendingTake:
    """A worker's open question for jobs: `deliver` is called once, with at most `limit` of them, or none."""

    seat: WorkerSlot
    limit: int
    deliver: Callable[[list[Job]], None]


Line = deque[tuple[int, Job]]
"""Places and jobs, in the order they are to be taken."""


class _Due(Enum):
    TTL = auto()
    EXECUTION = auto()
    RETENTION = auto()


@dataclass(frozen=True)
class RetentionPolicy:
    """How long results are kept, and how often a job whose worker died is tried again."""

    retention_s: float = RETENTION_S
    sync_retention_s: float = SYNC_RETENTION_S
    max_requeues: int = 1


def _nothing(*_: object) -> None:
    return


class Endpoint:
    """`on_change` follows whatever matters to scaling, `on_final` each job's end, `on_due` an earlier `next_due`."""

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float],
        execution_timeout_s: float = 600.0,
        keeping: RetentionPolicy | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self.execution_timeout_s = execution_timeout_s
        self.keeping = keeping or RetentionPolicy()
        self.jobs: dict[str, Job] = {}
        self.seats: dict[str, WorkerSlot] = {}
        self.counts: Counter[str] = Counter()
        self.in_queue = 0
        self.in_queue_low = 0
        self.in_progress = 0
        self.on_change: Callable[[], None] = _nothing
        self.on_final: Callable[[Job], None] = _nothing
        self.on_due: Callable[[float], None] = _nothing
        self._normal: Line = deque()
        self._low: Line = deque()
        self._again: deque[Job] = deque()
        self._takers: OrderedDict[PendingTake, None] = OrderedDict()
        self._timers: list[tuple[float, int, _Due, Job, int]] = []
        self._ticket = itertools.count()

    # ── the client's side ────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, envelope: Envelope, *, sync: bool) -> Job:
        now = self.clock()
        job = Job(new_id(sync=sync), envelope, sync, submitted_at=now, queued_at=now)
        self.jobs[job.id] = job
        self.counts["submitted"] += 1
        self._arm(now + envelope.ttl_s, _Due.TTL, job)
        self._enqueue(job)
        return job

    def cancel(self, job: Job) -> None:
        """A job that has ended stays as it is."""
        if not job.state.final:
            self._settle(job, State.CANCELLED, stop=True)

    def retry(self, job: Job) -> bool:
        """Only what failed or timed out can be tried again; its old result is gone at once."""
        if job.state not in (State.FAILED, State.TIMED_OUT):
            return False
        job.output, job.has_output, job.error = None, False, None
        job.taken_at = job.done_at = job.worker_id = job.expires_at = None
        job.requeues = 0
        job.chunks.clear()
        self.counts["retried"] += 1
        self._enqueue(job)
        return True

    def purge(self) -> int:
        """Cancels what waits; what runs is left alone. Returns how many."""
        waiting = list(self._waiting())
        for job in waiting:
            self._settle(job, State.CANCELLED)
        return len(waiting)

    def fail_queued(self, reason: str) -> None:
        for job in list(self._waiting()):
            job.error = reason
            self._settle(job, State.FAILED)

    def set_result_ttl(self, job: Job, ttl_s: float) -> None:
        """`/status?ttl=`: the job and its result are gone after this, if they would not be sooner."""
        expires_at = self.clock() + ttl_s
        if job.expires_at is None or expires_at < job.expires_at:
            job.expires_at = expires_at
            self._arm(expires_at, _Due.RETENTION, job)

    def read_stream(self, job: Job) -> list[object]:
        """The chunks nobody has read yet: each is told once, or a client could never see the stream's end."""
        chunks, job.chunks = job.chunks, []
        return chunks

    # ── the worker's side ────────────────────────────────────────────────────────────────────────────────────────────

    def seat(self, worker_id: str) -> WorkerSlot:
        now = self.clock()
        seat = self.seats[worker_id] = WorkerSlot(worker_id, idle_since=now, last_seen=now)
        return seat

    def take(self, seat: WorkerSlot, limit: int) -> list[Job]:
        """What is there for a worker right now; the job counts as running from here."""
        if seat.closing:
            return []
        handed: list[Job] = []
        while len(handed) < limit and (job := self._next()) is not None:
            self._hand(job, seat)
            handed.append(job)
        if handed:
            self.on_change()
        return handed

    def wait(self, taker: PendingTake) -> None:
        self._takers[taker] = None
        self._feed()

    def unwait(self, taker: PendingTake) -> None:
        self._takers.pop(taker, None)

    def give_back(self, seat: WorkerSlot, jobs: list[Job]) -> None:
        """Jobs that were handed into a connection nobody holds any more: as if they had never been taken."""
        for job in reversed(jobs):
            if seat.jobs.pop(job.id, None) is not None and job.state is State.IN_PROGRESS:
                self._requeue(job)
        self._went_idle(seat)

    def finish(self, job: Job, worker_id: str, outcome: Outcome) -> bool:
        """The first result wins, whoever posts it; a later one is told that it came too late (False)."""
        seat = self.seats.get(worker_id)
        if seat is not None and seat.jobs.pop(job.id, None) is not None:
            self._went_idle(seat)
        if job.state.final:
            self.counts["late_results"] += 1
            return False
        job.worker_id = worker_id
        job.output, job.has_output, job.error = outcome.output, outcome.has_output, outcome.error
        self._settle(job, State.FAILED if outcome.error else State.COMPLETED)
        return True

    def progress(self, job: Job, worker_id: str, output: object) -> bool:
        """Progress of a job that has ended, or that another worker has by now, is dropped (False)."""
        if job.state is not State.IN_PROGRESS or job.worker_id != worker_id:
            self.counts["late_progress"] += 1
            return False
        job.output, job.has_output = output, True
        return True

    def stream(self, job: Job, worker_id: str, chunk: object) -> bool:
        if job.state is not State.IN_PROGRESS or job.worker_id != worker_id:
            return False
        job.chunks.append(chunk)
        return True

    def heard_of(self, seat: WorkerSlot, job_id: str) -> None:
        """A heartbeat named a job as running. One that has been stopped is told so again: the stock SDK overhears a
        stop that comes between a job's arrival and its start, and would work on to the end.
        """
        job = self.jobs.get(job_id)
        if job is None or job.state in (State.CANCELLED, State.TIMED_OUT):
            seat.push_stop(job_id)

    def duplicate(self, job: Job) -> None:
        """Hands the job out once more to whoever asks next, as an at-least-once queue may."""
        self._again.append(job)
        self._feed()

    def close(self, seat: WorkerSlot) -> None:
        """No more jobs for this worker. Its open questions stay open until `dismiss`."""
        seat.closing = True
        seat.parked += [taker for taker in self._takers if taker.seat is seat]
        for taker in seat.parked:
            self.unwait(taker)

    def dismiss(self, seat: WorkerSlot) -> None:
        """Answers what a closed seat still asks with nothing: a worker told to stop leaves when its polls return."""
        parked, seat.parked = seat.parked, []
        for taker in parked:
            taker.deliver([])
        seat.wake_stop()

    def leave(self, seat: WorkerSlot, reason: str) -> None:
        """The worker is gone: what it had is queued again at the head, or failed with `reason` the second time."""
        self.close(seat)
        self.dismiss(seat)
        self.seats.pop(seat.worker_id, None)
        jobs, seat.jobs = list(seat.jobs.values()), {}
        for job in reversed(jobs):
            if job.state is not State.IN_PROGRESS or job.worker_id != seat.worker_id:
                continue
            if job.requeues >= self.keeping.max_requeues:
                job.error = reason
                self._settle(job, State.FAILED)
                continue
            job.requeues += 1
            self.counts["requeued"] += 1
            self._requeue(job)
        self.on_change()

    # ── what scaling looks at ────────────────────────────────────────────────────────────────────────────────────────

    def oldest_wait_s(self) -> float | None:
        """How long the job at the head has waited; None when none waits that may start a worker."""
        _drop_stale(self._normal)
        return self.clock() - self._normal[0][1].queued_at if self._normal else None

    def find(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    # ── deadlines ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def next_due(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def advance(self) -> None:
        """Does what is due by now."""
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            _, _, due, job, attempt = heapq.heappop(self._timers)
            if self.jobs.get(job.id) is job:
                self._fall_due(due, job, attempt, now)

    def _fall_due(self, due: _Due, job: Job, attempt: int, now: float) -> None:
        if due is _Due.TTL and not job.state.final:
            self.expire(job)
        elif due is _Due.EXECUTION and job.state is State.IN_PROGRESS and job.attempts == attempt:
            job.error = "the job ran longer than its execution timeout"
            job.output, job.has_output = None, False
            self._settle(job, State.TIMED_OUT, stop=True)
        elif due is _Due.RETENTION and job.expires_at is not None and job.expires_at <= now:
            self.expire(job)

    def expire(self, job: Job) -> None:
        """Forgets a job, even while it runs: `/status` answers 404 from here on."""
        if not job.state.final:
            self.counts["expired"] += 1
            job.error = "the job outlived its ttl"
            self._settle(job, State.TIMED_OUT, stop=True, keep=False)
        self.jobs.pop(job.id, None)

    def _arm(self, due_at: float, due: _Due, job: Job) -> None:
        if len(self._timers) > 4 * len(self.jobs) + 1024:
            self._timers = [timer for timer in self._timers if self.jobs.get(timer[3].id) is timer[3]]
            heapq.heapify(self._timers)
        timer = (due_at, next(self._ticket), due, job, job.attempts)
        heapq.heappush(self._timers, timer)
        if self._timers[0] is timer:
            self.on_due(due_at)

    # ── queue and states ─────────────────────────────────────────────────────────────────────────────────────────────

    def _enqueue(self, job: Job, *, head: bool = False) -> None:
        low = job.envelope.low_priority
        job.state = State.IN_QUEUE
        job.queued_at = self.clock()
        self.in_queue += 1
        self.in_queue_low += low
        line = self._low if low else self._normal
        job.place = next(self._ticket)
        if head:
            line.appendleft((job.place, job))
        else:
            line.append((job.place, job))
        self._feed()
        self.on_change()

    def _requeue(self, job: Job) -> None:
        self.in_progress -= 1
        job.taken_at = job.worker_id = job.output = None
        job.has_output = False
        job.chunks.clear()
        self._enqueue(job, head=True)

    def _next(self) -> Job | None:
        while self._again:
            job = self._again.popleft()
            if job.state is not State.IN_QUEUE:  # else it is handed out again in any case
                return job
        for line in (self._normal, self._low):
            _drop_stale(line)
            if line:
                return line.popleft()[1]
        return None

    def _feed(self) -> None:
        while self._takers and (self._again or self.in_queue):
            taker, _ = self._takers.popitem(last=False)
            if jobs := self.take(taker.seat, taker.limit):
                taker.deliver(jobs)
            else:
                self._takers[taker] = None

    def _hand(self, job: Job, seat: WorkerSlot) -> None:
        seat.jobs[job.id] = job
        seat.taken += 1
        if job.state is not State.IN_QUEUE:
            self.counts["duplicated"] += 1
            return
        self._left_queue(job)
        self.in_progress += 1
        now = self.clock()
        job.state, job.taken_at, job.worker_id = State.IN_PROGRESS, now, seat.worker_id
        job.attempts += 1
        self._arm(now + (job.envelope.execution_timeout_s or self.execution_timeout_s), _Due.EXECUTION, job)

    def _left_queue(self, job: Job) -> None:
        self.in_queue -= 1
        self.in_queue_low -= job.envelope.low_priority

    def _settle(self, job: Job, state: State, *, stop: bool = False, keep: bool = True) -> None:
        if job.state is State.IN_QUEUE:
            self._left_queue(job)
        else:
            self.in_progress -= 1
            self._free_holder(job, stop=stop)
        job.state, job.done_at = state, self.clock()
        self.counts[state.value] += 1
        if keep:
            kept_s = self.keeping.sync_retention_s if job.sync else self.keeping.retention_s
            job.expires_at = min(job.expires_at or float("inf"), job.done_at + kept_s)
            self._arm(job.expires_at, _Due.RETENTION, job)
            self.on_final(job)
        job.wake()
        self.on_change()

    def _free_holder(self, job: Job, *, stop: bool) -> None:
        seat = self.seats.get(job.worker_id or "")
        if seat is None or seat.jobs.pop(job.id, None) is None:
            return
        self._went_idle(seat)
        if stop:
            seat.push_stop(job.id)

    def _went_idle(self, seat: WorkerSlot) -> None:
        if not seat.jobs:
            seat.idle_since = self.clock()

    def _waiting(self) -> Iterator[Job]:
        return (job for line in (self._normal, self._low) for place, job in line if _waits(place, job))


def _waits(place: int, job: Job) -> bool:
    """A job that ended while it waited, and was retried, has another place now."""
    return job.state is State.IN_QUEUE and job.place == place


def _drop_stale(line: Line) -> None:
    """What was cancelled while it waited stays in the line until it is at the head: taking it out would be a scan."""
    while line and not _waits(*line[0]):
        line.popleft()
