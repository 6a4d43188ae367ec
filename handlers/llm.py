"""The llm worker: a chat → a prompt for the image model, and a prompt → a caption.

    {"input": {"task": "chat/scenes/expand", "messages": [{"role": "user", "content": "us two at the beach"}]}}
    {"prompt": "Two adults walk along a beach at …", "shortened": 0, "repaired": false, "device_ms": 900, …}

    {"input": {"task": "chat/1to1/caption", "prompt": "Two adults walk along a beach at …"}}
    {"caption": "Two people share a quiet walk along the beach as the sun sets.", "repaired": false, …}

Tasks: chat/1to1/expand, chat/shorts/expand, chat/scenes/expand, chat/1to1/caption (one captioner for all routes).
A text is judged before the model sees it, and what the model wrote is judged after. Importing this loads nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from core.backends import Outcome, TextBackend, Watch
from core.contracts import (
    CAPTION_TASK,
    ROUTE_OF_TASK,
    CaptionRequest,
    CaptionResult,
    ExpandRequest,
    ExpandResult,
    ExpandTask,
    Route,
    StageRequest,
)
from core.policy import check, gate_profile, prepare, safe_caption
from core.settings import ROOT, Settings
from core.weights import Model
from core.worker.device import Device, Done
from core.worker.job import Job, Respond, Worker
from core.writing import BUDGETS, Budget, Caption, Expansion, Program, caption, expand, write

Written = Expansion | Caption


def handler(
    backend: TextBackend,
    device: Device[StageRequest, Written],
    *,
    minor_probability: float,
    worker_id: str | None = None,
) -> Respond[StageRequest]:
    async def respond(request: StageRequest, job: Job) -> ExpandResult | CaptionResult:
        judge_request(request, minor_probability)
        done = await device.run(request, lambda step, of: job.progress.report("write", step, of))
        facts = _facts(request, done, backend, worker_id)
        if isinstance(done.result, Caption):
            return CaptionResult(caption=done.result.text, repaired=done.result.repaired, **facts)
        check([done.result.prompt], ROUTE_OF_TASK[request.task], treated_as=_treated_as(request), stage="expand")
        written = done.result
        return ExpandResult(prompt=written.prompt, shortened=written.shortened, repaired=written.repaired, **facts)

    return respond


def judge_request(request: StageRequest, minor_probability: float) -> None:
    """Raises `PolicyBlocked`, `MinorSuspected`. A caption belongs to no route: it is judged by what all refuse."""
    if isinstance(request, ExpandRequest):
        texts = [message.content for message in request.messages]
        check(texts, ROUTE_OF_TASK[request.task], treated_as=_treated_as(request), stage="request")
        if request.features is not None:
            gate_profile(request.features, threshold=minor_probability)
    elif isinstance(request, CaptionRequest):
        check([request.prompt], Route.GENERAL, stage="request")


def _treated_as(request: StageRequest) -> Any:
    return request.context.treated_as if request.context else None


def _facts(request: StageRequest, done: Done[Written], backend: TextBackend, worker_id: str | None) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "worker_id": worker_id,
        "model": backend.info,
        "device_ms": done.device_ms,
        "batch_size": done.batch_size,
    }


def writer(backend: TextBackend, budget: Budget, *, max_batch: int, window_s: float) -> Device[StageRequest, Written]:
    """Jobs of both kinds share batches: each round of each job is one completion, or a few."""

    def run(requests: Sequence[StageRequest], watch: Watch) -> list[Outcome[Written]]:
        return write([program(request, budget) for request in requests], backend, watch)

    return Device(run, max_batch=max_batch, window_s=window_s)


def program(request: StageRequest, budget: Budget) -> Program[Any]:
    if isinstance(request, CaptionRequest):
        return caption(request.prompt, safe_caption, budget=budget)
    if isinstance(request, ExpandRequest):
        seed = random.SystemRandom().randint(0, 2**32 - 1) if request.seed is None else request.seed
        return expand(request.messages, request.task, request.features, seed, budget)
    raise TypeError(f"no program writes for {type(request).__name__}")


def load(settings: Settings) -> Respond[StageRequest]:
    """Loads the weights, writes a few tokens to warm up, and returns the handler. Raises `Misconfigured`."""
    from core.backends.devices import use_threads
    from core.backends.text import load_text, warm_up

    own = settings.llm
    prepare(settings.policy.audit_file, settings.policy.key)
    use_threads(own.threads)
    backend = load_text(settings.weights.locate(Model.TEXT), device=own.device, max_batch=own.max_batch)
    warm_up(backend)
    budget = BUDGETS[settings.weights.weights]
    device = writer(backend, budget, max_batch=own.max_batch, window_s=own.batch_window_s)
    return handler(
        backend,
        device,
        minor_probability=settings.policy.minor_probability,
        worker_id=settings.platform.pod_id,
    )


def worker(settings: Settings) -> Worker[StageRequest]:
    return Worker(
        name="llm",
        tasks={**dict.fromkeys(ExpandTask, ExpandRequest), CAPTION_TASK: CaptionRequest},
        load=lambda: load(settings),
        running=settings.llm.max_batch,
        concurrency=settings.llm.concurrency,
        test_input=ROOT / "test_inputs" / "llm.json",
    )


if __name__ == "__main__":
    from core.worker.entry import main

    main(worker)
