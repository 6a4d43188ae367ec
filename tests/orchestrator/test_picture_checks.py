"""Checks of several pictures of one request: a refusal ends the request, a failure withholds one picture."""

from __future__ import annotations

import asyncio

import pytest

from core.contracts import GenerateResult, ModelInfo, PolicyReport
from core.errors import EndpointUnavailable, ImgPodError, PolicyBlocked, StageFailed
from orchestrator.pictures import PictureOutcome, Pictures, check_all

INFO = ModelInfo(name="m", revision="0", profile="none")
POLICY = PolicyReport(version="v", verdict="allowed", treated_as="adult_allowed")
DOWN = EndpointUnavailable("down", stage="check")


def picture(seed: int) -> PictureOutcome:
    result = GenerateResult(
        model=INFO, device_ms=1, image_format="png", width=16, height=16, seed=seed, prompt_used="p", policy=POLICY
    )
    return PictureOutcome(seed, result=result)


async def checked(*errors: ImgPodError | None, pictures: Pictures | None = None) -> Pictures:
    """Run `check_all` with one picture per error; each check raises its error."""

    async def check(index: int, result: GenerateResult) -> GenerateResult:
        await asyncio.sleep(0)
        if (error := errors[index]) is not None:
            raise error
        return result.model_copy(update={"prompt_used": "checked"})

    return await check_all(pictures or Pictures(tuple(picture(seed) for seed in range(len(errors)))), check)


async def test_every_picture_is_checked_and_order_is_kept() -> None:
    done = await checked(None, None, None)
    assert [outcome.seed for outcome in done.outcomes] == [0, 1, 2]
    assert {outcome.result.prompt_used for outcome in done.outcomes if outcome.result} == {"checked"}


async def test_one_refused_picture_refuses_the_request() -> None:
    blocked = PolicyBlocked("refused", categories=("minor_in_picture",), stage="check")
    with pytest.raises(PolicyBlocked):
        await checked(None, blocked, None)


async def test_only_the_picture_with_a_failed_check_is_withheld() -> None:
    done = await checked(None, DOWN, None)
    assert [outcome.error for outcome in done.outcomes] == [None, DOWN, None]
    assert done.outcomes[1].result is None


async def test_first_error_is_raised_if_no_picture_passes() -> None:
    failed = PictureOutcome(1, error=StageFailed("broken", stage="generate"))
    with pytest.raises(EndpointUnavailable):
        await checked(DOWN, None, pictures=Pictures((picture(0), failed)))
