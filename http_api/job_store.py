"""Jobs in the deployment's bucket, so that another process can read their results, also after this one has ended.

    jobs/<id>.json    {"caller": "…", "until": 1766000000.0, "view": {… as GET /v1/jobs/{id} answers}}

While a job runs, `until` is the time by which it must have ended: a later view that is still `running` belongs to a
process that crashed. Afterwards it is the time until which the view is valid. A lifecycle rule of the bucket has to
delete old objects.

May import: core, orchestrator.bucket.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from core.errors import ImgPodError, WorkerStopping
from core.logs import logger
from core.settings import Settings
from http_api.problems import problem
from orchestrator.bucket import Bucket

log = logger()

_JOB_ID = re.compile(r"job_[0-9a-f]{32}")
_LONGEST_RUN_S = 930.0


class JobStore:
    """Stored jobs. Failed writes raise nothing, so that the job still runs. Call `close` at the end."""

    def __init__(self, bucket: Bucket, keep_s: float, clock: Callable[[], float] = time.time) -> None:
        self._bucket = bucket
        self._keep_s = keep_s
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings) -> JobStore | None:
        """Create the store; None unless `ORCHESTRATOR_LEDGER=s3`, the setting that also stores idempotent results."""
        if settings.orchestrator.ledger != "s3":
            return None
        return cls(Bucket(settings.storage), settings.http.keep_jobs_s)

    async def close(self) -> None:
        await self._bucket.close()

    async def write(self, caller: str, view: dict[str, Any]) -> None:
        keep_s = _LONGEST_RUN_S if view["status"] == "running" else self._keep_s
        entry = {"caller": caller, "until": self._clock() + keep_s, "view": view}
        try:
            await self._bucket.write(_name(view["id"]), json.dumps(entry).encode())
        except ImgPodError as error:
            log.warning("job not stored", code=error.code)

    async def read(self, job_id: str, caller: str) -> dict[str, Any] | None:
        """The job's view; None if it doesn't exist, has expired, or belongs to another caller."""
        if not _JOB_ID.fullmatch(job_id):
            return None
        found, _ = await self._bucket.get(_name(job_id))
        try:
            entry = json.loads(found or b"")
            until, view = float(entry["until"]), dict(entry["view"])
        except (ValueError, TypeError, KeyError):
            return None
        if entry.get("caller") != caller:
            return None
        if until > self._clock():
            return view
        if view.get("status") != "running":
            return None
        lost = WorkerStopping("The process that ran this job ended before it was done; send the request again.")
        return {**view, "status": "failed", "error": problem(lost)}

    async def delete(self, job_id: str) -> None:
        if _JOB_ID.fullmatch(job_id):
            await self._bucket.delete(_name(job_id))


def _name(job_id: str) -> str:
    return f"jobs/{job_id}.json"
