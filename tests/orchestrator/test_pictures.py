"""Several pictures of one request: seeds, outcomes and progress."""

from __future__ import annotations

import asyncio

import pytest

from core.contracts import GenerateResult, ModelInfo, PolicyReport, StageProgress
from core.errors import ImgPodError, UnsafeOutput
from orchestrator.pictures import Pictures, SharedProgress, consecutive_seeds, generate_all


def picture(seed: int) -> GenerateResult:
    return GenerateResult(
        model=ModelInfo(name="m", revision="1", profile="embedded"),
        device_ms=1,
        image_base64="YQ==",
        image_format="png",
        width=64,
        height=64,
        seed=seed,
        prompt_used="a lighthouse",
        policy=PolicyReport(version="1", verdict="allowed", treated_as="moderated"),
    )


async def generated(seeds: list[int | None], fails: set[int]) -> Pictures:
    async def generate(index: int, seed: int | None) -> GenerateResult:
        if index in fails:
            raise UnsafeOutput(f"picture {index} was withheld")
        return picture(seed or 0)

    return await generate_all(seeds, generate)


def test_unset_seed_of_a_single_picture_is_drawn_by_the_worker() -> None:
    assert consecutive_seeds(None, 1) == [None]


def test_seeds_of_several_pictures_are_consecutive() -> None:
    assert consecutive_seeds(7, 3) == [7, 8, 9]
    drawn = consecutive_seeds(None, 4)
    assert [seed - drawn[0] for seed in drawn] == [0, 1, 2, 3]


def test_consecutive_seeds_stay_within_the_seed_range() -> None:
    assert consecutive_seeds(2**53 - 1, 2) == [2**53 - 1, 0]


async def test_one_failed_picture_keeps_the_other_pictures() -> None:
    pictures = await generated([7, 8, 9], fails={0})

    assert pictures.first.seed == 8
    failed, *succeeded = pictures.items()
    assert failed.error is not None
    assert (failed.seed, failed.error.code, failed.image_base64) == (7, "unsafe_output", None)
    assert [(item.seed, item.error) for item in succeeded] == [(8, None), (9, None)]


async def test_request_fails_with_the_first_error_if_every_picture_failed() -> None:
    with pytest.raises(ImgPodError, match="picture 0"):
        await generated([7, 8], fails={0, 1})


async def test_single_picture_is_not_repeated_in_the_list_of_pictures() -> None:
    assert (await generated([7], fails=set())).items() == ()


async def test_cancelling_a_request_cancels_every_picture() -> None:
    cancelled: list[int] = []
    started = asyncio.Event()

    async def generate(index: int, seed: int | None) -> GenerateResult:
        if index == 1:
            started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(index)
        return picture(seed or 0)

    running = asyncio.create_task(generate_all([1, 2], generate))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert sorted(cancelled) == [0, 1]


def test_progress_of_several_pictures_is_their_mean() -> None:
    reported: list[StageProgress] = []
    progress = SharedProgress(2, reported.append)

    progress.of(0)(StageProgress(stage="generate", step=4, of=8, percent=50))
    progress.of(1)(StageProgress(stage="generate", step=8, of=8, percent=100))

    assert [(one.step, one.of, one.percent) for one in reported] == [(4, 16, 25), (12, 16, 75)]
