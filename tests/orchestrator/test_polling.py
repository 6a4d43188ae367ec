"""Times of status requests, and their rate limit per endpoint."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.polling import MIN_RUNSYNC_WAIT_MS, PollRateLimiter, StageDurations, wait_s


def history(*took_s: float) -> StageDurations:
    made = StageDurations()
    for seconds in took_s:
        made.add(seconds)
    return made


def test_poll_interval_grows_for_a_stage_of_unknown_duration() -> None:
    waits = [wait_s(StageDurations(), elapsed) for elapsed in (0.0, 1.0, 3.0, 60.0)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.005, 0.5)


def test_stage_of_known_duration_is_polled_mostly_around_its_predicted_end() -> None:
    known = history(*[1.3] * 10)
    asked, elapsed = [], 0.0
    while elapsed < 1.3:
        elapsed += wait_s(known, elapsed)
        asked.append(elapsed)
    assert len(asked) <= 6
    assert elapsed - 1.3 < 0.016


def test_stage_with_varying_durations_is_polled_earlier() -> None:
    assert history(1, 2, 1, 2, 1, 2).earliest_s < history(*[1.5] * 6).earliest_s - 0.2


def test_one_short_run_does_not_lower_the_prediction_for_ever() -> None:
    known = history(0.1, *[10.0] * 300)
    assert known.shortest_s is not None
    assert known.shortest_s > 9


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.floats(0, 1e6))
def test_poll_interval_stays_within_its_bounds(took: list[float], elapsed: float) -> None:
    assert 0.005 <= wait_s(history(*took), elapsed) <= 0.5


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300), st.integers(1, 50), st.integers(1, 50))
def test_quota_is_respected_in_every_time_window(pauses: list[float], per_s: int, burst: int) -> None:
    now = 0.0
    quota = PollRateLimiter(per_s, burst, clock=lambda: now)
    turns = []
    for pause in pauses:
        now += pause
        turns.append(now + quota.reserve_s())
    for start in turns:
        assert sum(start <= turn < start + 10 for turn in turns) <= burst + 10 * per_s + 1
    assert turns == sorted(turns)


def test_requests_under_the_quota_do_not_wait() -> None:
    now = 0.0
    quota = PollRateLimiter(10, 5, clock=lambda: now)
    assert [quota.reserve_s() for _ in range(5)] == [0.0] * 5
    assert quota.reserve_s() > 0


def test_synchronous_submit_is_used_if_most_jobs_end_within_its_wait() -> None:
    assert StageDurations().runsync_wait_ms is None
    assert history(*[0.4] * 5).runsync_wait_ms == MIN_RUNSYNC_WAIT_MS
    assert history(*[0.95] * 5).runsync_wait_ms is None
    assert history(0.1, 2.0, 0.1, 2.0, 0.1).runsync_wait_ms is None
