"""The orchestrator as a RunPod worker: receives a request, returns a finished picture.

    {"input": {"task": "chat/1to1/imagegen", "messages": [{"role": "user", "content": "a walk in the rain?"}]}}

    {"image_base64": "…", "caption": "…", "prompt_used": "…", "seed": 7, "timeline": […], "degraded": [], …}

To run it locally: `python -m localpod run -- python -m orchestrator`.
"""

from __future__ import annotations

from core.contracts import REQUESTS, PictureRequest
from core.errors import Misconfigured
from core.policy import prepare
from core.settings import ROOT, Settings
from core.worker.entry import main
from core.worker.job import JobHandler, Worker
from orchestrator.service import Service


def load(settings: Settings) -> Service:
    prepare(settings.policy.audit_file, settings.policy.key)
    try:
        return Service.from_settings(settings)
    except Misconfigured as error:
        if settings.platform.webhook_get_job is not None:
            raise
        hint = "To try it with workers on this machine: python -m localpod run -- python -m orchestrator"
        raise Misconfigured(f"{error.message} {hint}") from None


def worker(settings: Settings) -> Worker[PictureRequest]:
    concurrency = settings.orchestrator.concurrency
    loaded: list[Service] = []

    def respond() -> JobHandler[PictureRequest]:
        loaded.append(load(settings))
        return loaded[0].answer

    async def shutdown() -> None:
        for service in loaded:
            await service.shutdown()

    return Worker(
        name="orchestrator",
        tasks=REQUESTS,
        load=respond,
        shutdown=shutdown,
        running=concurrency,
        concurrency=concurrency,
        test_input=ROOT / "test_input.json",
    )


if __name__ == "__main__":
    main(worker)
