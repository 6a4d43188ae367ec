"""When the next job should be asked for."""

from core.worker.loop import Pace


def test_an_unknown_task_has_no_end_in_sight():
    assert Pace().predicted_s("paint") == float("inf")


def test_a_steady_task_is_predicted_as_it_is():
    pace = Pace()
    for _ in range(5):
        pace.ran("paint", 1.3)
    assert abs(pace.predicted_s("paint") - 1.3) < 1e-9


def test_a_task_that_changes_is_learned_anew():
    pace = Pace()
    pace.ran("paint", 1)
    for _ in range(20):
        pace.ran("paint", 3)
    assert 2.9 < pace.predicted_s("paint") <= 3


def test_a_take_that_waited_for_a_job_to_exist_says_nothing_of_how_long_a_take_is():
    pace = Pace()
    pace.took(0.002)
    pace.took(20)
    assert pace.take_s == 0.002


def test_a_worker_that_only_ever_waited_takes_ahead_by_no_more_than_a_bound():
    pace = Pace()
    for _ in range(100):
        pace.took(20)
    assert pace.take_s <= 0.25
