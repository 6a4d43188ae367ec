"""The loop of attempts: what is judged, painted, looked at, repainted and withheld."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from core.backends import GeneratedImage, ImageRequest
from core.contracts import GenerateRequest, GenerateTask, StageContext
from core.errors import BlackPicture, InvalidRequest, PolicyBlocked, UnsafeOutput
from core.images.generation import CheckedImage, ImageSizes, another_seed, generate_checked
from core.policy import CONSTRAINT, STRONG_CONSTRAINT

CANVAS = ImageSizes(smallest=64, largest=256, default=128)
THRESHOLD = 0.8


class Scores:
    """A checker that gives these scores in turn; an exception among them is raised."""

    name = "scores"

    def __init__(self, *scores: float | Exception) -> None:
        self.left = list(scores)

    def score(self, image: Image.Image) -> float:
        score = self.left.pop(0)
        if isinstance(score, Exception):
            raise score
        return score


class Easel:
    """Paints one gray picture each time, or what it was told to raise first."""

    def __init__(self, *raises: Exception) -> None:
        self.raises = list(raises)
        self.asked: list[ImageRequest] = []

    async def __call__(self, painting: ImageRequest) -> GeneratedImage:
        self.asked.append(painting)
        if self.raises:
            raise self.raises.pop(0)
        return GeneratedImage(Image.new("RGB", (painting.width, painting.height), "gray"), painting.seed, 8)


def asked_for(prompt: str = "a lighthouse at dusk", **more: Any) -> GenerateRequest:
    return GenerateRequest(**{"task": GenerateTask.GENERAL, "prompt": prompt, "seed": 7, **more})


async def finish(request: GenerateRequest, easel: Easel, checker: Scores | None) -> CheckedImage:
    return await generate_checked(request, CANVAS, easel, checker, threshold=THRESHOLD)


async def test_safe_picture_leaves_after_one_attempt() -> None:
    easel = Easel()
    done = await finish(asked_for(), easel, Scores(0.1))
    assert (done.attempts, done.painted.seed, done.prompt) == (1, 7, "a lighthouse at dusk")
    assert done.policy.picture is not None
    assert (done.policy.picture.outcome, done.policy.picture.score) == ("passed", 0.1)


async def test_hard_text_reaches_no_device() -> None:
    easel = Easel()
    with pytest.raises(PolicyBlocked):
        await finish(asked_for("a naked twelve year old"), easel, Scores(0.1))
    assert easel.asked == []


async def test_explicit_text_on_a_moderated_route_is_painted_behind_its_constraint() -> None:
    easel = Easel()
    done = await finish(asked_for("a naked woman on a bed"), easel, Scores(0.1))
    assert easel.asked[0].prompt.startswith(CONSTRAINT)
    assert done.policy.verdict == "constrained"


async def test_unsafe_picture_is_repainted_with_stronger_clothing_and_another_seed() -> None:
    easel = Easel()
    done = await finish(asked_for(), easel, Scores(0.95, 0.1))
    assert easel.asked[1].prompt.startswith(STRONG_CONSTRAINT)
    assert easel.asked[1].seed == another_seed(7) == done.painted.seed
    assert done.policy.picture is not None
    assert done.policy.picture.outcome == "repainted"


async def test_picture_unsafe_twice_is_withheld() -> None:
    easel = Easel()
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(), easel, Scores(0.95, THRESHOLD))
    assert len(easel.asked) == 2


@pytest.mark.parametrize("checker", [None, Scores(RuntimeError("broken"))])
async def test_picture_nobody_can_look_at_does_not_leave_a_moderated_route(checker: Scores | None) -> None:
    easel = Easel()
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(), easel, checker)
    assert len(easel.asked) == 1


@pytest.mark.parametrize(("checker", "score"), [(Scores(0.99), 0.99), (Scores(RuntimeError("broken")), None)])
async def test_adult_route_only_reports_what_was_seen(checker: Scores, score: float | None) -> None:
    done = await finish(asked_for(task=GenerateTask.CHAT_1TO1), Easel(), checker)
    assert done.policy.treated_as == "adult_allowed"
    assert done.policy.picture is not None
    assert (done.policy.picture.outcome, done.policy.picture.score) == ("reported", score)


async def test_adult_route_that_the_orchestrator_moderates_is_moderated() -> None:
    context = StageContext(trace_id="t", treated_as="moderated")
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(task=GenerateTask.CHAT_1TO1, context=context), Easel(), Scores(0.99, 0.99))


async def test_no_context_makes_a_moderated_route_adult() -> None:
    context = StageContext(trace_id="t", treated_as="adult_allowed")
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(context=context), Easel(), Scores(0.99, 0.99))


async def test_black_picture_is_tried_once_with_another_seed() -> None:
    easel = Easel(BlackPicture("black"))
    done = await finish(asked_for(), easel, Scores(0.1))
    assert [painting.seed for painting in easel.asked] == [7, another_seed(7)]
    assert done.attempts == 2


async def test_second_black_picture_is_an_error() -> None:
    with pytest.raises(BlackPicture):
        await finish(asked_for(), Easel(BlackPicture("black"), BlackPicture("black")), Scores(0.1))


async def test_black_and_unsafe_have_one_retry_each() -> None:
    easel = Easel(BlackPicture("black"))
    done = await finish(asked_for(), easel, Scores(0.95, 0.1))
    assert (len(easel.asked), done.attempts) == (3, 3)


async def test_unset_seed_is_drawn_anew() -> None:
    seeds = {(await finish(asked_for(seed=None), Easel(), Scores(0.1))).painted.seed for _ in range(4)}
    assert len(seeds) == 4


@pytest.mark.parametrize("side", [48, 272])
async def test_side_outside_the_weights_bounds_is_refused_with_them(side: int) -> None:
    request = asked_for().model_copy(update={"width": side})
    with pytest.raises(InvalidRequest, match="64 to 256"):
        await finish(request, Easel(), Scores(0.1))
