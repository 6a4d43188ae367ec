"""The pictures of one request: their seeds, combined progress, and entries in the result.

May import: core.contracts, core.errors.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass

from core.contracts import Degraded, GenerateResult, ImageItem, PictureError, StageProgress
from core.errors import ImgPodError, PolicyBlocked

_SEEDS = 2**53
_DRAWN_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class PictureOutcome:
    """One picture of a request: its result, or the error it failed with."""

    seed: int | None
    result: GenerateResult | None = None
    error: ImgPodError | None = None


@dataclass(frozen=True, slots=True)
class Pictures:
    """The outcomes of a request's pictures by seed; at least one succeeded."""

    outcomes: tuple[PictureOutcome, ...]

    @property
    def first(self) -> GenerateResult:
        """The first picture that succeeded."""
        return next(outcome.result for outcome in self.outcomes if outcome.result is not None)

    @property
    def degraded(self) -> tuple[Degraded, ...]:
        found = [one for outcome in self.outcomes if outcome.result for one in outcome.result.degraded]
        return tuple(dict.fromkeys(found))

    def items(self) -> tuple[ImageItem, ...]:
        """The result's `images`; empty for a single picture."""
        return tuple(map(_item, self.outcomes)) if len(self.outcomes) > 1 else ()


def _item(outcome: PictureOutcome) -> ImageItem:
    if (result := outcome.result) is not None:
        return ImageItem(
            image_base64=result.image_base64,
            image_url=result.image_url,
            image_format=result.image_format,
            width=result.width,
            height=result.height,
            seed=result.seed,
            prompt_used=result.prompt_used,
            policy=result.policy,
        )
    error = outcome.error or ImgPodError("The picture could not be generated.")
    return ImageItem(
        seed=outcome.seed or 0,
        error=PictureError(code=error.code, message=error.message, retryable=error.retryable),
    )


def consecutive_seeds(first: int | None, n: int) -> list[int | None]:
    """`n` seeds beginning with `first`. An unset single seed is left to the worker; several start at a random one."""
    if n == 1:
        return [first]
    start = secrets.randbelow(_DRAWN_SEEDS) if first is None else first
    return [(start + index) % _SEEDS for index in range(n)]


async def generate_all(
    seeds: Sequence[int | None], generate: Callable[[int, int | None], Awaitable[GenerateResult]]
) -> Pictures:
    """Run `generate(index, seed)` for all seeds at the same time. Raises the first error if all failed."""

    async def outcome_of(index: int, seed: int | None) -> PictureOutcome:
        try:
            return PictureOutcome(seed, result=await generate(index, seed))
        except ImgPodError as error:
            return PictureOutcome(seed, error=error)

    return await _gather_outcomes([outcome_of(index, seed) for index, seed in enumerate(seeds)])


async def check_all(pictures: Pictures, check: Callable[[int, GenerateResult], Awaitable[GenerateResult]]) -> Pictures:
    """Run `check(index, picture)` for all pictures at the same time; a failed check replaces its picture by its error.

    Raises `PolicyBlocked` if one picture is refused, and the first error if no picture is left.
    """

    async def outcome_of(index: int, outcome: PictureOutcome) -> PictureOutcome:
        if outcome.result is None:
            return outcome
        try:
            return PictureOutcome(outcome.seed, result=await check(index, outcome.result))
        except PolicyBlocked:
            raise
        except ImgPodError as error:
            return PictureOutcome(outcome.seed, error=error)

    return await _gather_outcomes([outcome_of(index, outcome) for index, outcome in enumerate(pictures.outcomes)])


async def _gather_outcomes(running: Sequence[Coroutine[None, None, PictureOutcome]]) -> Pictures:
    """Await all in parallel. Raises the exception of any of them, and the first error if no picture is left."""
    tasks = [asyncio.create_task(one) for one in running]
    try:
        outcomes = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(errors) == len(outcomes):
        raise errors[0]
    return Pictures(tuple(outcomes))


class SharedProgress:
    """The progress of several pictures as that of one stage: the sums of their steps and their mean percentage."""

    def __init__(self, n: int, report: Callable[[StageProgress], None]) -> None:
        self._report = report
        self._latest: list[StageProgress | None] = [None] * n

    def of(self, index: int) -> Callable[[StageProgress], None]:
        """The progress callback of one picture."""

        def report(progress: StageProgress) -> None:
            self._latest[index] = progress
            known = [one for one in self._latest if one is not None]
            n = len(self._latest)
            steps = sum(one.of for one in known) * n // len(known)
            percent = sum(one.percent for one in known) // n
            self._report(
                StageProgress(stage=progress.stage, step=sum(one.step for one in known), of=steps, percent=percent)
            )

        return report
