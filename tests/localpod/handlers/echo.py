"""A stock worker that echoes, sleeps, fails, reports progress or exits according to its input. Unmodified SDK."""

import asyncio
import os
import signal

import runpod


async def handler(job):
    given = job["input"]
    if given.get("refresh"):
        return {"pid": os.getpid(), "refresh_worker": True}
    if given.get("progress"):
        runpod.serverless.progress_update(job, {"step": 1})
    await asyncio.sleep(given.get("sleep", 0))
    if given.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if given.get("fail"):
        return {"error": given["fail"], "partial": True}
    if given.get("big"):
        return {"text": "x" * given["big"]}
    return {"echo": given, "pid": os.getpid(), "env": {k: os.environ.get(k) for k in given.get("env", [])}}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
