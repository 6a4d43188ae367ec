"""The platform by way of the SDK: heartbeat, take, stop, post, fitness.

Taking and stopping jobs are the SDK's own functions. Posting is ours, because the SDK's logs an error and forgets the
result. What the SDK does at import that costs a second or reaches into our logs is undone here as well.

May import: runpod, aiohttp, core.contracts, core.errors, core.logs, core.worker.platform.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any, Self

from core.contracts import StageProgress
from core.errors import Misconfigured
from core.logs import logger
from core.worker.platform import NotDelivered, Throttling, Unreachable

KNOWN_SDK = "1.12."


def _import_sdk() -> None:
    """`import runpod` without py-cpuinfo's second, and without its hand on everybody's logs.

    rp_debugger.py asks for the processor's name at import, debugger or not, and py-cpuinfo waits about a second for it
    (workhorsy/py-cpuinfo #205). The stub lives only as long as the import, for others do use the package.
    rp_upload.py calls `logging.basicConfig(level=INFO)`: every library's chatter, with addresses in it, would appear.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")  # its default, DEBUG, logs every input and output
    stub = types.ModuleType("cpuinfo")
    stub.__dict__["get_cpu_info"] = lambda: {"brand_raw": "not asked"}
    ours = "cpuinfo" not in sys.modules
    if ours:
        sys.modules["cpuinfo"] = stub
    try:
        import runpod.serverless  # noqa: F401 - imported for what it does to sys.modules
    finally:
        root.handlers, root.level = handlers, level
        if ours:
            del sys.modules["cpuinfo"]


_import_sdk()

from runpod.version import __version__ as sdk_version  # noqa: E402 - after the stub: see above

if not sdk_version.startswith(KNOWN_SDK):
    # Before the names below are looked for: another release may not have them.
    raise Misconfigured(
        f"runpod {sdk_version} is installed and the job loop knows {KNOWN_SDK}*: install the requirements of this "
        "release, or set WORKER_LOOP=stock after reading what changed."
    )

import aiohttp  # noqa: E402 - with the rest of them
from runpod.http_client import AsyncClientSession, TooManyRequests  # noqa: E402 - as above
from runpod.serverless.modules import rp_fitness, rp_http, rp_job, rp_ping  # noqa: E402 - as above
from runpod.serverless.modules.worker_state import JobsProgress, PingJobMirror  # noqa: E402 - as above

log = logger()

_POLL_S = 100.0
"""A long poll of which nothing was heard for so long is taken for dead; the SDK itself gives up after 90 s."""
_POST_S = 20.0
_POST_BYTES_PER_S = 200_000
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class SdkPlatform:
    """One worker's connection to the platform; an async context manager."""

    async def __aenter__(self) -> Self:
        self._session = AsyncClientSession()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def take(self, count: int) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(_POLL_S):
                jobs = await rp_job.get_job(self._session, count) or []
        except TooManyRequests as error:
            raise Throttling from error
        except Exception as error:  # the SDK raises bare Exception for a job without an id
            raise Unreachable(type(error).__name__) from error
        whole = [job for job in jobs if isinstance(job, dict) and job.get("id")]
        if len(whole) < len(jobs):
            log.error("jobs without an id were delivered and can't be answered", jobs=len(jobs) - len(whole))
        return whole

    async def stops(self) -> list[str]:
        try:
            async with asyncio.timeout(_POLL_S):
                ids: list[str] = await rp_job.get_stop_signals(self._session)
        except TooManyRequests as error:
            raise Throttling from error
        except Exception as error:
            raise Unreachable(type(error).__name__) from error
        return ids

    async def post(self, job_id: str, body: bytes) -> None:
        url = rp_http.JOB_DONE_URL.replace("$ID", job_id) + "&isStream=false"
        headers = {
            "charset": "utf-8",
            "Content-Type": "application/x-www-form-urlencoded",
            # Per request: the SDK sets it on the shared session, where parallel jobs overwrite one another's.
            "X-Request-ID": job_id,
        }
        limit = aiohttp.ClientTimeout(total=_POST_S + len(body) / _POST_BYTES_PER_S)
        try:
            async with self._session.post(url, data=body, headers=headers, timeout=limit) as response:
                await response.read()
                status = response.status
        except Exception as error:  # whatever a connection can meet, the reply must be tried again
            raise NotDelivered(None) from error
        if status >= 400:
            raise NotDelivered(status)

    async def post_progress(self, job_id: str, progress: StageProgress) -> None:
        report = f'{{"status":"IN_PROGRESS","output":{progress.model_dump_json()}}}'
        await self.post(job_id, report.encode())


class SdkHeartbeat:
    """The SDK's ping process, told which jobs are in hand.

    Started before anything is loaded: it is a fork of this process, and must hold neither weights nor a CUDA context.
    """

    def __init__(self) -> None:
        self._jobs = JobsProgress()
        mirror = PingJobMirror()
        self._jobs.set_mirror(mirror)
        os.register_at_fork(after_in_child=_die_with_parent)
        rp_ping.Heartbeat().start_ping(mirror)

    def holds(self, job_id: str) -> None:
        self._jobs.add(job_id)

    def released(self, job_id: str) -> None:
        self._jobs.remove(job_id)


def _die_with_parent() -> None:
    """A heartbeat that outlives its worker tells the platform that all is well. Linux only, as the platform is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def check_fitness(load: Callable[[], None]) -> None:
    """The SDK's checks, then `load` as one of them: if it fails, the platform hears its sentence and this ends."""
    rp_fitness.register_fitness_check(load)
    asyncio.run(rp_fitness.run_fitness_checks())
