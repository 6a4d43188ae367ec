"""Requests as jobs of the orchestrator's endpoint: `run`, `status` and `cancel` of RunPod's API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from img_pod._async.pause import pause
from img_pod._async.transport import Fields
from img_pod.errors import (
    Cancelled,
    ConnectionFailed,
    ImgPodError,
    StageFailed,
    UnexpectedAnswer,
    from_edge,
    from_problem,
)
from img_pod.events import Event, OnProgress, State, Status, read_progress
from img_pod.retries import Attempts

_ANSWER_S = 60.0
_FIRST_POLL_S = 0.2
_LONGEST_POLL_S = 1.0
_POLL_RETRIES = 5
_STATES: dict[str, State] = {
    "IN_QUEUE": "queued",
    "IN_PROGRESS": "running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "TIMED_OUT": "failed",
    "CANCELLED": "cancelled",
}


class AsyncRunpodTransport:
    """The job API at `base_url`, such as `https://api.runpod.ai/v2/ENDPOINT_ID`."""

    def __init__(self, base_url: str, api_key: str, client: httpx.AsyncClient | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._client = client or httpx.AsyncClient()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def call(self, task: str, fields: Fields, attempts: Attempts, on_progress: OnProgress) -> Any:
        while True:
            job_id = await self.submit(task, fields, attempts)
            try:
                return await self._await_result(job_id, attempts, on_progress)
            except ImgPodError as error:
                if not error.retryable:
                    await self._cancel_quietly(job_id)
                await pause(attempts.pause_s(error))
            except BaseException:
                await self._cancel_quietly(job_id)
                raise

    async def submit(self, task: str, fields: Fields, attempts: Attempts) -> str:
        while True:
            attempts.check_time()
            try:
                answer = await self._request("POST", "/run", {"input": {"task": task, **fields}})
            except ImgPodError as error:
                await pause(attempts.pause_s(error))
            else:
                job_id = answer.get("id")
                if not isinstance(job_id, str):
                    raise UnexpectedAnswer("The endpoint accepted the job but returned no job id.")
                return job_id

    async def status(self, job_id: str) -> Status:
        job = await self._request("GET", f"/status/{job_id}")
        state = _STATES.get(str(job.get("status")))
        if state is None:
            raise UnexpectedAnswer("The job has a state that is unknown to this version of the client; upgrade it.")
        if state == "completed":
            return Status(state, result=job.get("output"))
        if state in {"failed", "cancelled"}:
            return Status(state, error=_failure(job, state))
        return Status(state, progress=read_progress(job.get("output")))

    async def events(self, job_id: str) -> AsyncIterator[Event]:
        """Progress events. The job API has no stream, so the status is requested repeatedly."""
        last: Any = None
        yield Event("accepted", {"id": job_id})
        async for status in self._poll(job_id, Attempts(_POLL_RETRIES)):
            if status.progress is not None and status.progress != last:
                last = status.progress
                yield Event("progress", last.model_dump())
            if status.ended and status.error is not None:
                yield Event("error", {**status.error.body(), "detail": status.error.message})
            elif status.ended:
                yield Event("result", status.result)

    async def cancel(self, job_id: str) -> None:
        await self._request("POST", f"/cancel/{job_id}")

    async def _await_result(self, job_id: str, attempts: Attempts, on_progress: OnProgress) -> Any:
        last: Any = None
        async for status in self._poll(job_id, attempts):
            if on_progress is not None and status.progress is not None and status.progress != last:
                on_progress(status.progress)
            last = status.progress
            if status.error is not None:
                raise status.error
            if status.ended:
                return status.result
        raise ConnectionFailed("The job's result could not be read.")

    async def _poll(self, job_id: str, attempts: Attempts) -> AsyncIterator[Status]:
        """Poll the job's status until its end; a failed request is repeated."""
        pause_s, failures = _FIRST_POLL_S, Attempts(_POLL_RETRIES)
        while True:
            attempts.check_time()
            try:
                status = await self.status(job_id)
            except ConnectionFailed as error:
                await pause(failures.pause_s(error))
                continue
            failures.made = 0
            yield status
            if status.ended:
                return
            await pause(min(pause_s, max(0.0, attempts.left_s)))
            pause_s = min(1.3 * pause_s, _LONGEST_POLL_S)

    async def _cancel_quietly(self, job_id: str) -> None:
        """Cancel a job that is no longer needed. A failure is ignored, because the job's time limit ends it too."""
        try:
            await self.cancel(job_id)
        except ImgPodError:
            return

    async def _request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            response = await self._client.request(
                method, f"{self._base_url}{path}", headers=self._headers, json=body, timeout=_ANSWER_S
            )
        except httpx.TransportError as error:
            raise ConnectionFailed(
                f"{self._base_url} can't be reached ({type(error).__name__}); check the address."
            ) from error
        if response.status_code >= 400:
            raise _refusal(response, self._base_url)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise UnexpectedAnswer(f"{self._base_url} did not answer with a JSON object: check the address.")
        return answer


def _refusal(response: httpx.Response, address: str) -> ImgPodError:
    error = from_edge(response.status_code, response.text[:2_000], address)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        wait = response.headers.get("retry-after", "")
        seconds = int(wait) if wait.isdecimal() else 1
        error = from_problem(
            {
                "code": "throttled",
                "detail": "RunPod's rate limit was reached.",
                "retry_after_ms": 1_000 * seconds,
            },
            response.status_code,
        )
    return error


def _failure(job: dict[str, Any], state: State) -> ImgPodError:
    """The error of an ended job. The service's errors are JSON strings; anything else is from the platform."""
    if state == "cancelled":
        return Cancelled("The job was cancelled.")
    try:
        problem = json.loads(job.get("error") or "")
    except (TypeError, ValueError):
        problem = None
    if isinstance(problem, dict) and "code" in problem:
        return from_problem(problem, int(problem.get("http_status") or 0))
    if job.get("status") == "TIMED_OUT":
        return StageFailed("The platform ended the job at its time limit; send the request again.")
    return StageFailed("The platform reported a failed job without an error of the service; see the endpoint's log.")
