"""Apply HTTP faults to a request, before or after it is processed."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from localpod.api.call import ApiError, Call, error_response
from localpod.faults import AFTER_KINDS, BEFORE_KINDS, Fault, FaultKind, Faults

UNREADABLE = (FaultKind.RESET_AFTER, FaultKind.TRUNCATE, FaultKind.NOT_JSON)
SLOW_PIECES = 10
Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class FaultInjector:
    """Runs an operation, and returns its jobs to the queue if its answer doesn't reach the worker."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    async def run(self, call: Call, handler: Handler) -> web.StreamResponse:
        if (fault := await self._pick(call, BEFORE_KINDS)) is not None:
            return _replacement_answer(call.request, fault)
        answer = await _answer(call, handler)
        try:
            # An answer without a body, such as "no job yet", can't be altered: the fault applies to the next one.
            fault = await self._pick(call, AFTER_KINDS) if answer.status != 204 else None
            if fault is None:
                return await _send(call, answer)
            if fault.kind in UNREADABLE:
                _return_jobs(call)
            return await _alter(call.request, answer, fault)
        except (ConnectionError, asyncio.CancelledError):
            _return_jobs(call)
            raise

    async def _pick(self, call: Call, kinds: tuple[FaultKind, ...]) -> Fault | None:
        if not self._faults.any:
            return None
        return self._faults.pick(kinds, call.endpoint.name, call.operation, await call.task())


async def _answer(call: Call, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(call)
    except ApiError as error:
        return error_response(error.status, error.message)


async def _send(call: Call, answer: web.StreamResponse) -> web.StreamResponse:
    """Send an answer with jobs at once, and return the jobs to the queue if the connection is closed."""
    if call.taken is not None:
        await answer.prepare(call.request)
        await answer.write_eof()
        if call.request.transport is None or call.request.transport.is_closing():
            _return_jobs(call)
    return answer


def _return_jobs(call: Call) -> None:
    if call.taken is not None:
        call.endpoint.return_jobs(*call.taken)


def _replacement_answer(request: web.BaseRequest, fault: Fault) -> web.Response:
    if fault.kind is FaultKind.RESET_BEFORE:
        return _reset(request)
    if fault.kind is FaultKind.SERVER_ERROR:
        return error_response(fault.status, "internal error (fault)")
    throttled = error_response(429, "rate limit exceeded (fault)")
    if fault.retry_after_s is not None:
        throttled.headers["Retry-After"] = f"{fault.retry_after_s:g}"
    return throttled


def _reset(request: web.BaseRequest) -> web.Response:
    """Close the connection with a TCP RST, so that the client gets a reset instead of an orderly end."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


async def _alter(request: web.BaseRequest, answer: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    if fault.kind is FaultKind.RESET_AFTER:
        return _reset(request)
    if fault.kind is FaultKind.STALL:
        await asyncio.sleep(fault.delay_s)
        return answer
    if fault.kind is FaultKind.NOT_JSON:
        return web.Response(body=b"<html><body>Bad gateway</body></html>", content_type="text/html")
    return await _send_in_pieces(request, answer.status, body, fault)


async def _send_in_pieces(request: web.BaseRequest, status: int, body: bytes, fault: Fault) -> web.StreamResponse:
    """Send the body over `delay_s`, or only its first half before the connection ends."""
    answer = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    await answer.prepare(request)
    if fault.kind is FaultKind.TRUNCATE:
        await answer.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return answer
    step = max(1, -(-len(body) // SLOW_PIECES))
    for start in range(0, len(body), step):
        await asyncio.sleep(fault.delay_s / SLOW_PIECES)
        await answer.write(body[start : start + step])
    await answer.write_eof()
    return answer
