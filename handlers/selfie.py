"""The selfie worker: a selfie → how the person looks, and how good the picture of the face is.

    {"input": {"task": "profile/analyze", "selfie": "<base64, data URI or https URL>"}}

    {"features": {"hair_color": "red", "glasses": "none", …, "confidence": {"hair_color": 0.97, …}},
     "face": {"detected": true, "box": [88, 61, 424, 470], "quality_score": 0.81, …}, "model": {…}, "device_ms": 640, …}

The picture is read and forgotten: nothing of it is kept, logged or embedded. Importing this module loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.backends import SelfieAnalysis, VisionBackend
from core.contracts import ANALYZE_TASK, AnalyzeRequest, AnalyzeResult
from core.images import Fetch, open_selfie
from core.policy import prepare, sign_features
from core.settings import ROOT, Settings
from core.weights import Model
from core.worker.device import Device
from core.worker.job import Job, JobHandler, Worker

if TYPE_CHECKING:
    from PIL.Image import Image


def handler(
    backend: VisionBackend,
    device: Device[Image, SelfieAnalysis],
    *,
    signing_key: bytes | None = None,
    fetch: Fetch | None = None,
    worker_id: str | None = None,
) -> JobHandler[AnalyzeRequest]:
    """`fetch` gets a selfie by its URL; unset, from public https addresses only."""

    async def analyze(request: AnalyzeRequest, job: Job) -> AnalyzeResult:
        picture = await open_selfie(request.selfie, fetch=fetch)
        done = await device.run(picture, lambda step, of: job.progress.report("analyze", step, of))
        features = done.result.features
        return AnalyzeResult(
            request_id=request.request_id,
            worker_id=worker_id,
            model=backend.info,
            device_ms=done.device_ms,
            share_ms=done.share_ms,
            batch_size=done.batch_size,
            features=sign_features(features, signing_key) if signing_key else features,
            face=done.result.face,
        )

    return analyze


def load(settings: Settings) -> JobHandler[AnalyzeRequest]:
    """Loads the weights, reads one picture to warm up, and returns the handler. Raises `Misconfigured`."""
    from core.backends.devices import use_threads
    from core.backends.vision import Floors, load_vision, warm_up

    prepare(settings.policy.audit_file, settings.policy.key)
    use_threads(settings.selfie.threads)
    found = settings.weights.locate
    backend = load_vision(
        found(Model.VISION),
        found(Model.FACE),
        device=settings.selfie.device,
        floors=Floors(settings.selfie.min_confidence, settings.policy.minor_probability),
    )
    warm_up(backend)
    return handler(
        backend,
        Device(backend.generate, max_batch=settings.selfie.max_batch),
        signing_key=settings.policy.key,
        worker_id=settings.platform.pod_id,
    )


def worker(settings: Settings) -> Worker[AnalyzeRequest]:
    return Worker(
        name="selfie",
        tasks={ANALYZE_TASK: AnalyzeRequest},
        load=lambda: load(settings),
        running=settings.selfie.max_batch,
        concurrency=settings.selfie.concurrency,
        test_input=ROOT / "test_inputs" / "selfie.json",
    )


if __name__ == "__main__":
    from core.worker.entry import main

    main(worker)
