"""A worker whose model work is a sleep in the device's thread: how the loop behaves, without weights."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from core.backends import BatchCallbacks, Outcome
from core.contracts import Message, StageRequest
from core.errors import Cancelled, DeviceLost, InvalidRequest, Misconfigured, OutOfDeviceMemory
from core.settings import ROOT, Settings
from core.worker.device import Device
from core.worker.entry import main
from core.worker.job import Job, JobHandler, Worker


class Timed(StageRequest):
    task: str = "timed"
    seconds: float = Field(default=0.0, ge=0)
    outcome: str = "done"
    size: int = Field(default=0, ge=0)


class TimedResult(Message):
    pid: int
    batch_size: int
    started: float
    ended: float
    padding: str = ""
    number: object = None


def work(requests: Sequence[Timed], watch: BatchCallbacks) -> list[Outcome[tuple[float, float]]]:
    started = time.time()
    until = time.monotonic() + max(request.seconds for request in requests)
    steps = 0
    while (left := until - time.monotonic()) > 0:
        if all(watch.cancelled(index) for index in range(len(requests))):
            return [Cancelled("The job was cancelled.") for _ in requests]
        time.sleep(min(left, 0.02))
        steps += 1
        for index in range(len(requests)):
            watch.step(index, steps, steps + round(left / 0.02))
    return [outcome(request.outcome, started) for request in requests]


def outcome(wanted: str, started: float) -> Outcome[tuple[float, float]]:
    if wanted == "out_of_memory":
        raise OutOfDeviceMemory("The device ran out of memory.")
    if wanted == "lost":
        raise DeviceLost("The device is gone.")
    if wanted == "refuse":
        return InvalidRequest("This job is refused.")
    if wanted == "crash":
        raise RuntimeError("secret words of a prompt")
    return started, time.time()


def load(settings: Settings) -> JobHandler[Timed]:
    time.sleep(float(os.environ.get("TIMED_LOAD_S", "0")))
    if breaks := os.environ.get("TIMED_BREAKS"):
        raise Misconfigured("Fetch the weights: make weights.") if breaks == "weights" else RuntimeError("secret words")
    batch = int(os.environ.get("TIMED_BATCH", "1"))
    device: Device[Timed, tuple[float, float]] = Device(work, max_batch=batch, window_s=0.2)

    async def respond(request: Timed, job: Job) -> TimedResult:
        done = await device.run(request, lambda step, of: job.progress.report("timed", step, of))
        odd = {"nan": float("nan"), "bytes": b"\x00\xff", "surrogate": "a\ud800b"}.get(request.outcome)
        return TimedResult.model_construct(
            pid=os.getpid(),
            batch_size=done.batch_size,
            started=done.result[0],
            ended=done.result[1],
            padding="x" * request.size,
            number=odd,
        )

    return respond


def worker(settings: Settings) -> Worker[Timed]:
    batch = int(os.environ.get("TIMED_BATCH", "1"))

    async def shutdown() -> None:
        if path := os.environ.get("TIMED_LEFT"):
            await asyncio.to_thread(Path(path).write_text, "left")

    return Worker(
        "timed", {"timed": Timed}, lambda: load(settings), batch, batch + 1, ROOT / "test_input.json", shutdown
    )


if __name__ == "__main__":
    main(worker)
