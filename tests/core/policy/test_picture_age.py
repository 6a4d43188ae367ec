"""The age check of a picture that the output check rates as sexual, and the orchestrator's commitment to run it."""

from __future__ import annotations

import pytest

from core.contracts import ApparentAge, CheckResult, ModelInfo, PictureCheck, Route, StageContext
from core.errors import PolicyBlocked
from core.policy import audit
from core.policy.picture_age import (
    AGE_NOT_READABLE,
    MINOR_IN_PICTURE,
    age_check_commitment,
    committed_to_age_check,
    needs_age_check,
    reject_minor_in_picture,
)

KEY = b"a deployment's key"
INFO = ModelInfo(name="m", revision="0", profile="none")
ADULT = ApparentAge(age_band="35_44", confidence=0.9, under_18=0.02)
UNREAD = ApparentAge(age_band="unknown", confidence=0.2, under_18=0.02)
YOUNG = ApparentAge(age_band="under_18", confidence=0.5, under_18=0.5)
PERHAPS = ApparentAge(age_band="18_24", confidence=0.6, under_18=0.3)


def scored(score: float | None, threshold: float = 0.85) -> PictureCheck:
    return PictureCheck(checker="c", score=score, threshold=threshold, outcome="reported")


def read(*faces: ApparentAge, whole: ApparentAge = UNREAD, not_read: int = 0) -> CheckResult:
    return CheckResult(model=INFO, device_ms=1, faces=faces, whole=whole, faces_not_read=not_read)


@pytest.mark.parametrize("check", [None, scored(None), scored(0.5), scored(0.97), scored(0.3, threshold=0.2)])
def test_picture_that_is_or_may_be_sexual_needs_an_age_check(check: PictureCheck | None) -> None:
    assert needs_age_check(check, score_from=0.5)


def test_picture_under_both_thresholds_needs_no_age_check() -> None:
    assert not needs_age_check(scored(0.49), score_from=0.5)


@pytest.mark.parametrize(
    ("reading", "category"),
    [
        (read(YOUNG), MINOR_IN_PICTURE),
        (read(ADULT, YOUNG), MINOR_IN_PICTURE),
        (read(ADULT, PERHAPS), MINOR_IN_PICTURE),
        (read(ADULT, whole=YOUNG), MINOR_IN_PICTURE),
        (read(whole=PERHAPS), MINOR_IN_PICTURE),
        (read(UNREAD, YOUNG), MINOR_IN_PICTURE),
        (read(whole=UNREAD), AGE_NOT_READABLE),
        (read(ADULT, UNREAD), AGE_NOT_READABLE),
        (read(ADULT, whole=ADULT, not_read=1), AGE_NOT_READABLE),
    ],
)
def test_minor_or_undecided_reading_is_refused_on_every_route(reading: CheckResult, category: str) -> None:
    for route in Route:
        before = audit().counts().get(category, {}).get(route, 0)
        with pytest.raises(PolicyBlocked) as refused:
            reject_minor_in_picture(reading, threshold=0.3, route=route)
        assert (refused.value.stage, refused.value.categories) == ("check", (category,))
        assert audit().counts()[category][route] == before + 1


@pytest.mark.parametrize("reading", [read(ADULT), read(ADULT, ADULT), read(whole=ADULT)])
def test_adults_pass_and_the_highest_probability_is_reported(reading: CheckResult) -> None:
    passed = reject_minor_in_picture(reading, threshold=0.3, route=Route.CHAT_1TO1)
    assert (passed.faces, passed.under_18, passed.threshold) == (len(reading.faces), 0.02, 0.3)


@pytest.mark.parametrize("key", [None, KEY])
def test_commitment_is_recognised_by_a_worker_with_the_same_key(key: bytes | None) -> None:
    context = StageContext(trace_id="t", age_check=age_check_commitment("t", "a prompt", key))
    assert committed_to_age_check(context, "a prompt", key)


@pytest.mark.parametrize(
    "context",
    [
        None,
        StageContext(trace_id="t"),
        StageContext(trace_id="t", age_check="unsigned"),
        StageContext(trace_id="t", age_check=age_check_commitment("t", "a prompt", b"another key")),
        StageContext(trace_id="t", age_check=age_check_commitment("another", "a prompt", KEY)),
        StageContext(trace_id="t", age_check=age_check_commitment("t", "another prompt", KEY)),
        StageContext(trace_id="t", age_check="é"),
    ],
)
def test_commitment_with_another_key_is_rejected(context: StageContext | None) -> None:
    assert not committed_to_age_check(context, "a prompt", KEY)
