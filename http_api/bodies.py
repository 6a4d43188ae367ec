"""Request bodies: bounded while they are read, and never written to the disk.

JSON is the task's input. `profile/create` also takes a form with a `selfie` file, and an image as the body itself; both
become the same input. What its fields may hold is `read_request`'s business.

May import: core.contracts, core.errors, starlette.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from functools import cache
from typing import Any

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from core.contracts import MAX_SELFIE_CHARS, REQUESTS, Route
from core.errors import BodyTimeout, InvalidRequest, TooLarge, UnsupportedMediaType

_OTHER_FIELDS_BYTES = 200_000
MAX_SELFIE_BODY_BYTES = MAX_SELFIE_CHARS + _OTHER_FIELDS_BYTES
MAX_BODY_BYTES = 2_000_000
"""Of the other routes: the longest chat, every character escaped."""
_DRAINED_BYTES = 32_000_000
"""How much of a body that is too large is still read, so that its sender reads the answer and not a reset."""
_MAX_FORM_FIELDS = 30


async def read_input(request: Request, route: Route, timeout_s: float) -> dict[str, Any]:
    """The task's input. Raises `InvalidRequest`, `TooLarge`, `BodyTimeout` or `UnsupportedMediaType`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    limit = MAX_SELFIE_BODY_BYTES if route is Route.PROFILE else MAX_BODY_BYTES
    try:
        async with asyncio.timeout(timeout_s):
            if media_type == "application/json":
                body = read_json(await read_body(request, limit))
            elif route is Route.PROFILE and media_type == "multipart/form-data":
                body = await _read_form(request, limit)
            elif route is Route.PROFILE and (
                media_type.startswith("image/") or media_type == "application/octet-stream"
            ):
                body = {"selfie": base64.b64encode(await read_body(request, limit)).decode()}
            else:
                raise UnsupportedMediaType(_takes(route))
    except TimeoutError:
        raise BodyTimeout(_late(timeout_s)) from None
    if body.get("task", route) != route:
        raise InvalidRequest("`task`: the path names the task; leave the field out.")
    return {**body, "task": str(route)}


async def read_body_in_time(request: Request, limit: int, timeout_s: float) -> bytes:
    """Raises `TooLarge` or `BodyTimeout`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await read_body(request, limit)
    except TimeoutError:
        raise BodyTimeout(_late(timeout_s)) from None


def _late(timeout_s: float) -> str:
    return f"The request's body took longer than {timeout_s:g} s to arrive."


async def read_body(request: Request, limit: int) -> bytes:
    """Raises `TooLarge`."""
    return b"".join([chunk async for chunk in _bounded(request, limit)])


def read_json(body: bytes) -> dict[str, Any]:
    """Raises `InvalidRequest`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object with the task's fields.")
    return value


def _takes(route: Route) -> str:
    if route is Route.PROFILE:
        return "Send `Content-Type: application/json`, `multipart/form-data` with a `selfie` file, or an image."
    return "Send `Content-Type: application/json`."


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    size = 0
    too_large = TooLarge(f"The request's body has more than {limit:,} bytes. Send the selfie as a URL, or less text.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > _DRAINED_BYTES:
        raise too_large
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            yield chunk
        elif size > _DRAINED_BYTES:
            break
    if size > limit:
        raise too_large


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _MemoryParser(MultiPartParser):
    """Starlette's parser, which writes files above 1 MiB to the disk; a selfie must stay in memory."""

    spool_max_size = MAX_SELFIE_BODY_BYTES + 1

    def close(self) -> None:
        """Frees the files of a form whose reading ended early."""
        for file in self._files_to_close_on_error:
            file.close()


async def _read_form(request: Request, limit: int) -> dict[str, Any]:
    parser = _MemoryParser(
        request.headers,
        _bounded(request, limit),
        max_files=1,
        max_fields=_MAX_FORM_FIELDS,
        max_part_size=MAX_SELFIE_BODY_BYTES,
    )
    try:
        form = await parser.parse()
        return await _fields_of(form)
    except (MultiPartException, KeyError, UnicodeDecodeError):
        raise InvalidRequest("The form can't be read: one `selfie` file, and at most 30 fields of text.") from None
    finally:
        parser.close()


async def _fields_of(form: FormData) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in body:
            raise InvalidRequest("The form has a field twice.")
        if isinstance(value, str):
            body[name] = _typed(name, value)
        elif name == "selfie":
            body[name] = base64.b64encode(await value.read()).decode()
        else:
            raise InvalidRequest("Only `selfie` may be a file.")
    return body


def _typed(name: str, value: str) -> Any:
    """A form's text as the field's type: `7` for a seed is a number, for a style a text."""
    if name in _text_fields():
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


@cache
def _text_fields() -> frozenset[str]:
    """The fields of `profile/create` that hold text."""
    schema = REQUESTS[Route.PROFILE].model_json_schema()

    def is_text(given: dict[str, Any]) -> bool:
        return any(part.get("type") == "string" for part in given.get("anyOf", [given]))

    return frozenset(name for name, given in schema["properties"].items() if is_text(given))
