"""No fault may hang a request, lose it, answer it twice, or leave its jobs running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from core.errors import ImgPodError, Internal, PolicyBlocked
from core.policy.picture_age import MINOR_IN_PICTURE
from tests.faults.matrix import CASES, LOSES_SUBMITS, Case, Outcome, run_matrix

pytestmark = pytest.mark.timeout(300)
RELEASABLE = [case for case in CASES if not case.minor]
WITH_MINOR = [case for case in CASES if case.minor]
ONCE = [case for case in RELEASABLE if case.times == 1]
UNRECOVERABLE = {"lose_result", "expire_result"}
"""Faults after which the platform has lost the result, so that a retry could fail in the same way for ever."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Case, Outcome]]:
    return asyncio.run(run_matrix(tmp_path_factory.mktemp("matrix")))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_request_ends_exactly_once_within_its_deadline(case: Case, outcomes: dict[Case, Outcome]) -> None:
    outcome = outcomes[case]
    assert outcome.fired >= 1, "the fault met nothing, so this shows nothing"
    assert len(outcome.ends) == 1
    assert not isinstance(outcome.ends[0], Internal)
    assert outcome.took_s <= case.timeout_s + 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_a_job_with_an_unknown_id_keeps_running(case: Case, outcomes: dict[Case, Outcome]) -> None:
    outcome = outcomes[case]
    assert len(outcome.left_running) <= (outcome.lost_submits if case.shape in LOSES_SUBMITS else 0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_a_lost_submit_makes_a_stage_run_twice(case: Case, outcomes: dict[Case, Outcome]) -> None:
    outcome = outcomes[case]
    if case.shape not in LOSES_SUBMITS:
        assert outcome.lost_submits == 0
    delivered_again = outcome.counters["duplicated"] + outcome.counters["requeued"]
    assert outcome.count("ended") <= 1 + min(outcome.lost_submits, 1) + delivered_again


@pytest.mark.parametrize("case", ONCE, ids=str)
def test_transient_fault_only_delays_the_request(case: Case, outcomes: dict[Case, Outcome]) -> None:
    if case.shape in UNRECOVERABLE:
        pytest.skip("the result is lost permanently: the outcome is an error or a fallback")
    result = outcomes[case].result
    assert result is not None, outcomes[case].ends
    assert result.degraded == ()


@pytest.mark.parametrize("case", [case for case in RELEASABLE if case.stage in {"expand", "caption"}], ids=str)
def test_failed_optional_stage_does_not_fail_its_request(case: Case, outcomes: dict[Case, Outcome]) -> None:
    result = outcomes[case].result
    assert result is not None, outcomes[case].ends
    assert {one.stage for one in result.degraded} <= {case.stage}


MUST_SUCCEED = {"analyze", "generate", "moderate", "check"}


@pytest.mark.parametrize("case", [case for case in RELEASABLE if case.stage in MUST_SUCCEED], ids=str)
def test_error_names_the_stage_that_failed(case: Case, outcomes: dict[Case, Outcome]) -> None:
    (end,) = outcomes[case].ends
    if isinstance(end, ImgPodError):
        assert end.stage == case.stage
        assert end.retryable


@pytest.mark.parametrize("case", [case for case in RELEASABLE if case.stage == "check"], ids=str)
def test_flagged_picture_is_released_only_after_its_age_check(case: Case, outcomes: dict[Case, Outcome]) -> None:
    result = outcomes[case].result
    if result is not None:
        assert "check" in {record.stage for record in result.timeline}
        assert result.policy.age_check is not None
        assert result.policy.age_check.under_18 < result.policy.age_check.threshold


@pytest.mark.parametrize("case", WITH_MINOR, ids=str)
def test_picture_with_a_minor_is_never_released(case: Case, outcomes: dict[Case, Outcome]) -> None:
    (end,) = outcomes[case].ends
    assert isinstance(end, ImgPodError)
    if isinstance(end, PolicyBlocked):
        assert (end.stage, end.categories) == ("check", (MINOR_IN_PICTURE,))
    elif case.stage not in {"expand", "caption"}:
        assert end.retryable
    else:
        raise AssertionError(end)


def test_most_pictures_with_a_minor_are_refused_by_the_check_itself(outcomes: dict[Case, Outcome]) -> None:
    refused = [case for case in WITH_MINOR if isinstance(outcomes[case].ends[0], PolicyBlocked)]
    assert len(refused) > len(WITH_MINOR) / 2
