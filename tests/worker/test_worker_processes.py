"""Worker processes on localpod: every outcome, every fault of the platform, batches, stops and prefetch."""

import itertools
import json
import time
from pathlib import Path

import pytest

from localpod import Fault, FaultKind
from tests.worker.conftest import until

LARGE = 9_400_000


def error_of(state):
    return json.loads(state["error"])


@pytest.mark.parametrize("name", ["timed", "stock"])
@pytest.mark.parametrize(("outcome", "number"), [("nan", None), ("bytes", "AP8="), ("surrogate", "a?b")])
def test_values_without_a_json_form_are_delivered_by_both_loops(client, name, outcome, number):
    state = client.sync(name, outcome=outcome)
    assert state["status"] == "COMPLETED"
    assert state["output"]["number"] == number


@pytest.mark.parametrize("name", ["timed", "stock"])
def test_refusal_is_a_typed_error_under_both_loops(client, name):
    state = client.sync(name, outcome="refuse")
    assert state["status"] == "FAILED"
    assert error_of(state)["code"] == "invalid_request"


def test_handler_crash_is_an_internal_error_and_the_worker_continues(client, pod):
    before = client.sync("timed")["output"]["pid"]
    state = client.sync("timed", outcome="crash")
    assert error_of(state)["code"] == "internal"
    assert "secret" not in json.dumps(state)
    assert client.sync("timed")["output"]["pid"] == before
    (worker,) = pod.workers("timed")
    assert "secret" not in Path(worker["log"]).read_text()


@pytest.mark.parametrize(("outcome", "code"), [("out_of_memory", "out_of_device_memory"), ("lost", "device_lost")])
def test_device_error_is_retryable_and_the_worker_is_replaced(client, outcome, code):
    before = client.sync("timed")["output"]["pid"]
    state = client.sync("timed", outcome=outcome)
    assert (error_of(state)["code"], error_of(state)["retryable"]) == (code, True)
    assert client.sync("timed")["output"]["pid"] != before


def test_a_result_under_the_limit_is_delivered_and_one_over_it_is_too_large(client):
    small = len(json.dumps({"output": client.sync("timed")["output"]}, separators=(",", ":")))
    under = client.sync("timed", size=LARGE - small)
    assert len(under["output"]["padding"]) == LARGE - small
    assert error_of(client.sync("timed", size=9_500_000))["code"] == "too_large"


LOSSES = [FaultKind.SERVER_ERROR, FaultKind.THROTTLE, FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TRUNCATE]


@pytest.mark.parametrize("kind", LOSSES)
def test_reply_is_posted_again_after_the_platform_fails(client, pod, kind):
    fault = pod.inject(Fault(kind=kind, endpoint="timed", operation="job-done", times=4))
    state = client.sync("timed")
    assert state["status"] == "COMPLETED"
    # The platform may have stored a reply whose answer was lost; posting it again has no effect.
    assert pod.fired(fault) >= 1


def test_reply_is_delivered_once_the_platform_is_back(client, pod):
    pod.inject(Fault(kind=FaultKind.SERVER_ERROR, endpoint="timed", operation="job-done", times=None))
    job = client.start("timed")
    time.sleep(6)  # the stock SDK stops trying after five
    assert client.state("timed", job)["status"] == "IN_PROGRESS"
    pod.clear_faults()
    assert client.follow("timed", job)["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "kind", [FaultKind.SERVER_ERROR, FaultKind.THROTTLE, FaultKind.RESET_BEFORE, FaultKind.NOT_JSON]
)
def test_take_requests_continue_after_failures_of_the_platform(client, pod, kind):
    client.sync("timed")
    pod.inject(Fault(kind=kind, endpoint="timed", operation="job-take", times=1))
    states = [client.sync("timed") for _ in range(2)]
    assert [state["status"] for state in states] == ["COMPLETED", "COMPLETED"]


def test_a_job_delivered_twice_runs_once(client, pod):
    pod.inject(Fault(kind=FaultKind.DUPLICATE_DELIVERY, endpoint="timed", times=3))
    states = [client.sync("timed", seconds=0.1) for _ in range(3)]
    assert len({state["output"]["started"] for state in states}) == 3
    duplicated = until(lambda: pod.counters("timed").get("duplicated"))
    assert duplicated >= 1
    started = client.sync("timed")["output"]["started"]
    assert started > max(state["output"]["ended"] for state in states)


def running(client, name, job):
    return until(lambda: client.state(name, job)["status"] == "IN_PROGRESS")


def test_a_cancelled_job_frees_the_device_for_the_next(client):
    job = client.start("timed", seconds=60)
    running(client, "timed", job)
    assert client.cancel("timed", job)["status"] == "CANCELLED"
    assert client.follow("timed", client.start("timed"), timeout_s=10)["status"] == "COMPLETED"
    assert client.state("timed", job)["status"] == "CANCELLED"


def test_a_job_that_ran_too_long_frees_the_device_for_the_next(client):
    job = client.start("short", seconds=60)
    assert client.follow("short", job)["status"] == "TIMED_OUT"
    assert client.follow("short", client.start("short"), timeout_s=10)["status"] == "COMPLETED"


def test_cancelled_member_does_not_affect_its_batch(client):
    jobs = [client.start("batch", seconds=1.5, size=size) for size in range(3)]
    for job in jobs:
        running(client, "batch", job)
    client.cancel("batch", jobs[1])
    states = [client.follow("batch", job) for job in jobs]
    assert [state["status"] for state in states] == ["COMPLETED", "CANCELLED", "COMPLETED"]
    assert [len(states[place]["output"]["padding"]) for place in (0, 2)] == [0, 2]


def test_jobs_that_wait_together_run_as_one_batch(client):
    first = client.start("batch", seconds=2.0)
    running(client, "batch", first)
    jobs = [client.start("batch", seconds=0.2) for _ in range(3)]
    sizes = [client.follow("batch", job)["output"]["batch_size"] for job in jobs]
    assert min(sizes) >= 3  # the batch has four jobs if the first one had not started yet


def test_crash_of_one_member_does_not_affect_the_others(client):
    first = client.start("batch", seconds=0.8)
    running(client, "batch", first)
    jobs = [client.start("batch", outcome=outcome, seconds=0.1) for outcome in ("done", "crash", "done")]
    states = [client.follow("batch", job) for job in jobs]
    assert [state["status"] for state in states] == ["COMPLETED", "FAILED", "COMPLETED"]


def test_progress_is_reported_only_while_the_job_runs(client, pod):
    late = pod.counters("timed").get("late_progress", 0)
    job = client.start("timed", seconds=1.5)
    seen = []
    while (state := client.state("timed", job))["status"] in {"IN_QUEUE", "IN_PROGRESS"}:
        if output := state.get("output"):
            seen.append(output["percent"])
        time.sleep(0.02)
    assert len(set(seen)) >= 2
    assert seen == sorted(seen)
    assert state["output"]["batch_size"] == 1
    assert pod.counters("timed").get("late_progress", 0) == late


def test_device_is_busy_between_queued_jobs(client):
    jobs = [client.start("timed", seconds=0.4) for _ in range(10)]
    outputs = sorted((client.follow("timed", job)["output"] for job in jobs), key=lambda output: output["started"])
    gaps = [later["started"] - earlier["ended"] for earlier, later in itertools.pairwise(outputs[2:])]
    assert sorted(gaps)[len(gaps) // 2] < 0.02


def test_two_workers_share_a_queue_evenly(client):
    lessons = [client.start("pair", seconds=0.6) for _ in range(6)]
    for job in lessons:
        client.follow("pair", job)
    jobs = [client.start("pair", seconds=0.6) for _ in range(8)]
    states = [client.follow("pair", job) for job in jobs]
    held_s = [state["executionTime"] / 1000 - 0.6 for state in states]
    pids = [state["output"]["pid"] for state in states]
    assert sorted(pids.count(pid) for pid in set(pids)) == [4, 4]
    assert max(held_s) < 0.4
