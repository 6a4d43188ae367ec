"""The age check in two workers: zimage withholds pictures that need it, the selfie worker reads the ages."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from core.backends import (
    BatchCallbacks,
    GeneratedImage,
    ImageRequest,
    Outcome,
    PictureAges,
    SelfieAnalysis,
    SelfieRequest,
)
from core.contracts import (
    AnalyzeRequest,
    AnalyzeResult,
    ApparentAge,
    CheckRequest,
    CheckResult,
    FaceMeta,
    FaceQuality,
    Features,
    GenerateRequest,
    GenerateResult,
    GenerateTask,
    ModelInfo,
    StageContext,
)
from core.errors import BadPicture, UnsafeOutput
from core.images.generation import AgeCheckRule
from core.policy import age_check_commitment
from core.settings import StorageSettings
from core.storage.delivery import PictureDelivery
from core.worker.device import Device
from core.worker.job import Job
from core.worker.progress import Progress
from handlers import selfie, zimage

INFO = ModelInfo(name="weightless", revision="0", profile="none")
KEY = b"a deployment's key"
PROMPT = "two people at a lake"


async def drop(_: object) -> None: ...


def a_job() -> Job:
    return Job("job", Progress(drop, interval_s=60))


class GrayPictures:
    info = INFO
    sides = (64, 256)
    default_side = 64

    def bucket(self, request: ImageRequest) -> tuple[int, ...]:
        return (request.width, request.height)

    def generate(self, requests: Sequence[ImageRequest], watch: BatchCallbacks) -> list[Outcome[GeneratedImage]]:
        return [GeneratedImage(Image.new("RGB", (64, 64), "gray"), one.seed, 8) for one in requests]


class Scores:
    name = "scores"

    def __init__(self, score: float | None) -> None:
        self.fixed = score

    def score(self, image: Image.Image) -> float:
        if self.fixed is None:
            raise RuntimeError("broken")
        return self.fixed


class Uploads:
    """A store that counts what is put into it."""

    def __init__(self) -> None:
        self.count = 0

    async def put(self, data: bytes, *, key: str, content_type: str) -> str:
        self.count += 1
        return f"https://pictures.example/{key}"


async def generated(score: float | None, store: Uploads, task: GenerateTask, age_check: str | None) -> GenerateResult:
    backend = GrayPictures()
    delivery = PictureDelivery(StorageSettings(), store, 9_500_000)  # type: ignore[arg-type]  # counts uploads
    rule = AgeCheckRule(0.5, KEY)
    respond = zimage.handler(backend, Scores(score), Device(backend.generate), delivery, threshold=0.85, age_check=rule)
    context = StageContext(trace_id="t", age_check=age_check) if age_check else None
    result = await respond(GenerateRequest(task=task, prompt=PROMPT, context=context), a_job())
    assert isinstance(result, GenerateResult)
    return result


FLAGGED = [(0.97, GenerateTask.CHAT_1TO1), (None, GenerateTask.CHAT_1TO1), *((0.6, task) for task in GenerateTask)]


@pytest.mark.parametrize(("score", "task"), FLAGGED)
async def test_picture_that_needs_an_age_check_is_returned_inline_and_not_uploaded(
    score: float | None, task: GenerateTask
) -> None:
    store = Uploads()
    result = await generated(score, store, task, age_check_commitment("t", PROMPT, KEY))
    assert result.image_base64 is not None
    assert result.image_url is None
    assert store.count == 0


@pytest.mark.parametrize(("score", "task"), FLAGGED)
@pytest.mark.parametrize("commitment", [None, "unsigned", age_check_commitment("t", "another prompt", KEY)])
async def test_caller_without_a_valid_commitment_gets_no_picture_that_needs_an_age_check(
    score: float | None, task: GenerateTask, commitment: str | None
) -> None:
    store = Uploads()
    with pytest.raises(UnsafeOutput, match="age check"):
        await generated(score, store, task, commitment)
    assert store.count == 0


async def test_picture_that_needs_no_age_check_is_uploaded_for_any_caller() -> None:
    store = Uploads()
    result = await generated(0.1, store, GenerateTask.CHAT_1TO1, None)
    assert (result.image_base64, store.count) == (None, 1)


ADULT = ApparentAge(age_band="35_44", confidence=0.9, under_18=0.02)
FACE = FaceMeta(
    detected=True, box=(0, 0, 9, 9), confidence=1, faces_in_picture=1, quality_score=1, components=FaceQuality()
)


class FixedAges:
    """A vision backend that records the sizes of its pictures."""

    info = INFO

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def generate(self, requests: Sequence[SelfieRequest], watch: BatchCallbacks) -> list[Outcome[SelfieAnalysis]]:
        return [SelfieAnalysis(Features(), FACE) for _ in requests]

    def read_ages(self, requests: Sequence[Image.Image], watch: BatchCallbacks) -> list[Outcome[PictureAges]]:
        self.sizes += [image.size for image in requests]
        return [PictureAges((ADULT, ADULT), ADULT, 3) for _ in requests]


def encoded(side: int = 64) -> str:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "gray").save(file, "webp")
    return base64.b64encode(file.getvalue()).decode()


async def test_ages_of_a_picture_are_returned_as_the_backend_read_them() -> None:
    backend = FixedAges()
    respond = selfie.handler(backend, selfie.vision_device(backend))
    result = await respond(CheckRequest(task="picture/check", picture=encoded(96), request_id="r"), a_job())
    assert isinstance(result, CheckResult)
    assert (result.faces, result.whole, result.faces_not_read) == ((ADULT, ADULT), ADULT, 3)
    assert (result.request_id, backend.sizes) == ("r", [(96, 96)])


@pytest.mark.parametrize("picture", ["https://example.com/picture.png", "bm8gcGljdHVyZQ==", "%%%"])
async def test_picture_to_check_must_be_base64_not_a_url(picture: str) -> None:
    backend = FixedAges()
    respond = selfie.handler(backend, selfie.vision_device(backend))
    with pytest.raises(BadPicture):
        await respond(CheckRequest(task="picture/check", picture=picture), a_job())


async def test_selfies_and_age_readings_share_the_device_in_separate_batches() -> None:
    backend = FixedAges()
    respond: Any = selfie.handler(backend, selfie.vision_device(backend, max_batch=4))
    analyzed = await respond(AnalyzeRequest(task="profile/analyze", selfie=encoded()), a_job())
    checked = await respond(CheckRequest(task="picture/check", picture=encoded()), a_job())
    assert isinstance(analyzed, AnalyzeResult)
    assert isinstance(checked, CheckResult)
