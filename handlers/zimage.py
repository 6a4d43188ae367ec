"""The zimage worker: judges a prompt, generates a picture and checks it.

    {"input": {"task": "generate", "prompt": "a lighthouse at dusk", "seed": 7, "width": 1024, "height": 1024}}

    {"image_base64": "…", "image_format": "webp", "width": 1024, "height": 1024, "seed": 7,
     "prompt_used": "a lighthouse at dusk", "model": {…}, "policy": {…}, "device_ms": 2900, "batch_size": 1, …}

Tasks: profile/generate, chat/1to1/generate, chat/shorts/generate, chat/scenes/generate, chat/private/generate and
generate. The task names the route whose policy applies. Importing this module loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.backends import GeneratedImage, ImageBackend, ImageRequest, PictureChecker
from core.contracts import Degraded, GenerateRequest, GenerateResult, GenerateTask
from core.errors import TooLarge
from core.images import Recipe
from core.images.credentials import ContentCredentials
from core.images.generation import AgeCheckRule, CheckedImage, ImageSizes, generate_checked, held_for_age_check
from core.policy import POLICY_VERSION, prepare, reject_uncovered
from core.settings import ROOT, Settings, ZimageSettings
from core.storage.delivery import PictureDelivery
from core.weights import Model
from core.worker.device import Device, DeviceTime
from core.worker.job import Job, JobHandler, Worker

if TYPE_CHECKING:
    from core.backends.image import ImageOptions


def handler(  # noqa: PLR0913  # each argument is a part or a setting of the worker
    backend: ImageBackend,
    checker: PictureChecker | None,
    device: Device[ImageRequest, GeneratedImage],
    publisher: PictureDelivery,
    *,
    threshold: float,
    age_check: AgeCheckRule,
    covered_only: bool = True,
    worker_id: str | None = None,
) -> JobHandler[GenerateRequest]:
    """The handler of a loaded worker.

    `covered_only`: refuse a prompt in a language without rules, because only the llm worker can judge it.
    """
    sizes = ImageSizes(*backend.sides, default=backend.default_side)

    async def generate(request: GenerateRequest, job: Job) -> GenerateResult:
        meter = DeviceTime()

        async def run(picture: ImageRequest) -> GeneratedImage:
            done = await device.run(picture, lambda step, of: job.progress.report("generate", step, of))
            meter.add(done)
            meter.batch_size = done.batch_size
            return done.result

        publisher.check(job.s3_config)
        if covered_only:
            reject_uncovered([request.prompt], stage="generate")
        finished = await generate_checked(request, sizes, run, checker, threshold=threshold)
        held = held_for_age_check(finished, request, age_check)
        recipe = _recipe(finished, backend, with_prompt=request.include_prompt)
        most = request.context.max_result_bytes if request.context else None
        picture, degraded = await publisher.publish(
            finished.generated.image,
            request.output_format,
            recipe,
            job.s3_config,
            max_bytes=most,
            may_upload=not held,
        )
        return GenerateResult(
            **picture.model_dump(),
            request_id=request.request_id,
            worker_id=worker_id,
            model=backend.info,
            **meter.facts(),
            prompt_used=finished.prompt,
            policy=finished.policy,
            attempts=finished.attempts,
            degraded=(*_degraded(finished), *degraded),
        )

    return generate


def _degraded(finished: CheckedImage) -> tuple[Degraded, ...]:
    if not finished.generated.prompt_truncated:
        return ()
    return (Degraded(stage="generate", reason=TooLarge.code, fallback="truncated_prompt"),)


def _recipe(finished: CheckedImage, backend: ImageBackend, *, with_prompt: bool) -> Recipe:
    return Recipe(
        model=backend.info.name,
        revision=backend.info.revision,
        seed=finished.generated.seed,
        steps=finished.generated.steps,
        policy_version=POLICY_VERSION,
        prompt=finished.prompt if with_prompt else None,
    )


def load(settings: Settings) -> JobHandler[GenerateRequest]:
    """Load the weights, warm up, and return the handler. Raises `Misconfigured`."""
    from core.backends.checker import load_checker
    from core.backends.devices import use_threads
    from core.backends.image import load_image, warm_up

    prepare(settings.policy.audit_file, settings.policy.key)
    use_threads(settings.zimage.threads)
    backend = load_image(
        settings.weights.locate(Model.IMAGE), device=settings.zimage.device, options=_options(settings.zimage)
    )
    checker = load_checker(settings.weights.locate(Model.CHECKER).path)
    device = Device(
        backend.generate,
        bucket=backend.bucket,
        max_batch=settings.zimage.max_batch,
        window_s=settings.zimage.batch_window_s,
    )
    warm_up(backend)
    publisher = PictureDelivery.from_settings(
        settings.storage,
        max_bytes=settings.worker.max_result_bytes,
        signer=ContentCredentials.from_settings(settings.signing),
    )
    return handler(
        backend,
        checker,
        device,
        publisher,
        threshold=settings.zimage.unsafe_threshold,
        age_check=AgeCheckRule(settings.policy.age_check_score, settings.policy.key),
        covered_only=settings.unsupported_language != "classify",
        worker_id=settings.platform.pod_id,
    )


def _options(zimage: ZimageSettings) -> ImageOptions:
    from core.backends.image import ImageOptions

    return ImageOptions(
        encoder=zimage.encoder_quantization,
        transformer=zimage.transformer_quantization,
        channels_last=zimage.channels_last,
        compiled=zimage.compile,
    )


def worker(settings: Settings) -> Worker[GenerateRequest]:
    return Worker(
        name="zimage",
        tasks=dict.fromkeys(GenerateTask, GenerateRequest),
        load=lambda: load(settings),
        running=settings.zimage.max_batch,
        concurrency=settings.zimage.concurrency,
        test_input=ROOT / "test_inputs" / "zimage.json",
    )


if __name__ == "__main__":
    from core.worker.entry import main

    main(worker)
