"""Generate a picture, retrying when the output is black or fails the safety check.

Each attempt applies the policy to the prompt again, because a second attempt changes it. On a moderated route a picture
that could not be checked is withheld; on the adult-allowed route the check is only reported.

May import: core.backends, core.contracts, core.errors, core.logs, core.policy.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, Protocol

from core.backends import GeneratedImage, ImageRequest, PictureChecker
from core.contracts import ROUTE_OF_TASK, GenerateRequest, PictureCheck, PolicyReport, Route
from core.errors import BlackPicture, InvalidRequest, UnsafeOutput
from core.logs import logger
from core.policy import ROUTES, FinalPrompt, Treatment, build_final_prompt, committed_to_age_check, needs_age_check

MAX_SEED = 2**53 - 1
_ATTEMPTS = 3
"""The first, one after a black picture, one after an unsafe one."""
log = logger()


class GenerateImage(Protocol):
    """Generates one picture on the device. Raises `BlackPicture`, or the error that fails the job."""

    def __call__(self, request: ImageRequest, /) -> Awaitable[GeneratedImage]: ...


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """The sides that a checkpoint supports, in px."""

    smallest: int
    largest: int
    default: int

    def side(self, name: str, requested: int | None) -> int:
        if requested is None:
            return self.default
        if not self.smallest <= requested <= self.largest:
            raise InvalidRequest(f"`{name}`: these weights take sides of {self.smallest} to {self.largest} px.")
        return requested


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """A picture that may be delivered, and how it was generated."""

    generated: GeneratedImage
    prompt: str
    policy: PolicyReport
    attempts: int


async def generate_checked(
    request: GenerateRequest,
    sizes: ImageSizes,
    generate: GenerateImage,
    checker: PictureChecker | None,
    *,
    threshold: float,
) -> CheckedImage:
    """Generate a picture for `request` and check it; a black or unsafe one is generated once more with another seed.

    Raises `PolicyBlocked` before anything is generated, and `UnsafeOutput` or `BlackPicture` if the retry fails too.
    """
    route = ROUTE_OF_TASK[request.task]
    treated_as = _treatment(route, request)
    width, height = sizes.side("width", request.width), sizes.side("height", request.height)
    seed = random.SystemRandom().randint(0, 2**32 - 1) if request.seed is None else request.seed
    strength: Literal[0, 1] = 0
    was_black = False
    for attempt in range(1, _ATTEMPTS + 1):
        words = build_final_prompt(request.prompt, route, treated_as=treated_as, strength=strength)
        try:
            generated = await generate(ImageRequest(words.prompt, seed, width, height))
        except BlackPicture:
            if was_black:
                raise
            log.info("black picture", attempt=attempt)
            was_black, seed = True, another_seed(seed)
            continue
        check = await _check(generated, checker, threshold)
        if treated_as == "adult_allowed" or check.outcome == "passed":
            return CheckedImage(
                generated, words.prompt, _report(words, check, treated_as, second=strength == 1), attempt
            )
        if strength == 1 or check.score is None:
            break
        log.info("unsafe picture", attempt=attempt)
        strength, seed = 1, another_seed(seed)
    raise UnsafeOutput("The picture did not pass the safety check and was withheld; ask for a less explicit one.")


@dataclass(frozen=True, slots=True)
class AgeCheckRule:
    """`score_from`: the output score that requires the check. `key` verifies the orchestrator's commitment to it."""

    score_from: float
    key: bytes | None = None


def held_for_age_check(finished: CheckedImage, request: GenerateRequest, rule: AgeCheckRule) -> bool:
    """Whether the picture must be returned inline to the orchestrator for an age check, and not uploaded.

    Raises `UnsafeOutput` if the caller hasn't committed to that check, because it would not be run.
    """
    if not needs_age_check(finished.policy.picture, score_from=rule.score_from):
        return False
    if not committed_to_age_check(request.context, request.prompt, rule.key):
        raise UnsafeOutput("The picture needs an age check, which only the orchestrator runs: send the request there.")
    return True


def another_seed(seed: int) -> int:
    """The seed of the next attempt, derived from the first one so that the result can be reproduced."""
    return (seed * 6364136223846793005 + 1442695040888963407) % (MAX_SEED + 1)  # Knuth's MMIX constants


def _treatment(route: Route, request: GenerateRequest) -> Treatment:
    """The orchestrator's decision, which can only make a route stricter."""
    if not ROUTES[route].adult_allowed:
        return "moderated"
    return (request.context.treated_as if request.context else None) or "adult_allowed"


async def _check(generated: GeneratedImage, checker: PictureChecker | None, threshold: float) -> PictureCheck:
    """Check a picture. The outcome is `reported` above the threshold or if the check failed; the caller decides."""
    name, score = "none", None
    if checker is not None:
        name = checker.name
        try:
            score = await asyncio.to_thread(checker.score, generated.image)
        except Exception as error:  # noqa: BLE001 - any exception means that the picture was not checked
            log.error("picture checker failed", error_type=type(error).__name__)
    passed = score is not None and score < threshold
    return PictureCheck(checker=name, score=score, threshold=threshold, outcome="passed" if passed else "reported")


def _report(words: FinalPrompt, check: PictureCheck, treated_as: Treatment, *, second: bool) -> PolicyReport:
    return PolicyReport(
        version=words.verdict.version,
        verdict="constrained" if words.applied else "allowed",
        categories=words.verdict.categories,
        applied=words.applied,
        treated_as=treated_as,
        picture=check.model_copy(update={"outcome": "repainted"}) if second else check,
    )
