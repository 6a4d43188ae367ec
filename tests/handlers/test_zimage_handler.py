"""The zimage worker's handler over an image model that returns what a test gives it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from core.backends import BatchCallbacks, GeneratedImage, ImageRequest, Outcome
from core.contracts import GenerateRequest, GenerateResult, GenerateTask, ModelInfo
from core.errors import TooLarge
from core.images.generation import AgeCheckRule
from core.settings import StorageSettings
from core.storage.delivery import PictureDelivery
from core.worker.device import Device
from core.worker.job import Job
from core.worker.progress import Progress
from handlers.zimage import handler


class Pictures:
    """An image backend that returns gray pictures of the requested size, or `outcome`."""

    info = ModelInfo(name="gray", revision="0", profile="none")
    sides = (64, 256)
    default_side = 64

    def __init__(self, *, prompt_truncated: bool = False, outcome: TooLarge | None = None) -> None:
        self.prompt_truncated, self.outcome = prompt_truncated, outcome

    def bucket(self, request: ImageRequest) -> tuple[int, ...]:
        return (request.width, request.height)

    def generate(self, requests: Sequence[ImageRequest], watch: BatchCallbacks) -> list[Outcome[GeneratedImage]]:
        return [self.outcome or self.picture(request) for request in requests]

    def picture(self, request: ImageRequest) -> GeneratedImage:
        image = Image.new("RGB", (request.width, request.height), "gray")
        return GeneratedImage(image, request.seed, 8, prompt_truncated=self.prompt_truncated)


class Safe:
    name = "safe"

    def score(self, image: Image.Image) -> float:
        return 0.0


async def run(backend: Pictures) -> GenerateResult:
    device = Device(backend.generate, bucket=backend.bucket)
    publisher = PictureDelivery.from_settings(StorageSettings(), max_bytes=10**7)
    rule = AgeCheckRule(score_from=0.5, key=None)
    respond = handler(backend, Safe(), device, publisher, threshold=0.5, age_check=rule)

    async def drop(_: object) -> None:
        """Discard the report of progress."""

    request = GenerateRequest(task=GenerateTask.GENERAL, prompt="a lighthouse", seed=1)
    try:
        result = await respond(request, Job("1", Progress(drop, interval_s=60)))
    finally:
        device.close()
    assert isinstance(result, GenerateResult)
    return result


async def test_cut_prompt_is_reported_as_degraded() -> None:
    (degraded,) = (await run(Pictures(prompt_truncated=True))).degraded
    assert (degraded.stage, degraded.reason, degraded.fallback) == ("generate", "too_large", "truncated_prompt")


async def test_whole_prompt_is_not_degraded() -> None:
    assert (await run(Pictures())).degraded == ()


async def test_picture_that_does_not_fit_in_memory_fails_its_own_job_only() -> None:
    with pytest.raises(TooLarge, match="smaller"):
        await run(Pictures(outcome=TooLarge("Ask for smaller sides.")))
