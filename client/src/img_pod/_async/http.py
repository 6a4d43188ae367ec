"""Requests over the HTTP API of a deployment.

A call streams its events on one connection, so that the server cancels the job when the connection ends. A submitted
job continues without the connection; its events are read again from the last one received.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from img_pod._async.pause import pause
from img_pod._async.transport import Fields
from img_pod.errors import (
    ConnectionFailed,
    ImgPodError,
    UnexpectedAnswer,
    from_edge,
    from_problem,
)
from img_pod.events import Event, EventParser, OnProgress, Status, read_progress
from img_pod.retries import Attempts

_CONNECT_S = 10.0
_SILENCE_S = 45.0
"""The server sends a comment every 15 s; a connection that is silent for longer has failed."""
_ANSWER_S = 60.0
_RESUMES = 5
_WORKER = "X-Runpod-Worker-Id"
"""Names the worker of a load-balancing endpoint that has the job in memory."""
_STATES = {"running": "running", "completed": "completed", "failed": "failed", "cancelled": "cancelled"}


class AsyncHttpTransport:
    """The HTTP API at `base_url`. `headers` contain the keys."""

    def __init__(self, base_url: str, headers: dict[str, str], client: httpx.AsyncClient | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._client = client or httpx.AsyncClient()
        self._workers: dict[str, str] = {}

    async def aclose(self) -> None:
        await self._client.aclose()

    async def call(self, task: str, fields: Fields, attempts: Attempts, on_progress: OnProgress) -> Any:
        while True:
            attempts.check_time()
            try:
                return await self._stream_call(task, fields, attempts, on_progress)
            except ImgPodError as error:
                await pause(attempts.pause_s(error))

    async def submit(self, task: str, fields: Fields, attempts: Attempts) -> str:
        while True:
            attempts.check_time()
            try:
                answer = await self._post_job(task, fields)
            except ImgPodError as error:
                await pause(attempts.pause_s(error))
            else:
                return answer

    async def status(self, job_id: str) -> Status:
        view = self._json(await self._request("GET", f"/v1/jobs/{job_id}", self._of_job(job_id)))
        state = _STATES.get(str(view.get("status")))
        if state is None:
            raise UnexpectedAnswer("The job has a state that is unknown to this version of the client; upgrade it.")
        error = view.get("error")
        return Status(
            state=state,  # type: ignore[arg-type]  # a value of _STATES
            progress=read_progress(view.get("progress")),
            result=view.get("result"),
            error=from_problem(error, 0) if isinstance(error, dict) else None,
        )

    async def events(self, job_id: str) -> AsyncIterator[Event]:
        last, attempts = "", Attempts(_RESUMES)
        while True:
            try:
                async for event in self._stream_events(job_id, last):
                    last, attempts.made = event.id, 0
                    yield event
                    if event.name in {"result", "error"}:
                        return
                raise ConnectionFailed("The event stream was closed before the job ended.")
            except ConnectionFailed as error:
                await pause(attempts.pause_s(error))

    async def cancel(self, job_id: str) -> None:
        await self._request("DELETE", f"/v1/jobs/{job_id}", self._of_job(job_id))

    async def _stream_call(self, task: str, fields: Fields, attempts: Attempts, on_progress: OnProgress) -> Any:
        headers = {**self._headers, "Accept": "text/event-stream", **_idempotency(fields)}
        silence_s = min(_SILENCE_S, max(0.1, attempts.left_s))
        try:
            async with self._stream("POST", f"/v1/{task}", headers, silence_s, _body(fields)) as response:
                async for event in _events(response):
                    attempts.check_time()
                    if event.name == "result":
                        return event.data
                    if event.name == "error":
                        raise _failure(event.data, response)
                    if on_progress is not None and event.progress is not None:
                        on_progress(event.progress)
                    attempts.check_time()
        except ConnectionFailed:
            attempts.check_time()
            raise
        raise ConnectionFailed("The connection was closed before the answer was complete.")

    async def _post_job(self, task: str, fields: Fields) -> str:
        headers = {"Prefer": "respond-async", **_idempotency(fields)}
        response = await self._request("POST", f"/v1/{task}", headers, _body(fields))
        job_id = self._json(response).get("id")
        if not isinstance(job_id, str):
            raise UnexpectedAnswer("The service accepted the request but returned no job id.")
        if worker := response.headers.get(_WORKER):
            self._workers[job_id] = worker
        return job_id

    async def _stream_events(self, job_id: str, last: str) -> AsyncIterator[Event]:
        headers = {**self._headers, **self._of_job(job_id), **({"Last-Event-ID": last} if last else {})}
        async with self._stream("GET", f"/v1/jobs/{job_id}/events", headers, _SILENCE_S) as response:
            async for event in _events(response):
                yield event

    @asynccontextmanager
    async def _stream(
        self, method: str, path: str, headers: dict[str, str], silence_s: float, body: Any = None
    ) -> AsyncIterator[httpx.Response]:
        timeout = httpx.Timeout(_CONNECT_S, read=silence_s)
        url = f"{self._base_url}{path}"
        try:
            async with self._client.stream(method, url, headers=headers, json=body, timeout=timeout) as response:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise self._refusal(response)
                yield response
        except httpx.TransportError as error:
            raise ConnectionFailed(
                f"{self._base_url} can't be reached ({type(error).__name__}); check the address."
            ) from error

    async def _request(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> httpx.Response:
        timeout = httpx.Timeout(_CONNECT_S, read=_ANSWER_S)
        try:
            response = await self._client.request(
                method, f"{self._base_url}{path}", headers={**self._headers, **headers}, json=body, timeout=timeout
            )
        except httpx.TransportError as error:
            raise ConnectionFailed(
                f"{self._base_url} can't be reached ({type(error).__name__}); check the address."
            ) from error
        if response.status_code >= 400:
            raise self._refusal(response)
        return response

    def _of_job(self, job_id: str) -> dict[str, str]:
        return {_WORKER: self._workers[job_id]} if job_id in self._workers else {}

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise UnexpectedAnswer(f"{self._base_url} did not answer with a JSON object: check the address.")
        return answer

    def _refusal(self, response: httpx.Response) -> ImgPodError:
        if "problem+json" in response.headers.get("content-type", ""):
            return _failure(self._json(response), response)
        return from_edge(response.status_code, response.text[:2_000], self._base_url)


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    parser = EventParser()
    async for line in response.aiter_lines():
        for event in parser.feed(line):
            yield event


def _failure(problem: Any, response: httpx.Response) -> ImgPodError:
    error = from_problem(problem if isinstance(problem, dict) else {}, response.status_code)
    wait = response.headers.get("retry-after-ms", "")
    if error.retry_after_ms is None and wait.isdecimal():
        error.retry_after_ms = int(wait)
    error.request_id = response.headers.get("x-request-id")  # type: ignore[attr-defined]  # for the caller's log
    return error


def _idempotency(fields: Fields) -> dict[str, str]:
    key = fields.get("idempotency_key")
    return {} if key is None else {"Idempotency-Key": str(key)}


def _body(fields: Fields) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "idempotency_key"}
