"""A small stand-in worker with the worker protocol, which sleeps instead of computing and returns valid results.

Many of them run in a test's event loop; as a process (`python tests/faults/light_worker.py`) it can be killed. Like a
real worker it posts a result until the platform accepts it, and answers a known `replay_key` from its cache.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

MODEL = {"name": "stand-in", "revision": "0", "profile": "none"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CHECKED = {"checker": "stand-in", "score": 0.01, "threshold": 0.85, "outcome": "passed"}
POLICY = {"version": "stand-in", "verdict": "allowed", "treated_as": "moderated"}
FLAGGED_PLACE = "harbour"
"""A prompt with this word gives a picture over the output check's threshold, in which an adult is read."""
MINOR_PLACE = "market"
"""A prompt with this word gives a picture over the output check's threshold, in which a minor is read."""
PICTURE_OF_MINOR = "bWlub3I="
ADULT_AGE = {"age_band": "25_34", "confidence": 0.98, "under_18": 0.01}
MINOR_AGE = {"age_band": "under_18", "confidence": 0.98, "under_18": 0.98}
FACE = {
    "detected": True, "box": [0, 0, 9, 9], "confidence": 1, "faces_in_picture": 1, "quality_score": 1,
    "components": {},
}  # fmt: skip

Note = Callable[[str, str | None], None]


def output(request: dict[str, Any]) -> dict[str, Any]:
    task = request["task"]
    common = {"model": MODEL, "device_ms": 1}
    if task.endswith("analyze"):
        return {**common, "features": {"age_band": "25_34", "confidence": {"age_band": 0.99}}, "face": FACE}
    if task.endswith("expand"):
        said = request["messages"][-1]["content"]
        return {**common, "prompt": f"A lighthouse on a cliff at dusk, warm light, {said}"}
    if task == "moderate":
        return {**common, "verdict": "allowed"}
    if task == "picture/check":
        age = MINOR_AGE if request["picture"] == PICTURE_OF_MINOR else ADULT_AGE
        return {**common, "faces": [age], "whole": age, "faces_not_read": 0}
    if task.endswith("caption"):
        return {**common, "caption": "A lighthouse stands on a cliff at dusk while waves roll in below."}
    return {**common, **picture_of(request["prompt"])}


def picture_of(prompt: str) -> dict[str, Any]:
    minor, flagged = MINOR_PLACE in prompt, FLAGGED_PLACE in prompt
    checked = {**CHECKED, "score": 0.97, "outcome": "reported"} if minor or flagged else CHECKED
    return {
        "image_base64": PICTURE_OF_MINOR if minor else PIXEL,
        "image_format": "png",
        "width": 16,
        "height": 16,
        "seed": 7,
        "prompt_used": prompt,
        "policy": {**POLICY, "picture": checked},
    }


class LightWorker:
    """A worker. `at`: the endpoint's URL; `note(what, replay_key)` is called with "began", "ended" and "stopped"."""

    def __init__(self, http: aiohttp.ClientSession, at: str, worker_id: str, work_s: float, note: Note) -> None:
        self.http, self.at, self.id, self.work_s, self.note = http, at, worker_id, work_s, note
        self.jobs: dict[str, asyncio.Task[None]] = {}
        self.known: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def run(self) -> None:
        loops = [asyncio.create_task(loop()) for loop in (self._take, self._watch_stops)]
        try:
            await asyncio.gather(*loops)
        finally:
            for task in (*loops, *self.jobs.values()):
                task.cancel()

    async def _take(self) -> None:
        while True:
            for job in await self._ask(f"job-take-batch/{self.id}?batch_size=8&job_in_progress=0") or []:
                self.jobs[job["id"]] = asyncio.create_task(self._serve(job))

    async def _watch_stops(self) -> None:
        while True:
            stop = await self._ask(f"job-stop/{self.id}?gpu=CPU") or {}
            for job_id in stop.get("jobsToStop", []):
                if task := self.jobs.get(job_id):
                    task.cancel()

    async def _ask(self, path: str) -> Any:
        try:
            async with self.http.get(f"{self.at}/{path}") as answer:
                return await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, ValueError):
            await asyncio.sleep(0.05)
            return None

    async def _serve(self, job: dict[str, Any]) -> None:
        key = job["input"].get("context", {}).get("replay_key")
        try:
            if (known := self.known.get(key)) is None or known.cancelled():
                known = self.known[key] = asyncio.ensure_future(self._work(job["input"], key))
            await self._deliver(job["id"], {"output": await known})
        except asyncio.CancelledError:
            self.note("stopped", key)
            raise
        finally:
            self.jobs.pop(job["id"], None)

    async def _work(self, request: dict[str, Any], key: str | None) -> dict[str, Any]:
        self.note("began", key)
        await asyncio.sleep(self.work_s)
        self.note("ended", key)
        return output(request)

    async def _deliver(self, job_id: str, body: dict[str, Any]) -> None:
        for _ in range(50):
            try:
                async with self.http.post(f"{self.at}/job-done/{self.id}/{job_id}", json=body) as answer:
                    if answer.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def main() -> None:
    log = Path(os.environ["STAND_IN_LOG"])

    def note(what: str, key: str | None) -> None:
        with log.open("a") as file:
            file.write(json.dumps({"what": what, "key": key, "at": time.time()}) + "\n")

    where = urlsplit(os.environ["RUNPOD_WEBHOOK_GET_JOB"])
    at = f"{where.scheme}://{where.netloc}{where.path.split('/job-take/')[0]}"
    headers = {"Authorization": os.environ["RUNPOD_AI_API_KEY"]}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as http:
        await LightWorker(http, at, os.environ["RUNPOD_POD_ID"], float(os.environ["STAND_IN_WORK_S"]), note).run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
