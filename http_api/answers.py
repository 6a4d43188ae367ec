"""Responses with a job's result or error: JSON, the picture itself, or a stream of events.

May import: core.contracts, core.errors, starlette.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.contracts import ImageFormat, Result
from core.errors import DeadlineExceeded
from core.worker.job import to_jsonable
from http_api.jobs import Event, HttpJob
from http_api.problems import error_response, problem

KEEP_ALIVE_S = 15.0
CONTENT_TYPES: dict[ImageFormat, str] = {"webp": "image/webp", "png": "image/png", "jpeg": "image/jpeg"}
_HEADER_TEXT = " !#$&'()*+,-./:;=?@[]^_`{|}~"
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Type": "text/event-stream"}


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(to_jsonable(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def ended_response(job: HttpJob, *, as_image: bool) -> Response:
    """The answer to a request whose job has ended."""
    if job.result is None:
        return error_response(job.error or DeadlineExceeded("The request did not end in time; allow more time."))
    if as_image:
        return image_response(job.result)
    # The data of the last event is the result as JSON.
    return Response(job.events[-1].data.encode(), media_type="application/json")


def image_response(result: Result) -> Response:
    """The picture's bytes, or a redirect to their URL, with the result's metadata in headers."""
    headers = {
        "X-Seed": str(result.seed),
        "X-Trace-Id": result.trace_id,
        **({"X-Degraded": ",".join(one.stage for one in result.degraded)} if result.degraded else {}),
        **({} if result.caption is None else {"X-Caption": quote(result.caption, safe=_HEADER_TEXT)}),
        **({} if result.picture_id is None else {"X-Picture-Id": result.picture_id}),
    }
    if result.image_base64 is None:
        return Response(status_code=303, headers={**headers, "Location": result.image_url or ""})
    data = base64.b64decode(result.image_base64)
    return Response(data, headers=headers, media_type=CONTENT_TYPES[result.image_format])


async def disconnected(request: Request) -> None:
    """Wait until the caller's connection ends. Call it only after the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def ends_before_disconnect(request: Request, job: HttpJob, seconds: float) -> bool | None:
    """Whether the job ended within `seconds`; None if the caller disconnected first."""
    ending = asyncio.ensure_future(job.wait())
    disconnecting = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({ending, disconnecting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if job.ended:
            return True
        return None if disconnecting.done() else False
    finally:
        for waiting in (ending, disconnecting):
            waiting.cancel()
        await asyncio.gather(ending, disconnecting, return_exceptions=True)


class EventStream(Response):
    """The events of a job as server-sent events, with comments that keep the connection alive.

    If the stream's time limit is reached before the job ends, the last event is an `error` unless `resumable`.
    `on_disconnect` is called when the stream ends before the job.
    """

    def __init__(
        self,
        job: HttpJob,
        *,
        within_s: float,
        on_disconnect: Callable[[], None] | None = None,
        after: int = 0,
        resumable: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**(headers or {}), **_STREAM_HEADERS})
        del self.headers["content-length"]
        self._job = job
        self._after = after
        self._within_s = within_s
        self._on_disconnect = on_disconnect
        self._resumable = resumable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        writing = asyncio.ensure_future(self._write(send))
        disconnecting = asyncio.ensure_future(disconnected(Request(scope, receive)))
        try:
            await asyncio.wait({writing, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._on_disconnect is not None and not (writing.done() and self._job.ended):
                self._on_disconnect()
            for task in (writing, disconnecting):
                task.cancel()
            await asyncio.gather(writing, disconnecting, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        async for chunk in self._chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self) -> AsyncIterator[bytes]:
        last = self._after
        until = time.monotonic() + self._within_s
        events = self._job.follow(self._after, KEEP_ALIVE_S)
        while True:
            try:
                event = await asyncio.wait_for(anext(events), max(0.0, until - time.monotonic()))
            except StopAsyncIteration:
                return
            except TimeoutError:
                break
            if event is None:
                yield b": keep-alive\n\n"
            else:
                last = event.id
                yield event_bytes(event)
        if not self._resumable:
            yield event_bytes(Event(last + 1, "error", json.dumps(problem(self._stream_timeout()))))

    def _stream_timeout(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"An event stream lasts at most {self._within_s:g} s; send `Prefer: respond-async` for longer requests."
        )


def event_bytes(event: Event) -> bytes:
    """Serialize one event; `data` is JSON without line breaks."""
    return f"id: {event.id}\nevent: {event.name}\ndata: {event.data}\n\n".encode()
