"""Workers for the tests here: stock ones from `handlers/`, and the test itself, speaking the protocol by hand."""

import asyncio
import sys
from pathlib import Path

from localpod import LocalEndpoint, Scaler

HANDLERS = Path(__file__).parent / "handlers"
SLEEPER = ("sleep", "600")


def stock(name, **fields):
    """An endpoint of one of the handler scripts here, under the unmodified SDK."""
    fields = {"scaler": Scaler("request_count", 1, 0, 1), "idle_timeout_s": 60, **fields}
    return LocalEndpoint(handler=(sys.executable, str(HANDLERS / f"{name}.py")), **fields)


def by_hand(count=1):
    """An endpoint with so many workers that do nothing themselves."""
    return LocalEndpoint(handler=SLEEPER, scaler=Scaler("request_count", 100, count, count), idle_timeout_s=600)


class Hand:
    """A worker as the SDK would be one, request by request."""

    def __init__(self, http, endpoint, worker_id):
        self.http, self.at, self.id = http, f"/{endpoint}", worker_id

    async def take(self):
        answer = await self.http.get(f"{self.at}/job-take/{self.id}?gpu=CPU&job_in_progress=0")
        return answer.json() if answer.status_code == 200 else None

    async def take_batch(self, size):
        return await self.http.get(f"{self.at}/job-take-batch/{self.id}?gpu=CPU&batch_size={size}&job_in_progress=0")

    async def done(self, job_id, body, **given):
        headers = {"Content-Type": "application/x-www-form-urlencoded", "charset": "utf-8"}
        given = given or {"json": body}
        return await self.http.post(
            f"{self.at}/job-done/{self.id}/{job_id}?gpu=CPU&isStream=false", headers=headers, **given
        )

    async def chunk(self, job_id, body):
        return await self.http.post(f"{self.at}/job-stream/{self.id}/{job_id}?gpu=CPU&isStream=false", json=body)

    async def stops(self):
        return await self.http.get(f"{self.at}/job-stop/{self.id}?gpu=CPU")


def pids(pod, name="e"):
    return [worker["pid"] for worker in pod.workers(name) if worker["pid"]]


async def until(holds, timeout_s=20):
    """Waits for something that another process is to bring about."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110  # what another process does has no event here
            await asyncio.sleep(0.02)


async def submit(http, name="e", **envelope):
    """The id of a job just submitted."""
    return (await http.post(f"/{name}/run", json={"input": {"n": 1}, **envelope})).json()["id"]


async def status(http, job_id, name="e"):
    return await http.get(f"/{name}/status/{job_id}")
