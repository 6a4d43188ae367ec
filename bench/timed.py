"""Our worker with a handler that sleeps, like bench/alternatives/stock_timed.py: `BENCH_CONCURRENCY` jobs at a time.

With one job at a time, the work runs in the device's thread like a model, and the next job is taken ahead.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

from core.backends import BatchCallbacks, Outcome
from core.contracts import Message, StageRequest
from core.settings import ROOT, Settings
from core.worker.device import Device
from core.worker.entry import main
from core.worker.job import Job, JobHandler, Worker


class Timed(StageRequest):
    seconds: float


class TimedResult(Message):
    started: float
    ended: float


def work(requests: Sequence[Timed], watch: BatchCallbacks) -> list[Outcome[TimedResult]]:
    del watch
    outcomes: list[Outcome[TimedResult]] = []
    for request in requests:
        started = time.time()
        time.sleep(request.seconds)
        outcomes.append(TimedResult(started=started, ended=time.time()))
    return outcomes


def load(concurrency: int) -> JobHandler[Timed]:
    device: Device[Timed, TimedResult] = Device(work)

    async def respond(request: Timed, job: Job) -> TimedResult:
        del job
        if concurrency == 1:
            return (await device.run(request)).result
        started = time.time()
        await asyncio.to_thread(time.sleep, request.seconds)
        return TimedResult(started=started, ended=time.time())

    return respond


def worker(settings: Settings) -> Worker[Timed]:
    del settings
    concurrency = int(os.environ.get("BENCH_CONCURRENCY", "1"))
    ahead = 2 if concurrency == 1 else concurrency
    return Worker("timed", {"timed": Timed}, lambda: load(concurrency), concurrency, ahead, ROOT / "test_input.json")


if __name__ == "__main__":
    main(worker)
