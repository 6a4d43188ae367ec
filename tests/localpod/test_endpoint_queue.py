"""The queue alone, with a fake clock: no HTTP and no processes."""

import pytest

from localpod.endpoint import Endpoint, PendingTake, RetentionPolicy
from localpod.jobs import BadEnvelope, Envelope, Outcome, State


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def endpoint(clock):
    return Endpoint("e", clock=clock, execution_timeout_s=60, retention=RetentionPolicy(max_requeues=1))


def submit(endpoint, *, sync=False, **policy):
    return endpoint.submit(Envelope.read({"input": {"n": 1}, "policy": policy}), sync=sync)


def after(clock, endpoint, seconds):
    clock.now += seconds
    endpoint.advance()


def test_jobs_are_delivered_in_submission_order(endpoint):
    jobs = [submit(endpoint) for _ in range(3)]
    slot = endpoint.add_slot("w")
    assert endpoint.take(slot, 2) == jobs[:2]
    assert endpoint.take(slot, 2) == jobs[2:]
    assert endpoint.take(slot, 2) == []


def test_a_waiting_worker_gets_the_job_in_the_same_call(endpoint):
    assigned = []
    endpoint.add_take(PendingTake(endpoint.add_slot("w"), 1, assigned.append))
    job = submit(endpoint)
    assert assigned == [[job]]
    assert job.state is State.IN_PROGRESS


def test_the_worker_that_waits_longest_is_served_first(endpoint):
    served = []
    for name in ("first", "second"):
        endpoint.add_take(PendingTake(endpoint.add_slot(name), 1, lambda jobs, name=name: served.append(name)))
    submit(endpoint)
    assert served == ["first"]


def test_a_low_priority_job_is_taken_after_all_others(endpoint):
    low = submit(endpoint, lowPriority=True)
    normal = submit(endpoint)
    assert endpoint.take(endpoint.add_slot("w"), 2) == [normal, low]


def test_times_are_reported_in_milliseconds(endpoint, clock):
    job = submit(endpoint)
    clock.now += 2
    endpoint.take(endpoint.add_slot("w"), 1)
    clock.now += 3
    endpoint.finish(job, "w", Outcome(output={"a": 1}, has_output=True))
    assert job.for_client() == {
        "id": job.id,
        "status": "COMPLETED",
        "delayTime": 2000,
        "executionTime": 3000,
        "workerId": "w",
        "output": {"a": 1},
    }


def test_a_dead_workers_job_is_requeued_at_the_head_and_fails_the_second_time(endpoint):
    job, _ = submit(endpoint), submit(endpoint)
    endpoint.take(endpoint.add_slot("a"), 1)
    endpoint.remove_worker(endpoint.slots["a"], "it crashed")
    assert job.state is State.IN_QUEUE
    assert endpoint.take(endpoint.add_slot("b"), 1) == [job]
    endpoint.remove_worker(endpoint.slots["b"], "it crashed")
    assert job.state is State.FAILED
    assert job.error == "it crashed"
    assert endpoint.in_progress == 0


def test_jobs_of_a_dead_worker_keep_their_order(endpoint):
    jobs = [submit(endpoint) for _ in range(3)]
    endpoint.take(endpoint.add_slot("a"), 2)
    endpoint.remove_worker(endpoint.slots["a"], "it crashed")
    assert endpoint.take(endpoint.add_slot("b"), 3) == jobs


def test_the_first_result_wins_and_a_second_changes_nothing(endpoint):
    job = submit(endpoint)
    endpoint.take(endpoint.add_slot("a"), 1)
    endpoint.remove_worker(endpoint.slots["a"], "it crashed")
    endpoint.take(endpoint.add_slot("b"), 1)
    assert endpoint.finish(job, "a", Outcome(output=1, has_output=True))
    assert not endpoint.finish(job, "b", Outcome(output=2, has_output=True))
    assert job.output == 1
    assert endpoint.counts["late_results"] == 1


def test_execution_timeout_counts_only_while_the_job_runs(endpoint, clock):
    job = submit(endpoint, executionTimeout=10_000)
    after(clock, endpoint, 30)
    assert job.state is State.IN_QUEUE
    slot = endpoint.add_slot("w")
    endpoint.take(slot, 1)
    after(clock, endpoint, 9.9)
    assert job.state is State.IN_PROGRESS
    after(clock, endpoint, 0.2)
    assert job.state is State.TIMED_OUT
    assert slot.stops == [job.id]


def test_a_requeued_job_has_its_whole_execution_time_again(endpoint, clock):
    job = submit(endpoint, executionTimeout=10_000)
    endpoint.take(endpoint.add_slot("a"), 1)
    after(clock, endpoint, 6)
    endpoint.remove_worker(endpoint.slots["a"], "it crashed")
    endpoint.take(endpoint.add_slot("b"), 1)
    after(clock, endpoint, 6)
    assert job.state is State.IN_PROGRESS
    after(clock, endpoint, 5)
    assert job.state is State.TIMED_OUT


def test_ttl_counts_from_submission_and_deletes_even_a_running_job(endpoint, clock):
    job = submit(endpoint, ttl=20_000)
    slot = endpoint.add_slot("w")
    clock.now += 15
    endpoint.take(slot, 1)
    after(clock, endpoint, 6)
    assert endpoint.find(job.id) is None
    assert slot.stops == [job.id]
    assert endpoint.in_progress == 0


def test_ttl_deletes_a_queued_job(endpoint, clock):
    job = submit(endpoint, ttl=10_000)
    after(clock, endpoint, 10.1)
    assert endpoint.find(job.id) is None
    assert endpoint.take(endpoint.add_slot("w"), 1) == []
    assert endpoint.in_queue == 0


@pytest.mark.parametrize(("sync", "kept_s"), [(False, 30 * 60), (True, 60)])
def test_results_are_kept_thirty_minutes_and_those_of_runsync_one(endpoint, clock, sync, kept_s):
    job = submit(endpoint, sync=sync)
    endpoint.take(endpoint.add_slot("w"), 1)
    endpoint.finish(job, "w", Outcome())
    after(clock, endpoint, kept_s - 1)
    assert endpoint.find(job.id) is job
    after(clock, endpoint, 2)
    assert endpoint.find(job.id) is None


def test_status_with_ttl_shortens_how_long_a_result_is_kept(endpoint, clock):
    job = submit(endpoint)
    endpoint.take(endpoint.add_slot("w"), 1)
    endpoint.finish(job, "w", Outcome())
    endpoint.set_result_ttl(job, 6)
    after(clock, endpoint, 6.1)
    assert endpoint.find(job.id) is None


def test_a_cancelled_queued_job_is_never_delivered(endpoint):
    first, second = submit(endpoint), submit(endpoint)
    endpoint.cancel(first)
    assert endpoint.take(endpoint.add_slot("w"), 2) == [second]
    assert first.state is State.CANCELLED


def test_cancelling_a_running_job_sends_a_stop_to_its_worker(endpoint):
    job, slot = submit(endpoint), endpoint.add_slot("w")
    stops = []
    slot.on_stop = lambda: stops.append(True)
    endpoint.take(slot, 1)
    endpoint.cancel(job)
    assert slot.stops == [job.id]
    assert stops == [True]
    assert not endpoint.finish(job, "w", Outcome(output=1, has_output=True))
    assert job.state is State.CANCELLED


def test_only_failed_and_timed_out_jobs_can_be_retried_and_lose_their_result(endpoint):
    job = submit(endpoint)
    assert not endpoint.retry(job)
    endpoint.take(endpoint.add_slot("w"), 1)
    endpoint.finish(job, "w", Outcome(error="bad"))
    assert endpoint.retry(job)
    assert job.for_client() == {"id": job.id, "status": "IN_QUEUE"}
    assert endpoint.take(endpoint.slots["w"], 1) == [job]


def test_purge_cancels_queued_jobs_and_no_running_ones(endpoint):
    running, waiting = submit(endpoint), submit(endpoint)
    endpoint.take(endpoint.add_slot("w"), 1)
    assert endpoint.purge() == 1
    assert (running.state, waiting.state) == (State.IN_PROGRESS, State.CANCELLED)


def test_progress_after_the_end_or_from_another_worker_is_dropped(endpoint):
    job = submit(endpoint)
    endpoint.take(endpoint.add_slot("w"), 1)
    assert endpoint.progress(job, "w", {"step": 1})
    assert job.for_client()["output"] == {"step": 1}
    assert not endpoint.progress(job, "other", {"step": 9})
    endpoint.finish(job, "w", Outcome(output="done", has_output=True))
    assert not endpoint.progress(job, "w", {"step": 2})
    assert job.output == "done"


def test_each_chunk_of_a_stream_is_returned_once(endpoint):
    job = submit(endpoint)
    endpoint.take(endpoint.add_slot("w"), 1)
    endpoint.stream(job, "w", 1)
    endpoint.stream(job, "w", 2)
    assert endpoint.read_stream(job) == [1, 2]
    assert endpoint.read_stream(job) == []


def test_returned_jobs_are_delivered_to_the_next_worker_without_a_requeue(endpoint):
    jobs = [submit(endpoint) for _ in range(2)]
    gone, slot = endpoint.add_slot("gone"), endpoint.add_slot("w")
    endpoint.return_jobs(gone, endpoint.take(gone, 2))
    assert endpoint.take(slot, 2) == jobs
    assert [job.requeues for job in jobs] == [0, 0]


def test_a_closed_slot_gets_no_job_and_its_open_poll_is_answered_on_demand(endpoint):
    assigned, slot = [], endpoint.add_slot("w")
    endpoint.add_take(PendingTake(slot, 1, assigned.append))
    endpoint.close(slot)
    job = submit(endpoint)
    assert assigned == []
    assert job.state is State.IN_QUEUE
    endpoint.answer_open_takes(slot)
    assert assigned == [[]]


def test_an_error_object_counts_as_completed_without_output_as_on_the_platform():
    assert Outcome.read({"error": {"code": 1}, "output": 2}) == Outcome()
    assert Outcome.read({"error": "bad", "output": 2}) == Outcome(output=2, has_output=True, error="bad")


def test_timers_of_ended_jobs_are_removed(endpoint, clock):
    slot = endpoint.add_slot("w")
    for _ in range(5000):
        job = submit(endpoint, sync=True)
        endpoint.take(slot, 1)
        endpoint.finish(job, "w", Outcome())
        after(clock, endpoint, 1)
    assert len(endpoint.jobs) <= 61
    assert len(endpoint.timers) <= 4 * 61 + 1025


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ([], "input"),
        ({"input": 1, "policy": 3}, "policy"),
        ({"input": 1, "policy": {"ttl": 9_999}}, "policy.ttl"),
        ({"input": 1, "policy": {"ttl": "10 s"}}, "policy.ttl"),
        ({"input": 1, "policy": {"ttl": True}}, "policy.ttl"),
        ({"input": 1, "policy": {"executionTimeout": 4_999}}, "policy.executionTimeout"),
        ({"input": 1, "policy": {"executionTimeout": 8 * 86_400_000}}, "policy.executionTimeout"),
        ({"input": 1, "webhook": 3}, "webhook"),
        ({"input": 1, "s3Config": "s3"}, "s3Config"),
    ],
)
def test_invalid_envelope_is_refused_with_the_field_name(body, says):
    with pytest.raises(BadEnvelope, match=says):
        Envelope.read(body)


def test_a_worker_gets_s3_config_and_webhook_but_not_the_policy(endpoint):
    body = {"input": 1, "s3Config": {"bucketName": "b"}, "webhook": "http://x", "policy": {"ttl": 10_000}}
    job = endpoint.submit(Envelope.read(body), sync=True)
    assigned = {"id": job.id, "input": 1, "webhook": "http://x", "s3Config": {"bucketName": "b"}}
    assert job.for_worker() == assigned
    assert job.id.startswith("sync-")
    assert job.id.endswith("-u1")


def test_a_requeued_finished_and_retried_job_is_queued_once(endpoint):
    job = submit(endpoint)
    endpoint.take(endpoint.add_slot("a"), 1)
    endpoint.remove_worker(endpoint.slots["a"], "it crashed")
    endpoint.finish(job, "a", Outcome(error="late and bad"))
    assert endpoint.retry(job)
    assert endpoint.purge() == 1
    assert endpoint.take(endpoint.add_slot("b"), 2) == []
