"""The three real handlers in one worker, with fake backends instead of models.

`WEIGHTLESS_WRITES` is what the language model answers, `WEIGHTLESS_AGE` the age that is read from any selfie,
`WEIGHTLESS_PICTURE_AGE` that of a generated picture, `WEIGHTLESS_SCORE` the output check's score. The text
classifier is the embedded one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from core.backends import (
    BatchCallbacks,
    Completion,
    GeneratedImage,
    ImageRequest,
    Outcome,
    PictureAges,
    SelfieAnalysis,
    SelfieRequest,
)
from core.backends.guard import load_classifier
from core.contracts import (
    STAGE_REQUESTS,
    AnalyzeRequest,
    ApparentAge,
    CheckRequest,
    FaceMeta,
    FaceQuality,
    Features,
    GenerateRequest,
    Message,
    ModelInfo,
    StageRequest,
)
from core.images.generation import AgeCheckRule
from core.settings import ROOT, Settings
from core.storage.delivery import PictureDelivery
from core.text.budgets import Budget
from core.weights import Model
from core.worker.device import Device
from core.worker.entry import main
from core.worker.job import Job, JobHandler, Worker
from handlers import llm, selfie, zimage

INFO = ModelInfo(name="weightless", revision="0", profile="none")
FACE = FaceMeta(
    detected=True, box=(0, 0, 9, 9), confidence=1, faces_in_picture=1, quality_score=1, components=FaceQuality()
)


class FixedVision:
    info = INFO

    def generate(self, requests: Sequence[SelfieRequest], watch: BatchCallbacks) -> list[Outcome[SelfieAnalysis]]:
        age = os.environ.get("WEIGHTLESS_AGE", "25_34")
        features = Features.model_validate({"age_band": age, "hair_color": "red", "confidence": {"age_band": 0.97}})
        return [SelfieAnalysis(features, FACE) for _ in requests]

    def read_ages(self, requests: Sequence[Image.Image], watch: BatchCallbacks) -> list[Outcome[PictureAges]]:
        band = os.environ.get("WEIGHTLESS_PICTURE_AGE", "25_34")
        age = ApparentAge(age_band=band, confidence=0.97, under_18=0.97 if band == "under_18" else 0.01)
        return [PictureAges((age,), age, 0) for _ in requests]


class FixedText:
    info = INFO

    def generate(self, requests: Sequence[Completion], watch: BatchCallbacks) -> list[Outcome[str]]:
        return [os.environ.get("WEIGHTLESS_WRITES", "")] * len(requests)


class GrayPictures:
    info = INFO
    sides = (64, 256)
    default_side = 64

    def bucket(self, request: ImageRequest) -> tuple[int, ...]:
        return (request.width, request.height)

    def generate(self, requests: Sequence[ImageRequest], watch: BatchCallbacks) -> list[Outcome[GeneratedImage]]:
        return [
            GeneratedImage(Image.new("RGB", (one.width, one.height), (200, 120, 40)), one.seed, 8) for one in requests
        ]


class Scores:
    name = "scores"

    def score(self, image: Image.Image) -> float:
        return float(os.environ.get("WEIGHTLESS_SCORE", "0.01"))


def load(settings: Settings) -> JobHandler[StageRequest]:
    probability = settings.policy.minor_probability
    vision, text, image = FixedVision(), FixedText(), GrayPictures()
    analyze = selfie.handler(vision, selfie.vision_device(vision), signing_key=settings.policy.key)
    classifier = load_classifier(settings.weights.locate(Model.GUARD)) if settings.llm.classifier == "guard" else None
    write = llm.handler(
        text,
        llm.text_device(text, Budget(), max_batch=1, window_s=0, classifier=classifier),
        minor_probability=probability,
        has_classifier=classifier is not None,
    )
    publisher = PictureDelivery.from_settings(settings.storage, max_bytes=settings.worker.max_result_bytes)
    generate = zimage.handler(
        image,
        Scores(),
        Device(image.generate),
        publisher,
        threshold=0.85,
        age_check=AgeCheckRule(settings.policy.age_check_score, settings.policy.key),
    )

    async def respond(request: StageRequest, job: Job) -> Message:
        if isinstance(request, AnalyzeRequest | CheckRequest):
            return await analyze(request, job)
        return await generate(request, job) if isinstance(request, GenerateRequest) else await write(request, job)

    return respond


def worker(settings: Settings) -> Worker[StageRequest]:
    return Worker("weightless", STAGE_REQUESTS, lambda: load(settings), 1, 2, ROOT / "test_input.json")


if __name__ == "__main__":
    main(worker)
