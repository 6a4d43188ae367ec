"""Property test: counts are correct after any order of submits, takes, results, cancels, worker crashes and time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from localpod.endpoint import Endpoint, PendingTake, RetentionPolicy
from localpod.jobs import Envelope, Outcome, State


class Lifecycles(RuleBasedStateMachine):
    """Jobs of one endpoint, with three workers that can crash and return with a new id."""

    jobs = Bundle("jobs")

    def __init__(self):
        super().__init__()
        self.now = 0.0
        retention = RetentionPolicy(retention_s=100, sync_retention_s=20, max_requeues=1)
        self.endpoint = Endpoint("e", clock=lambda: self.now, execution_timeout_s=30, retention=retention)
        self.ended = []
        self.endpoint.on_final = self.ended.append
        self.endpoint.timers.on_earlier = self._set_timer
        self.armed = None
        self.notified = {}
        self.born = 0
        self.slots = [self._add_slot() for _ in range(3)]

    def _add_slot(self):
        self.born += 1
        return self.endpoint.add_slot(f"w{self.born}")

    def _set_timer(self, deadline):
        self.armed = deadline

    def _pass(self, seconds):
        until = self.now + seconds
        while (due := self.endpoint.next_deadline) is not None and due <= until:
            self.now = max(self.now, due)
            self.endpoint.advance()
            self.armed = self.endpoint.next_deadline
        self.now = until

    @rule(target=jobs, sync=st.booleans(), low=st.booleans(), ttl_s=st.sampled_from([10, 50, 1000]))
    def submit(self, sync, low, ttl_s):
        policy = {"ttl": ttl_s * 1000, "lowPriority": low}
        job = self.endpoint.submit(Envelope.read({"input": {}, "policy": policy}), sync=sync)
        self.notified[job] = 0
        self._watch(job)
        return job

    def _watch(self, job):
        def notify():
            self.notified[job] += 1

        if not job.state.final:
            job.watchers.append(notify)

    @rule(which=st.integers(0, 2), limit=st.integers(1, 3))
    def take(self, which, limit):
        assert len(self.endpoint.take(self.slots[which], limit)) <= limit

    @rule(which=st.integers(0, 2))
    def ask(self, which):
        self.endpoint.add_take(PendingTake(self.slots[which], 1, lambda jobs: None))

    @rule(which=st.integers(0, 2))
    def lose_the_connection(self, which):
        slot = self.slots[which]
        self.endpoint.return_jobs(slot, self.endpoint.take(slot, 2))

    @rule(job=jobs, which=st.integers(0, 2), error=st.sampled_from([None, "bad"]))
    def post_a_result(self, job, which, error):
        before = job.state, job.output
        counted = self.endpoint.finish(job, self.slots[which].worker_id, Outcome(which, has_output=True, error=error))
        assert counted == (before[0] not in _FINAL)
        if not counted:
            assert (job.state, job.output) == before

    @rule(job=jobs, which=st.integers(0, 2))
    def report_progress(self, job, which):
        was_final = job.state.final
        assert not (self.endpoint.progress(job, self.slots[which].worker_id, "half") and was_final)

    @rule(job=jobs)
    def cancel(self, job):
        self.endpoint.cancel(job)
        assert job.state.final

    @rule(job=jobs)
    def retry(self, job):
        if self.endpoint.find(job.id) is job and self.endpoint.retry(job):
            self.notified[job] = 0
            self.ended = [one for one in self.ended if one is not job]
            self._watch(job)

    @rule(job=jobs)
    def duplicate(self, job):
        self.endpoint.duplicate(job)

    @rule(which=st.integers(0, 2))
    def kill_a_worker(self, which):
        self.endpoint.remove_worker(self.slots[which], "it was killed")
        self.slots[which] = self._add_slot()

    @rule()
    def purge(self):
        self.endpoint.purge()

    @rule(seconds=st.floats(0.1, 40))
    def let_time_pass(self, seconds):
        self._pass(seconds)

    @precondition(lambda self: self.notified)
    @rule()
    def let_a_day_pass(self):
        self._pass(90_000)
        assert self.endpoint.jobs == {}
        assert all(job.state.final for job in self.notified)

    @invariant()
    def counts_match_the_jobs(self):
        known = list(self.endpoint.jobs.values())
        assert self.endpoint.in_queue == sum(job.state is State.IN_QUEUE for job in known)
        assert self.endpoint.in_progress == sum(job.state is State.IN_PROGRESS for job in known)
        low = sum(job.state is State.IN_QUEUE and job.envelope.low_priority for job in known)
        assert self.endpoint.in_queue_low == low

    @invariant()
    def every_running_job_has_a_live_worker(self):
        for job in self.endpoint.jobs.values():
            if job.state is State.IN_PROGRESS:
                assert self.endpoint.slots[job.worker_id].jobs[job.id] is job

    @invariant()
    def every_job_ends_once_and_notifies_each_watcher_once(self):
        assert len(self.ended) == len(set(self.ended))
        for job, times in self.notified.items():
            assert times == int(job.state.final)

    @invariant()
    def timer_is_set_for_the_next_deadline(self):
        due = self.endpoint.next_deadline
        assert due is None or self.armed <= due

    @invariant()
    def no_job_is_queued_while_a_worker_polls(self):
        if self.endpoint._pending_takes:
            assert self.endpoint.in_queue == 0

    @invariant()
    def job_of_a_killed_worker_is_requeued_at_most_once(self):
        assert all(job.requeues <= 1 for job in self.notified)


_FINAL = {State.COMPLETED, State.FAILED, State.CANCELLED, State.TIMED_OUT}
TestLifecycles = Lifecycles.TestCase
TestLifecycles.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
