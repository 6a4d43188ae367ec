"""The state of one queue endpoint: its queue, its jobs and the slots of its workers.

Pure: the clock is an argument, nothing sleeps and nothing is sent. Waiting callers register a callback, so a queued job
reaches a waiting worker within the same call. `next_deadline` says when `advance` must be called. No operation scans
every job except `purge` and `fail_queued`.
"""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from localpod.jobs import Envelope, Job, Outcome, State, new_id
from localpod.slots import PendingTake, WorkerSlot
from localpod.timers import TimerKind, Timers

RETENTION_S = 30 * 60.0
SYNC_RETENTION_S = 60.0
JobQueue = deque[tuple[int, Job]]
"""Queue positions and jobs, in the order in which they are taken."""


@dataclass(frozen=True)
class RetentionPolicy:
    """Retention of results, s, and how often the job of a crashed worker is queued again."""

    retention_s: float = RETENTION_S
    sync_retention_s: float = SYNC_RETENTION_S
    max_requeues: int = 1


def _ignore(*_: object) -> None:
    return


class Endpoint:
    """A queue endpoint. Callbacks: `on_change` after a change of load, `on_final` at a job's end."""

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float],
        execution_timeout_s: float = 600.0,
        retention: RetentionPolicy | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self.execution_timeout_s = execution_timeout_s
        self.retention = retention or RetentionPolicy()
        self.jobs: dict[str, Job] = {}
        self.slots: dict[str, WorkerSlot] = {}
        self.counts: Counter[str] = Counter()
        self.timers = Timers()
        self.in_queue = 0
        self.in_queue_low = 0
        self.in_progress = 0
        self.on_change: Callable[[], None] = _ignore
        self.on_final: Callable[[Job], None] = _ignore
        self._normal: JobQueue = deque()
        self._low: JobQueue = deque()
        self._duplicates: deque[Job] = deque()
        self._pending_takes: OrderedDict[PendingTake, None] = OrderedDict()
        self._positions = itertools.count()

    def submit(self, envelope: Envelope, *, sync: bool) -> Job:
        now = self.clock()
        job = Job(new_id(sync=sync), envelope, sync, submitted_at=now, queued_at=now)
        self.jobs[job.id] = job
        self.counts["submitted"] += 1
        self._set_timer(now + envelope.ttl_s, TimerKind.TTL, job)
        self._enqueue(job)
        return job

    def cancel(self, job: Job) -> None:
        """Cancel a job; an ended job is not changed."""
        if not job.state.final:
            self._finalize(job, State.CANCELLED, stop=True)

    def retry(self, job: Job) -> bool:
        """Queue a failed or timed-out job again and drop its result. False for any other state."""
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
        """Cancel the queued jobs, not the running ones. Returns their number."""
        queued = list(self._queued())
        for job in queued:
            self._finalize(job, State.CANCELLED)
        return len(queued)

    def fail_queued(self, reason: str) -> None:
        for job in list(self._queued()):
            job.error = reason
            self._finalize(job, State.FAILED)

    def set_result_ttl(self, job: Job, ttl_s: float) -> None:
        """Apply `/status?ttl=`: delete the job and its result after `ttl_s`, unless they expire earlier."""
        expires_at = self.clock() + ttl_s
        if job.expires_at is None or expires_at < job.expires_at:
            job.expires_at = expires_at
            self._set_timer(expires_at, TimerKind.RETENTION, job)

    def read_stream(self, job: Job) -> list[object]:
        """Return and remove the unread chunks; a client recognises the end of a stream by an empty answer."""
        chunks, job.chunks = job.chunks, []
        return chunks

    def find(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    def add_slot(self, worker_id: str) -> WorkerSlot:
        now = self.clock()
        slot = self.slots[worker_id] = WorkerSlot(worker_id, idle_since=now, last_seen=now)
        return slot

    def take(self, slot: WorkerSlot, limit: int) -> list[Job]:
        """Assign up to `limit` queued jobs to a worker and start their execution time."""
        if slot.closing:
            return []
        assigned: list[Job] = []
        while len(assigned) < limit and (job := self._next()) is not None:
            self._assign(job, slot)
            assigned.append(job)
        if assigned:
            self.on_change()
        return assigned

    def add_take(self, take: PendingTake) -> None:
        self._pending_takes[take] = None
        self._dispatch()

    def remove_take(self, take: PendingTake) -> None:
        self._pending_takes.pop(take, None)

    def return_jobs(self, slot: WorkerSlot, jobs: list[Job]) -> None:
        """Queue jobs again whose answer went into a closed connection, as if they had never been taken."""
        for job in reversed(jobs):
            if slot.jobs.pop(job.id, None) is not None and job.state is State.IN_PROGRESS:
                self._requeue(job)
        self._mark_idle(slot)

    def finish(self, job: Job, worker_id: str, outcome: Outcome) -> bool:
        """Store the first result of a job, from any worker. False for a later one, which is dropped."""
        slot = self.slots.get(worker_id)
        if slot is not None and slot.jobs.pop(job.id, None) is not None:
            self._mark_idle(slot)
        if job.state.final:
            self.counts["late_results"] += 1
            return False
        job.worker_id = worker_id
        job.output, job.has_output, job.error = outcome.output, outcome.has_output, outcome.error
        self._finalize(job, State.FAILED if outcome.error else State.COMPLETED)
        return True

    def progress(self, job: Job, worker_id: str, output: object) -> bool:
        """Store a progress update. False when the job has ended or belongs to another worker."""
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

    def report_running(self, slot: WorkerSlot, job_id: str) -> None:
        """Process one job id of a heartbeat: repeat the stop signal of a job that has been stopped.

        The stock SDK misses a stop that arrives between a job's arrival and its start.
        """
        job = self.jobs.get(job_id)
        if job is None or job.state in (State.CANCELLED, State.TIMED_OUT):
            slot.push_stop(job_id)

    def duplicate(self, job: Job) -> None:
        """Deliver a running job a second time, as an at-least-once queue may."""
        self._duplicates.append(job)
        self._dispatch()

    def close(self, slot: WorkerSlot) -> None:
        """Stop assigning jobs to a worker. Its long polls stay open until `answer_open_takes`."""
        slot.closing = True
        slot.held_takes += [take for take in self._pending_takes if take.slot is slot]
        for take in slot.held_takes:
            self.remove_take(take)

    def answer_open_takes(self, slot: WorkerSlot) -> None:
        """Answer a closed slot's long polls with no job: a stopping SDK worker exits when its polls return."""
        held, slot.held_takes = slot.held_takes, []
        for take in held:
            take.resolve([])
        slot.wake_stop()

    def remove_worker(self, slot: WorkerSlot, reason: str) -> None:
        """Remove an exited worker; queue its jobs again at the head, or fail them with `reason` the second time."""
        self.close(slot)
        self.answer_open_takes(slot)
        self.slots.pop(slot.worker_id, None)
        jobs, slot.jobs = list(slot.jobs.values()), {}
        for job in reversed(jobs):
            if job.state is State.IN_PROGRESS and job.worker_id == slot.worker_id:
                self._requeue_or_fail(job, reason)
        self.on_change()

    def _requeue_or_fail(self, job: Job, reason: str) -> None:
        if job.requeues >= self.retention.max_requeues:
            job.error = reason
            self._finalize(job, State.FAILED)
            return
        job.requeues += 1
        self.counts["requeued"] += 1
        self._requeue(job)

    def oldest_wait_s(self) -> float | None:
        """Waiting time in seconds of the first queued job that is not of low priority; None if there is none."""
        _drop_stale(self._normal)
        return self.clock() - self._normal[0][1].queued_at if self._normal else None

    @property
    def next_deadline(self) -> float | None:
        return self.timers.next_deadline

    def advance(self) -> None:
        """Apply every deadline that has passed."""
        now = self.clock()
        for kind, job, attempt in self.timers.pop_due(now):
            if self.jobs.get(job.id) is job:
                self._on_timer(kind, job, attempt, now)

    def _on_timer(self, kind: TimerKind, job: Job, attempt: int, now: float) -> None:
        if kind is TimerKind.TTL and not job.state.final:
            self.expire(job)
        elif kind is TimerKind.EXECUTION and job.state is State.IN_PROGRESS and job.attempts == attempt:
            job.error = "the job ran longer than its execution timeout"
            job.output, job.has_output = None, False
            self._finalize(job, State.TIMED_OUT, stop=True)
        elif kind is TimerKind.RETENTION and job.expires_at is not None and job.expires_at <= now:
            self.expire(job)

    def expire(self, job: Job) -> None:
        """Delete a job, even while it runs: `/status` answers 404 afterwards."""
        if not job.state.final:
            self.counts["expired"] += 1
            job.error = "the job outlived its ttl"
            self._finalize(job, State.TIMED_OUT, stop=True, keep=False)
        self.jobs.pop(job.id, None)

    def _set_timer(self, deadline: float, kind: TimerKind, job: Job) -> None:
        if len(self.timers) > 4 * len(self.jobs) + 1024:
            self.timers.compact(self.jobs)
        self.timers.add(deadline, kind, job)

    def _enqueue(self, job: Job, *, head: bool = False) -> None:
        low = job.envelope.low_priority
        job.state = State.IN_QUEUE
        job.queued_at = self.clock()
        self.in_queue += 1
        self.in_queue_low += low
        queue = self._low if low else self._normal
        job.position = next(self._positions)
        if head:
            queue.appendleft((job.position, job))
        else:
            queue.append((job.position, job))
        self._dispatch()
        self.on_change()

    def _requeue(self, job: Job) -> None:
        self.in_progress -= 1
        job.taken_at = job.worker_id = job.output = None
        job.has_output = False
        job.chunks.clear()
        self._enqueue(job, head=True)

    def _next(self) -> Job | None:
        while self._duplicates:
            job = self._duplicates.popleft()
            if job.state is not State.IN_QUEUE:  # a queued job is delivered anyway
                return job
        for queue in (self._normal, self._low):
            _drop_stale(queue)
            if queue:
                return queue.popleft()[1]
        return None

    def _dispatch(self) -> None:
        while self._pending_takes and (self._duplicates or self.in_queue):
            take, _ = self._pending_takes.popitem(last=False)
            if jobs := self.take(take.slot, take.limit):
                take.resolve(jobs)
            else:
                self._pending_takes[take] = None

    def _assign(self, job: Job, slot: WorkerSlot) -> None:
        slot.jobs[job.id] = job
        slot.taken += 1
        if job.state is not State.IN_QUEUE:
            self.counts["duplicated"] += 1
            return
        self._count_dequeued(job)
        self.in_progress += 1
        now = self.clock()
        job.state, job.taken_at, job.worker_id = State.IN_PROGRESS, now, slot.worker_id
        job.attempts += 1
        execution_timeout_s = job.envelope.execution_timeout_s or self.execution_timeout_s
        self._set_timer(now + execution_timeout_s, TimerKind.EXECUTION, job)

    def _count_dequeued(self, job: Job) -> None:
        self.in_queue -= 1
        self.in_queue_low -= job.envelope.low_priority

    def _finalize(self, job: Job, state: State, *, stop: bool = False, keep: bool = True) -> None:
        if job.state is State.IN_QUEUE:
            self._count_dequeued(job)
        else:
            self.in_progress -= 1
            self._release_worker(job, stop=stop)
        job.state, job.done_at = state, self.clock()
        self.counts[state.value] += 1
        if keep:
            kept_s = self.retention.sync_retention_s if job.sync else self.retention.retention_s
            job.expires_at = min(job.expires_at or float("inf"), job.done_at + kept_s)
            self._set_timer(job.expires_at, TimerKind.RETENTION, job)
            self.on_final(job)
        job.notify_watchers()
        self.on_change()

    def _release_worker(self, job: Job, *, stop: bool) -> None:
        slot = self.slots.get(job.worker_id or "")
        if slot is None or slot.jobs.pop(job.id, None) is None:
            return
        self._mark_idle(slot)
        if stop:
            slot.push_stop(job.id)

    def _mark_idle(self, slot: WorkerSlot) -> None:
        if not slot.jobs:
            slot.idle_since = self.clock()

    def _queued(self) -> Iterator[Job]:
        return (job for queue in (self._normal, self._low) for position, job in queue if _is_queued(position, job))


def _is_queued(position: int, job: Job) -> bool:
    """Whether the entry is current: a job that ended while queued and was retried has another position."""
    return job.state is State.IN_QUEUE and job.position == position


def _drop_stale(queue: JobQueue) -> None:
    """Remove cancelled jobs from the head of the queue; removing one at its cancel would scan the queue."""
    while queue and not _is_queued(*queue[0]):
        queue.popleft()
