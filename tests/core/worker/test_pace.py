"""Prediction of the time at which the next job is requested."""

from core.worker.loop import JobDurations


def test_unknown_task_has_an_infinite_prediction():
    assert JobDurations().predicted_s("generate") == float("inf")


def test_task_of_constant_duration_is_predicted_exactly():
    durations = JobDurations()
    for _ in range(5):
        durations.record_run("generate", 1.3)
    assert abs(durations.predicted_s("generate") - 1.3) < 1e-9


def test_prediction_follows_a_task_that_changes():
    durations = JobDurations()
    durations.record_run("generate", 1)
    for _ in range(20):
        durations.record_run("generate", 3)
    assert 2.9 < durations.predicted_s("generate") <= 3


def test_take_requests_that_waited_for_a_job_are_not_counted():
    durations = JobDurations()
    durations.record_take(0.002)
    durations.record_take(20)
    assert durations.take_s == 0.002


def test_prediction_of_a_take_request_is_bounded():
    durations = JobDurations()
    for _ in range(100):
        durations.record_take(20)
    assert durations.take_s <= 0.25
