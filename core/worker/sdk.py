"""The platform through the SDK: heartbeat, take, stop, post, fitness checks.

Taking and stopping jobs use the SDK's own functions. Posting is our own, because the SDK logs a failure and drops the
result. Side effects of importing the SDK that cost a second or change the logging are undone here.

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
    """Import runpod without py-cpuinfo, which takes a second, and without changes to the root logger.

    rp_debugger.py requests the processor's name at import, and py-cpuinfo waits about a second for it
    (workhorsy/py-cpuinfo #205). The stub exists only during the import, because other code uses the package.
    rp_upload.py calls `logging.basicConfig(level=INFO)`, which would log the addresses of every HTTP request.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")  # its default, DEBUG, logs every input and output
    stub = types.ModuleType("cpuinfo")
    stub.__dict__["get_cpu_info"] = lambda: {"brand_raw": "unknown"}
    ours = "cpuinfo" not in sys.modules
    if ours:
        sys.modules["cpuinfo"] = stub
    try:
        import runpod.serverless  # noqa: F401 - imported for its effect on sys.modules
    finally:
        root.handlers, root.level = handlers, level
        if ours:
            del sys.modules["cpuinfo"]


_import_sdk()

from runpod.version import __version__ as sdk_version  # noqa: E402 - after the stub: see above

if not sdk_version.startswith(KNOWN_SDK):
    # Checked before the imports below: another release may not have these names.
    raise Misconfigured(
        f"runpod {sdk_version} is installed, and the job loop supports {KNOWN_SDK}*: install the requirements of this "
        "release, or set WORKER_LOOP=stock after reading what changed."
    )

import aiohttp  # noqa: E402 - with the rest of them
from runpod.http_client import AsyncClientSession, TooManyRequests  # noqa: E402 - as above
from runpod.serverless.modules import rp_fitness, rp_http, rp_job, rp_ping  # noqa: E402 - as above
from runpod.serverless.modules.worker_state import JobsProgress, PingJobMirror  # noqa: E402 - as above

log = logger()

_POLL_S = 100.0
"""A long poll without an answer for this long counts as failed; the SDK itself ends it after 90 s."""
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
            log.error("jobs without an id delivered", jobs=len(jobs) - len(whole))
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
        except Exception as error:  # after any connection failure the reply is posted again
            raise NotDelivered(None) from error
        if status >= 400:
            raise NotDelivered(status)

    async def post_progress(self, job_id: str, progress: StageProgress) -> None:
        report = f'{{"status":"IN_PROGRESS","output":{progress.model_dump_json()}}}'
        await self.post(job_id, report.encode())


class SdkHeartbeat:
    """The SDK's ping process, which reports the ids of active jobs.

    Started before anything is loaded: it is a fork of this process and must contain neither weights nor a CUDA context.
    """

    def __init__(self) -> None:
        self._jobs = JobsProgress()
        mirror = PingJobMirror()
        self._jobs.set_mirror(mirror)
        os.register_at_fork(after_in_child=_die_with_parent)
        rp_ping.Heartbeat().start_ping(mirror)

    def add(self, job_id: str) -> None:
        self._jobs.add(job_id)

    def remove(self, job_id: str) -> None:
        self._jobs.remove(job_id)


def _die_with_parent() -> None:
    """End this process with its parent: a heartbeat without its worker would report a healthy worker. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def check_fitness(load: Callable[[], None]) -> None:
    """Run the SDK's fitness checks and `load` as the last one; a failure is reported and ends the process."""
    rp_fitness.register_fitness_check(load)
    asyncio.run(rp_fitness.run_fitness_checks())
