"""Generation with retries: judging of prompts, checks of pictures, second attempts and withheld pictures."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from core.backends import GeneratedImage, ImageRequest
from core.contracts import GenerateRequest, GenerateTask, StageContext
from core.errors import BlackPicture, InvalidRequest, PolicyBlocked, UnsafeOutput
from core.images.generation import CheckedImage, ImageSizes, another_seed, generate_checked
from core.policy import CONSTRAINT, STRONG_CONSTRAINT

SIZES = ImageSizes(smallest=64, largest=256, default=128)
THRESHOLD = 0.8


class Scores:
    """A checker that returns these scores in turn; an exception among them is raised."""

    name = "scores"

    def __init__(self, *scores: float | Exception) -> None:
        self.left = list(scores)

    def score(self, image: Image.Image) -> float:
        score = self.left.pop(0)
        if isinstance(score, Exception):
            raise score
        return score


class Generator:
    """Returns a gray picture for each request, after raising the given exceptions in turn."""

    def __init__(self, *raises: Exception) -> None:
        self.raises = list(raises)
        self.asked: list[ImageRequest] = []

    async def __call__(self, picture: ImageRequest) -> GeneratedImage:
        self.asked.append(picture)
        if self.raises:
            raise self.raises.pop(0)
        return GeneratedImage(Image.new("RGB", (picture.width, picture.height), "gray"), picture.seed, 8)


def asked_for(prompt: str = "a lighthouse at dusk", **more: Any) -> GenerateRequest:
    return GenerateRequest(**{"task": GenerateTask.GENERAL, "prompt": prompt, "seed": 7, **more})


async def finish(request: GenerateRequest, generator: Generator, checker: Scores | None) -> CheckedImage:
    return await generate_checked(request, SIZES, generator, checker, threshold=THRESHOLD)


async def test_safe_picture_is_returned_after_one_attempt() -> None:
    generator = Generator()
    done = await finish(asked_for(), generator, Scores(0.1))
    assert (done.attempts, done.generated.seed, done.prompt) == (1, 7, "a lighthouse at dusk")
    assert done.policy.picture is not None
    assert (done.policy.picture.outcome, done.policy.picture.score) == ("passed", 0.1)


async def test_blocked_prompt_is_not_generated() -> None:
    generator = Generator()
    with pytest.raises(PolicyBlocked):
        await finish(asked_for("a naked twelve year old"), generator, Scores(0.1))
    assert generator.asked == []


async def test_explicit_prompt_on_a_moderated_route_starts_with_the_constraint() -> None:
    generator = Generator()
    done = await finish(asked_for("a naked woman on a bed"), generator, Scores(0.1))
    assert generator.asked[0].prompt.startswith(CONSTRAINT)
    assert done.policy.verdict == "constrained"


async def test_unsafe_picture_is_generated_again_with_a_stronger_constraint_and_another_seed() -> None:
    generator = Generator()
    done = await finish(asked_for(), generator, Scores(0.95, 0.1))
    assert generator.asked[1].prompt.startswith(STRONG_CONSTRAINT)
    assert generator.asked[1].seed == another_seed(7) == done.generated.seed
    assert done.policy.picture is not None
    assert done.policy.picture.outcome == "repainted"


async def test_picture_unsafe_twice_is_withheld() -> None:
    generator = Generator()
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(), generator, Scores(0.95, THRESHOLD))
    assert len(generator.asked) == 2


@pytest.mark.parametrize("checker", [None, Scores(RuntimeError("broken"))])
async def test_unchecked_picture_is_withheld_on_a_moderated_route(checker: Scores | None) -> None:
    generator = Generator()
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(), generator, checker)
    assert len(generator.asked) == 1


@pytest.mark.parametrize(("checker", "score"), [(Scores(0.99), 0.99), (Scores(RuntimeError("broken")), None)])
async def test_adult_route_only_reports_the_check(checker: Scores, score: float | None) -> None:
    done = await finish(asked_for(task=GenerateTask.CHAT_1TO1), Generator(), checker)
    assert done.policy.treated_as == "adult_allowed"
    assert done.policy.picture is not None
    assert (done.policy.picture.outcome, done.policy.picture.score) == ("reported", score)


async def test_adult_route_treated_as_moderated_is_moderated() -> None:
    context = StageContext(trace_id="t", treated_as="moderated")
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(task=GenerateTask.CHAT_1TO1, context=context), Generator(), Scores(0.99, 0.99))


async def test_context_cannot_make_a_moderated_route_adult() -> None:
    context = StageContext(trace_id="t", treated_as="adult_allowed")
    with pytest.raises(UnsafeOutput):
        await finish(asked_for(context=context), Generator(), Scores(0.99, 0.99))


async def test_black_picture_is_tried_once_with_another_seed() -> None:
    generator = Generator(BlackPicture("black"))
    done = await finish(asked_for(), generator, Scores(0.1))
    assert [picture.seed for picture in generator.asked] == [7, another_seed(7)]
    assert done.attempts == 2


async def test_second_black_picture_is_an_error() -> None:
    with pytest.raises(BlackPicture):
        await finish(asked_for(), Generator(BlackPicture("black"), BlackPicture("black")), Scores(0.1))


async def test_black_and_unsafe_pictures_have_one_retry_each() -> None:
    generator = Generator(BlackPicture("black"))
    done = await finish(asked_for(), generator, Scores(0.95, 0.1))
    assert (len(generator.asked), done.attempts) == (3, 3)


async def test_unset_seed_is_random() -> None:
    seeds = {(await finish(asked_for(seed=None), Generator(), Scores(0.1))).generated.seed for _ in range(4)}
    assert len(seeds) == 4


@pytest.mark.parametrize("side", [48, 272])
async def test_side_outside_the_models_bounds_is_refused_with_the_bounds(side: int) -> None:
    request = asked_for().model_copy(update={"width": side})
    with pytest.raises(InvalidRequest, match="64 to 256"):
        await finish(request, Generator(), Scores(0.1))
