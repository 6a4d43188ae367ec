"""Jobs of the HTTP API: each runs one request of the service and stores its events.

A job is cancelled when its caller disconnects, unless the caller asked for an asynchronous answer. Ended jobs are kept
with limits of time and total bytes. With a bucket (`job_store`) every process can read their results.

May import: core, orchestrator.service.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from core.contracts import PictureRequest, Result, StageProgress
from core.errors import Cancelled, ImgPodError, NotFound, WorkerStopping
from core.logs import logger
from core.settings import HttpSettings
from core.worker.job import Job, internal_error, to_jsonable
from core.worker.progress import Progress
from http_api.job_store import JobStore
from http_api.problems import problem
from orchestrator.service import Service

log = logger()

Status = Literal["running", "completed", "failed", "cancelled"]
_PROGRESS_EVERY_S = 0.1
_JOB_BYTES = 4_000
"""Bytes of a job besides its events, estimated."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job; `data` is JSON."""

    id: int
    name: str
    data: str = field(repr=False)


@dataclass(slots=True)
class HttpJob:
    """One running or ended request."""

    id: str
    request: PictureRequest = field(repr=False)
    caller: str
    created_at: float
    status: Status = "running"
    progress: StageProgress | None = None
    result: Result | None = field(default=None, repr=False)
    error: ImgPodError | None = None
    events: list[Event] = field(default_factory=list, repr=False)
    ended_at: float = 0.0
    bytes: int = _JOB_BYTES
    kept: bool = True
    stored: bool = False
    running: asyncio.Task[None] | None = field(default=None, repr=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def ended(self) -> bool:
        return self.status != "running"

    def publish(self, name: str, data: Any) -> None:
        text = json.dumps(to_jsonable(data), ensure_ascii=False, separators=(",", ":"))
        self.bytes += len(text)
        self.events.append(Event(len(self.events) + 1, name, text))
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self, after: int, keep_alive_s: float) -> AsyncIterator[Event | None]:
        """Events after the one with id `after`, up to the job's last one; None for each `keep_alive_s` without one."""
        position = max(0, after)
        while True:
            news = self._news
            while position < len(self.events):
                yield self.events[position]
                position += 1
            if self.ended:
                return
            try:
                async with asyncio.timeout(keep_alive_s):
                    await news.wait()
            except TimeoutError:
                yield None

    async def wait(self, seconds: float | None = None) -> bool:
        """Whether the job ended within `seconds`."""
        if self.running is not None and not self.ended:
            await asyncio.wait([self.running], timeout=seconds)
        return self.ended

    def cancel(self) -> None:
        if self.running is not None and not self.ended:
            self.running.cancel()

    def view(self) -> dict[str, Any]:
        """The job as `GET /v1/jobs/{id}` shows it."""
        return {
            "id": self.id,
            "status": self.status,
            "task": str(self.request.task),
            "request_id": self.request.request_id,
            "created_at": round(self.created_at, 3),
            "progress": None if self.progress is None else self.progress.model_dump(),
            "result": None if self.result is None else to_jsonable(self.result),
            "error": None if self.error is None else problem(self.error),
        }


class Jobs:
    """The jobs of one process."""

    def __init__(self, service: Service, settings: HttpSettings, store: JobStore | None = None) -> None:
        self._service = service
        self._settings = settings
        self._store = store
        self._jobs: dict[str, HttpJob] = {}
        self._ended: OrderedDict[str, HttpJob] = OrderedDict()
        self._bytes = 0
        self.draining = False

    @property
    def running(self) -> int:
        return len(self._jobs) - len(self._ended)

    def check_open(self) -> None:
        """Raise `WorkerStopping` while the process drains."""
        if self.draining:
            raise WorkerStopping("This process is stopping; send the request again.", retry_after_ms=1_000)

    def start(self, request: PictureRequest, caller: str, release: Callable[[], None]) -> HttpJob:
        """Start the request; `release` is called at its end."""
        self._forget_old()
        job = HttpJob(f"job_{uuid.uuid4().hex}", request, caller, time.time())
        self._jobs[job.id] = job
        job.publish("accepted", {"id": job.id, "task": str(request.task), "request_id": request.request_id})
        job.running = asyncio.create_task(self._run(job))
        # As a callback and not inside the task, because a task that is cancelled before its first step runs no code.
        job.running.add_done_callback(lambda _: self._finish(job, release))
        return job

    async def keep(self, job: HttpJob) -> None:
        """Store an asynchronous job so that every process can read it."""
        if self._store is not None and not job.ended:
            job.stored = True
            await self._store.write(job.caller, job.view())

    async def find(self, job_id: str, caller: str) -> HttpJob | dict[str, Any]:
        """The job, or the view of another process' job. Raises `NotFound`, also for another caller's job."""
        job = self._jobs.get(job_id)
        if job is not None and job.caller == caller:
            return job
        view = None if self._store is None or job is not None else await self._store.read(job_id, caller)
        if view is None:
            raise NotFound(
                f"There is no such job. Jobs are kept {self._settings.keep_jobs_s:g} s after their end, "
                "by the process that ran them."
            )
        return view

    async def delete(self, job_id: str, caller: str) -> None:
        """Cancel a running job, or delete an ended one with its result. Raises `NotFound`."""
        job = await self.find(job_id, caller)
        if isinstance(job, HttpJob) and not job.ended:
            job.cancel()
            await job.wait()
            await self._store_end(job)
            return
        self.forget(job_id)
        if self._store is not None:
            await self._store.delete(job_id)

    def forget(self, job_id: str) -> None:
        """Delete a job at its end, because its answer was delivered."""
        if (job := self._ended.pop(job_id, None)) is not None:
            self._jobs.pop(job_id, None)
            self._bytes -= job.bytes
        elif (job := self._jobs.get(job_id)) is not None:
            job.kept = False

    async def drain(self, within_s: float) -> None:
        """Accept no more jobs, wait for the running ones, and cancel the rest."""
        self.draining = True
        running = [job.running for job in self._jobs.values() if job.running is not None and not job.ended]
        if running:
            await asyncio.wait(running, timeout=within_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, job: HttpJob) -> None:
        async def send(report: StageProgress) -> None:
            job.progress = report
            job.publish("progress", report)

        progress = Progress(send, interval_s=_PROGRESS_EVERY_S)
        with structlog.contextvars.bound_contextvars(job_id=job.id, task=str(job.request.task)):
            try:
                result = await self._service.answer(job.request, Job(job.id, progress, caller=job.caller))
            except ImgPodError as error:
                log.info("job failed", code=error.code, stage=error.stage, retryable=error.retryable)
                job.error = error
            except Exception as error:  # noqa: BLE001 - every request needs an answer
                job.error = internal_error(error)
            else:
                job.result = result
            finally:
                await progress.close()
        await self._store_end(job)

    def _finish(self, job: HttpJob, release: Callable[[], None]) -> None:
        release()
        task = job.running
        if job.result is not None:
            job.status = "completed"
            job.publish("result", job.result)
        else:
            cancelled = task is not None and task.cancelled()
            job.error = job.error or self._cancellation()
            job.status = "cancelled" if cancelled else "failed"
            job.publish("error", problem(job.error))
        job.ended_at = time.monotonic()
        self._ended[job.id] = job
        self._bytes += job.bytes
        if not job.kept:
            self.forget(job.id)
        self._forget_old()

    def _cancellation(self) -> ImgPodError:
        if self.draining:
            return WorkerStopping("The process stopped before the request was done; send it again.")
        return Cancelled("The request was cancelled.")

    async def _store_end(self, job: HttpJob) -> None:
        if self._store is None or not job.stored:
            return
        status = job.status if job.ended else ("failed" if job.result is None else "completed")
        await self._store.write(job.caller, {**job.view(), "status": status})

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._settings.keep_jobs_s
        while self._ended:
            job = next(iter(self._ended.values()))
            if job.ended_at > oldest and self._bytes <= self._settings.keep_jobs_bytes:
                return
            self.forget(job.id)
