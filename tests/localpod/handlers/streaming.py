"""A stock generator worker: yields as many chunks as its input says."""

import asyncio

import runpod


async def handler(job):
    for number in range(job["input"]["chunks"]):
        await asyncio.sleep(0.05)
        yield {"number": number}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
