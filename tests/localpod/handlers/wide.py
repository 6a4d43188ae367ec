"""A stock worker that takes eight jobs at a time."""

import asyncio

import runpod


async def handler(job):
    await asyncio.sleep(job["input"].get("sleep", 0))
    return {"n": job["input"]["n"]}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: 8})
