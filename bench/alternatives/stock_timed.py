"""A stock SDK worker as in its documentation: an async handler, blocking work in a thread, one job at a time."""

import asyncio
import os
import time
from typing import Any

import runpod

CONCURRENCY = int(os.environ.get("BENCH_CONCURRENCY", "1"))


async def handler(job: dict[str, Any]) -> dict[str, Any]:
    seconds = job["input"]["seconds"]
    started = time.time()
    if seconds:
        await asyncio.to_thread(time.sleep, seconds)
    return {"started": started, "ended": time.time()}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: CONCURRENCY})
