"""The scaler's number of workers, and rate limits."""

import math

import pytest

from localpod.limits import Limit, RateLimiter
from localpod.scaling import Load, Scaler, desired_workers, next_check_s


def load(in_queue=0, in_progress=0, workers=0, initializing=0, oldest_wait_s=None, since_added_s=math.inf):
    return Load(in_queue, in_progress, workers, initializing, oldest_wait_s, since_added_s)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (load(), 0),
        (load(in_queue=1), 1),
        (load(in_queue=4, in_progress=1, workers=1), 3),
        (load(in_queue=100), 5),
        (load(workers=3), 3),
    ],
)
def test_request_count_is_jobs_over_value_rounded_up_within_the_bounds(seen, wanted):
    assert desired_workers(Scaler("request_count", 2, 0, 5), seen) == wanted


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (load(), 0),
        (load(in_queue=1, oldest_wait_s=0.0), 1),
        (load(in_queue=2, workers=1, oldest_wait_s=3.9), 1),
        (load(in_queue=2, workers=1, oldest_wait_s=4.0), 2),
        (load(in_queue=2, workers=2, oldest_wait_s=9.0, since_added_s=1.0), 2),
        (load(in_queue=1, workers=1, initializing=1, oldest_wait_s=30.0), 1),
        (load(in_queue=9, workers=3, oldest_wait_s=30.0), 3),
    ],
)
def test_queue_delay_adds_a_worker_when_the_head_has_waited_too_long(seen, wanted):
    assert desired_workers(Scaler("queue_delay", 4, 0, 3), seen) == wanted


def test_the_minimum_holds_without_load():
    assert desired_workers(Scaler("queue_delay", 4, 2, 3), load()) == 2


def test_queue_delay_checks_again_when_the_head_has_waited_long_enough():
    scaler = Scaler("queue_delay", 4, 0, 3)
    assert next_check_s(scaler, load(in_queue=1, workers=1, oldest_wait_s=1.5)) == 2.5
    assert next_check_s(scaler, load(in_queue=1, workers=3, oldest_wait_s=1.5)) is None
    assert next_check_s(scaler, load(workers=1)) is None


def test_the_rate_window_slides():
    now = [0.0]
    limiter = RateLimiter(Limit(2, None), lambda: now[0])
    assert [limiter.acquire(0) for _ in range(3)] == [True, True, False]
    now[0] = 10.0
    assert limiter.acquire(0)


def test_concurrent_requests_are_bounded_until_one_is_released():
    limiter = RateLimiter(Limit(100, 2), lambda: 0.0)
    assert [limiter.acquire(0) for _ in range(3)] == [True, True, False]
    limiter.release()
    assert limiter.acquire(0)


def test_running_workers_raise_both_limits():
    limiter = RateLimiter(Limit(2, 2), lambda: 0.0, per_worker=3)
    assert [limiter.acquire(2) for _ in range(7)] == [True] * 6 + [False]
