"""The only module that imports runpod: heartbeat, take, stop, post, fitness, and the stock loop as a fallback.

Taking and stopping jobs are the SDK's own functions. Posting is ours, because the SDK's logs an error and forgets the
result. What the SDK does at import that costs a second or reaches into our logs is undone here as well.

May import: runpod, aiohttp, core.contracts, core.errors, core.logs, core.worker.{job,outbox,progress}.
"""

from __future__ import annotations

import asyncio
import os
import sys
import types
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from core.contracts import StageProgress
from core.errors import Misconfigured
from core.worker.outbox import NotDelivered

KNOWN_SDK = "1.12."


def _import_sdk() -> None:
    """`import runpod` without py-cpuinfo's second.

    rp_debugger.py asks for the processor's name at import, debugger or not, and py-cpuinfo waits about a second for it
    (workhorsy/py-cpuinfo #205). The stub lives only as long as the import, for others do use the package.
    """
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")  # its default, DEBUG, logs every input and output
    stub = types.ModuleType("cpuinfo")
    stub.__dict__["get_cpu_info"] = lambda: {"brand_raw": "not asked"}
    ours = "cpuinfo" not in sys.modules
    if ours:
        sys.modules["cpuinfo"] = stub
    try:
        import runpod  # noqa: F401 - imported for what it does to sys.modules
    finally:
        if ours:
            del sys.modules["cpuinfo"]


_import_sdk()

import aiohttp  # noqa: E402 - runpod comes first: see above
from runpod.http_client import AsyncClientSession, TooManyRequests  # noqa: E402
from runpod.serverless import start as stock_start  # noqa: E402
from runpod.serverless.modules import rp_fitness, rp_http, rp_job, rp_ping  # noqa: E402
from runpod.serverless.modules.worker_state import WORKER_ID, JobsProgress, PingJobMirror  # noqa: E402
from runpod.version import __version__ as sdk_version  # noqa: E402

if not sdk_version.startswith(KNOWN_SDK):
    raise Misconfigured(
        f"runpod {sdk_version} is installed and the job loop knows {KNOWN_SDK}*: install the requirements of this "
        "release, or set WORKER_LOOP=stock after reading what changed."
    )

worker_id: str = WORKER_ID


class Throttling(Exception):
    """The platform asks for fewer requests."""


class Unreachable(Exception):
    """The platform gave no usable answer."""


class Platform:
    """One worker's connection to the platform; an async context manager."""

    async def __aenter__(self) -> Self:
        self._session = AsyncClientSession()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def take(self, count: int) -> list[dict[str, Any]]:
        """Waits for up to `count` jobs while the platform holds the request open; raises the two errors above."""
        try:
            return await rp_job.get_job(self._session, count) or []
        except TooManyRequests as error:
            raise Throttling from error
        except Exception as error:  # the SDK raises bare Exception for a job without an id
            raise Unreachable(type(error).__name__) from error

    async def stops(self) -> list[str]:
        """Waits for ids of jobs that the platform wants stopped. Raises as `take` does."""
        try:
            ids: list[str] = await rp_job.get_stop_signals(self._session)
        except TooManyRequests as error:
            raise Throttling from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(type(error).__name__) from error
        return ids

    async def post(self, job_id: str, body: bytes) -> None:
        """One try. Raises `NotDelivered`."""
        url = rp_http.JOB_DONE_URL.replace("$ID", job_id) + "&isStream=false"
        headers = {
            "charset": "utf-8",
            "Content-Type": "application/x-www-form-urlencoded",
            # Per request: the SDK sets it on the shared session, where parallel jobs overwrite one another's.
            "X-Request-ID": job_id,
        }
        try:
            async with self._session.post(url, data=body, headers=headers) as response:
                await response.read()
                if response.status >= 400:
                    raise NotDelivered(response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotDelivered(None) from error

    async def post_progress(self, job_id: str, progress: StageProgress) -> None:
        """One try: a lost report is made good by the next. Raises `NotDelivered`."""
        report = f'{{"status":"IN_PROGRESS","output":{progress.model_dump_json()}}}'
        await self.post(job_id, report.encode())


class Heartbeat:
    """The SDK's ping process, told which jobs are in hand.

    Started before anything is loaded: it is a fork of this process, and must hold neither weights nor a CUDA context.
    """

    def __init__(self) -> None:
        self._jobs = JobsProgress()
        mirror = PingJobMirror()
        self._jobs.set_mirror(mirror)
        rp_ping.Heartbeat().start_ping(mirror)

    def holds(self, job_id: str) -> None:
        self._jobs.add(job_id)

    def released(self, job_id: str) -> None:
        self._jobs.remove(job_id)


def check_fitness(load: Callable[[], None]) -> None:
    """The SDK's checks, then `load` as one of them: if it fails, the platform hears its sentence and this ends."""
    rp_fitness.register_fitness_check(load)
    asyncio.run(rp_fitness.run_fitness_checks())


def run_stock(handler: Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]], *, concurrency: int) -> None:
    """The SDK's own loop, at a constant concurrency: a fluctuating one makes it drain the worker again and again."""
    stock_start({"handler": handler, "concurrency_modifier": lambda _: concurrency})
