"""Workers for these tests: stock SDK workers from `handlers/`, and one whose requests the test sends itself."""

import asyncio
import sys
from pathlib import Path

from localpod import LocalEndpoint, Scaler

HANDLERS = Path(__file__).parent / "handlers"
SLEEPER = ("sleep", "600")
WORKER_KEY = "key-of-the-workers"
AS_WORKER = {"Authorization": WORKER_KEY}


def stock(name, **fields):
    """An endpoint of one of the handler scripts here, under the unmodified SDK."""
    fields = {"scaler": Scaler("request_count", 1, 0, 1), "idle_timeout_s": 60, **fields}
    return LocalEndpoint(handler=(sys.executable, str(HANDLERS / f"{name}.py")), **fields)


def manual(count=1):
    """An endpoint with `count` worker processes that send no request."""
    return LocalEndpoint(handler=SLEEPER, scaler=Scaler("request_count", 100, count, count), idle_timeout_s=600)


class ManualWorker:
    """The requests of an SDK worker, one by one. The localpod needs `worker_key=WORKER_KEY`."""

    def __init__(self, http, endpoint, worker_id):
        self.http, self.at, self.id = http, f"/{endpoint}", worker_id

    async def take(self):
        answer = await self.http.get(f"{self.at}/job-take/{self.id}?gpu=CPU&job_in_progress=0", headers=AS_WORKER)
        return answer.json() if answer.status_code == 200 else None

    async def take_batch(self, size):
        return await self.http.get(
            f"{self.at}/job-take-batch/{self.id}?gpu=CPU&batch_size={size}&job_in_progress=0", headers=AS_WORKER
        )

    async def done(self, job_id, body, **given):
        headers = {"Content-Type": "application/x-www-form-urlencoded", "charset": "utf-8", **AS_WORKER}
        given = given or {"json": body}
        return await self.http.post(
            f"{self.at}/job-done/{self.id}/{job_id}?gpu=CPU&isStream=false", headers=headers, **given
        )

    async def chunk(self, job_id, body):
        return await self.http.post(
            f"{self.at}/job-stream/{self.id}/{job_id}?gpu=CPU&isStream=false", json=body, headers=AS_WORKER
        )

    async def stops(self):
        return await self.http.get(f"{self.at}/job-stop/{self.id}?gpu=CPU", headers=AS_WORKER)

    async def ping(self, job_id):
        query = f"job_id={job_id}&runpod_version=1.12.0"
        return await self.http.get(f"{self.at}/ping/{self.id}?{query}", headers=AS_WORKER)


def pids(pod, name="e"):
    return [worker["pid"] for worker in pod.workers(name) if worker["pid"]]


async def until(holds, timeout_s=20):
    """Wait for a condition that another process fulfils."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110  # another process sets no event here
            await asyncio.sleep(0.02)


async def submit(http, name="e", **envelope):
    """Submit a job and return its id."""
    return (await http.post(f"/{name}/run", json={"input": {"n": 1}, **envelope})).json()["id"]


async def status(http, job_id, name="e"):
    return await http.get(f"/{name}/status/{job_id}")
