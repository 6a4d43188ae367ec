"""The orchestrator as a RunPod worker: a request in, a finished picture out.

    {"input": {"task": "chat/1to1/imagegen", "messages": [{"role": "user", "content": "a walk in the rain?"}]}}

    {"image_base64": "…", "caption": "…", "prompt_used": "…", "seed": 7, "timeline": […], "degraded": [], …}

Where there is no platform around: `python -m localpod run -- python -m orchestrator`.
"""

from __future__ import annotations

from core.contracts import REQUESTS, PictureRequest
from core.settings import ROOT, Settings
from core.worker.entry import main
from core.worker.job import Respond, Worker
from orchestrator.service import Service


def load(settings: Settings) -> Respond[PictureRequest]:
    return Service.from_settings(settings).answer


def worker(settings: Settings) -> Worker[PictureRequest]:
    concurrency = settings.orchestrator.concurrency
    return Worker(
        name="orchestrator",
        tasks=REQUESTS,
        load=lambda: load(settings),
        running=concurrency,
        concurrency=concurrency,
        test_input=ROOT / "test_input.json",
    )


if __name__ == "__main__":
    main(worker)
