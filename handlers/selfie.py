"""The selfie worker: reads a person's features and face quality from a selfie, and apparent ages from a picture.

    {"input": {"task": "profile/analyze", "selfie": "<base64, data URI or https URL>"}}

    {"features": {"hair_color": "red", "glasses": "none", …, "confidence": {"hair_color": 0.97, …}},
     "face": {"detected": true, "box": [88, 61, 424, 470], "quality_score": 0.81, …}, "model": {…}, "device_ms": 640, …}

    {"input": {"task": "picture/check", "picture": "<base64>"}}

    {"faces": [{"age_band": "25_34", "confidence": 0.93, "under_18": 0.01}], "whole": {…}, "faces_not_read": 0, …}

No picture is stored or logged. Importing this module loads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from core.backends import BatchCallbacks, Outcome, PictureAges, SelfieAnalysis, SelfieRequest, VisionBackend
from core.contracts import (
    ANALYZE_TASK,
    CHECK_TASK,
    AnalyzeRequest,
    AnalyzeResult,
    CheckRequest,
    CheckResult,
    Degraded,
    FaceMeta,
    StageRequest,
)
from core.images import Fetch, open_generated, open_selfie
from core.policy import prepare, sign_features
from core.settings import ROOT, Settings
from core.weights import Model
from core.worker.device import Device, DeviceResult
from core.worker.job import Job, JobHandler, Worker

if TYPE_CHECKING:
    from PIL.Image import Image

_INCOMPLETE = Degraded(stage="analyze", reason="incomplete_picture", fallback="partial_picture")


@dataclass(frozen=True, slots=True)
class AgeReading:
    """A request for the apparent ages of the people in a generated picture."""

    image: Image


SelfieInput: TypeAlias = SelfieRequest | AgeReading
SelfieOutput: TypeAlias = SelfieAnalysis | PictureAges


def vision_device(backend: VisionBackend, *, max_batch: int = 1) -> Device[SelfieInput, SelfieOutput]:
    """The device of this worker; selfies and age readings run in separate batches."""

    def run(requests: Sequence[SelfieInput], watch: BatchCallbacks) -> Sequence[Outcome[SelfieOutput]]:
        readings = [one.image for one in requests if isinstance(one, AgeReading)]
        if readings:
            return backend.read_ages(readings, watch)
        return backend.generate([one for one in requests if not isinstance(one, AgeReading)], watch)

    return Device(run, bucket=lambda request: isinstance(request, AgeReading), max_batch=max_batch)


def handler(
    backend: VisionBackend,
    device: Device[SelfieInput, SelfieOutput],
    *,
    signing_key: bytes | None = None,
    fetch: Fetch | None = None,
    worker_id: str | None = None,
) -> JobHandler[StageRequest]:
    """The handler of a loaded worker. `fetch` downloads a selfie's URL; the default allows public https only."""

    def facts(request: StageRequest, done: DeviceResult[SelfieOutput]) -> dict[str, Any]:
        return {
            "request_id": request.request_id,
            "worker_id": worker_id,
            "model": backend.info,
            "device_ms": done.device_ms,
            "share_ms": done.share_ms,
            "batch_size": done.batch_size,
        }

    async def respond(request: StageRequest, job: Job) -> AnalyzeResult | CheckResult:
        if isinstance(request, CheckRequest):
            return await check(request, job)
        if isinstance(request, AnalyzeRequest):
            return await analyze(request, job)
        raise TypeError(f"the selfie worker has no task for {type(request).__name__}")

    async def analyze(request: AnalyzeRequest, job: Job) -> AnalyzeResult:
        opened = await open_selfie(request.selfie, fetch=fetch)
        done = await device.run(
            SelfieRequest(opened.image, request.face), lambda step, of: job.progress.report("analyze", step, of)
        )
        if not isinstance(done.result, SelfieAnalysis):
            raise TypeError("the device returned another result than an analysis")
        features = done.result.features
        return AnalyzeResult(
            **facts(request, done),
            features=sign_features(features, signing_key) if signing_key else features,
            face=_in_file_pixels(done.result.face, opened.scale),
            degraded=(_INCOMPLETE,) if opened.kept < 1 else (),
        )

    async def check(request: CheckRequest, job: Job) -> CheckResult:
        picture = await open_generated(request.picture)
        done = await device.run(AgeReading(picture), lambda step, of: job.progress.report("check", step, of))
        if not isinstance(done.result, PictureAges):
            raise TypeError("the device returned another result than ages")
        ages = done.result
        return CheckResult(
            **facts(request, done), faces=ages.faces, whole=ages.whole, faces_not_read=ages.faces_not_read
        )

    return respond


def _in_file_pixels(face: FaceMeta, scale: float) -> FaceMeta:
    """Convert the boxes of a picture that was decoded at 1/`scale` of its size to px of the file."""
    if scale == 1:
        return face
    boxes = tuple(_scaled(box, scale) for box in face.boxes)
    return face.model_copy(update={"box": face.box and _scaled(face.box, scale), "boxes": boxes})


def _scaled(box: tuple[int, int, int, int], scale: float) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(side * scale) for side in box)
    return left, top, right, bottom


def load(settings: Settings) -> JobHandler[StageRequest]:
    """Load the weights, warm up, and return the handler. Raises `Misconfigured`."""
    from core.backends.devices import use_threads
    from core.backends.vision import ConfidenceThresholds, load_vision, warm_up
    from core.images.decoder_process import prestart
    from core.images.fetch import HttpsFetch

    prestart()
    prepare(settings.policy.audit_file, settings.policy.key)
    use_threads(settings.selfie.threads)
    found = settings.weights.locate
    backend = load_vision(
        found(Model.VISION),
        found(Model.FACE),
        device=settings.selfie.device,
        thresholds=ConfidenceThresholds(settings.selfie.min_confidence, settings.policy.minor_probability),
        calibration_file=settings.selfie.calibration_file,
    )
    warm_up(backend)
    return handler(
        backend,
        vision_device(backend, max_batch=settings.selfie.max_batch),
        signing_key=settings.policy.key,
        fetch=HttpsFetch(ports=frozenset(settings.selfie.url_ports)),
        worker_id=settings.platform.pod_id,
    )


def worker(settings: Settings) -> Worker[StageRequest]:
    return Worker(
        name="selfie",
        tasks={ANALYZE_TASK: AnalyzeRequest, CHECK_TASK: CheckRequest},
        load=lambda: load(settings),
        running=settings.selfie.max_batch,
        concurrency=settings.selfie.concurrency,
        test_input=ROOT / "test_inputs" / "selfie.json",
    )


if __name__ == "__main__":
    from core.worker.entry import main

    main(worker)
