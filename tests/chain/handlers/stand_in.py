"""One worker for every task, without weights: returns valid messages after a given time.

For tests of the *caller*. `STAND_IN_<STAGE>_S` is how long a stage works; `STAND_IN_SAYS` what the llm writes;
`STAND_IN_SCORE` the score of the output check, `STAND_IN_AGE` the age that is read from any picture.
`STAND_IN_CONCURRENCY` jobs run at a time.
Each execution is written as one line to `STAND_IN_LOG`, so that a test can count them.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from core.backends import BatchCallbacks, Outcome
from core.contracts import (
    STAGE_REQUESTS,
    AnalyzeRequest,
    AnalyzeResult,
    ApparentAge,
    CaptionRequest,
    CaptionResult,
    CheckRequest,
    CheckResult,
    ExpandRequest,
    ExpandResult,
    FaceMeta,
    FaceQuality,
    Features,
    GenerateRequest,
    GenerateResult,
    ModelInfo,
    ModerateRequest,
    ModerateResult,
    PictureCheck,
    PolicyReport,
    StageRequest,
    StageResult,
)
from core.errors import Cancelled
from core.settings import ROOT, Settings
from core.worker.device import Device
from core.worker.entry import main
from core.worker.job import Job, JobHandler, Worker

MODEL = ModelInfo(name="stand-in", revision="0", profile="none")


def stage_of(request: StageRequest) -> str:
    stages = {
        AnalyzeRequest: "analyze",
        CheckRequest: "check",
        ExpandRequest: "expand",
        ModerateRequest: "moderate",
        CaptionRequest: "caption",
    }
    return stages.get(type(request), "generate")


def work(requests: Sequence[StageRequest], watch: BatchCallbacks) -> list[Outcome[str]]:
    stage = stage_of(requests[0])
    until = time.monotonic() + float(os.environ.get(f"STAND_IN_{stage.upper()}_S", "0"))
    note(requests[0], "began")
    step = 0
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.02))
        step += 1
        watch.step(0, step, step + round(left / 0.02))
        if watch.cancelled(0):
            note(requests[0], "cancelled")
            return [Cancelled("The job was cancelled.")]
    note(requests[0], "ended")
    return [stage]


def note(request: StageRequest, what: str) -> None:
    if log := os.environ.get("STAND_IN_LOG"):
        key = request.context.replay_key if request.context else None
        with Path(log).open("a") as file:
            file.write(json.dumps({"stage": stage_of(request), "what": what, "key": key, "pid": os.getpid()}) + "\n")


def result(request: StageRequest) -> StageResult:
    said = os.environ.get("STAND_IN_SAYS")
    common = {"model": MODEL, "device_ms": 1, "request_id": request.request_id}
    if isinstance(request, AnalyzeRequest):
        face = FaceMeta(
            detected=True, box=(0, 0, 9, 9), confidence=1, faces_in_picture=1, quality_score=1, components=FaceQuality()
        )
        age = os.environ.get("STAND_IN_AGE", "25_34")
        return AnalyzeResult(**common, features=Features(age_band=age, confidence={"age_band": 0.99}), face=face)
    if isinstance(request, CheckRequest):
        return CheckResult(**common, faces=(apparent_age(),), whole=apparent_age(), faces_not_read=0)
    if isinstance(request, ExpandRequest):
        return ExpandResult(**common, prompt=said or "A lighthouse on a cliff at dusk, waves below, warm light.")
    if isinstance(request, ModerateRequest):
        return ModerateResult(**common, verdict="constrained" if "veil" in request.prompt else "allowed")
    if isinstance(request, CaptionRequest):
        words = "A lighthouse stands on a cliff at dusk while waves roll in below."
        return CaptionResult(**common, caption=said or words)
    assert isinstance(request, GenerateRequest)
    return generated(request, common)


def apparent_age() -> ApparentAge:
    band = os.environ.get("STAND_IN_AGE", "25_34")
    return ApparentAge(age_band=band, confidence=0.99, under_18=0.99 if band == "under_18" else 0.01)


@functools.cache
def picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 120, 40)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def generated(request: GenerateRequest, common: dict[str, object]) -> GenerateResult:
    return GenerateResult(
        **common,
        image_base64=picture(),
        image_format="png",
        width=16,
        height=16,
        seed=request.seed or 0,
        prompt_used=request.prompt,
        policy=PolicyReport(version="stand-in", verdict="allowed", treated_as="moderated", picture=checked()),
    )


def checked() -> PictureCheck:
    score = float(os.environ.get("STAND_IN_SCORE", "0.01"))
    return PictureCheck(
        checker="stand-in", score=score, threshold=0.85, outcome="passed" if score < 0.85 else "reported"
    )


def load(settings: Settings) -> JobHandler[StageRequest]:
    device: Device[StageRequest, str] = Device(work)

    async def respond(request: StageRequest, job: Job) -> StageResult:
        done = await device.run(request, lambda step, of: job.progress.report(stage_of(request), step, of))
        return result(request).model_copy(update={"device_ms": done.device_ms})

    return respond


def worker(settings: Settings) -> Worker[StageRequest]:
    running = int(os.environ.get("STAND_IN_CONCURRENCY", "1"))
    return Worker("stand-in", STAGE_REQUESTS, lambda: load(settings), running, running + 1, ROOT / "test_input.json")


if __name__ == "__main__":
    main(worker)
