"""The chain's three stages on the stock SDK, written as in its documentation; they sleep and return a picture."""

import asyncio
import os
from typing import Any

import runpod

SECONDS = {
    stage: float(os.environ.get(f"STAND_IN_{stage.upper()}_S", "0")) for stage in ("expand", "generate", "caption")
}
CONCURRENCY = int(os.environ.get("STAND_IN_CONCURRENCY", "1"))


async def handler(job: dict[str, Any]) -> dict[str, Any]:
    stage = job["input"]["stage"]
    await asyncio.sleep(SECONDS[stage])
    return {"stage": stage, "text": "a lighthouse at dusk", "image_base64": "x" * 400 if stage == "generate" else None}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: CONCURRENCY})
