"""Read request bodies with limits of size and time, and without writing to disk.

JSON is the task's input. `profile/create` also accepts a form with a `selfie` file, and an image as the body; both are
converted to the same input, which `read_request` validates.

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
"""Limit of the other routes: the longest chat, with every character escaped."""
_DRAINED_BYTES = 32_000_000
"""Bytes of a too large body that are still read, so that its sender receives the answer instead of a reset."""
_MAX_FORM_FIELDS = 30


async def read_input(request: Request, route: Route, timeout_s: float) -> dict[str, Any]:
    """Read the task's input. Raises `InvalidRequest`, `TooLarge`, `BodyTimeout` or `UnsupportedMediaType`."""
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
                raise UnsupportedMediaType(_accepted_types_hint(route))
    except TimeoutError:
        raise BodyTimeout(_timeout_message(timeout_s)) from None
    if body.get("task", route) != route:
        raise InvalidRequest("`task`: the path names the task; omit the field.")
    return {**body, "task": str(route)}


async def read_body_in_time(request: Request, limit: int, timeout_s: float) -> bytes:
    """Read the body. Raises `TooLarge` or `BodyTimeout`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await read_body(request, limit)
    except TimeoutError:
        raise BodyTimeout(_timeout_message(timeout_s)) from None


def _timeout_message(timeout_s: float) -> str:
    return f"The request's body took longer than {timeout_s:g} s to arrive."


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes. Raises `TooLarge`."""
    return b"".join([chunk async for chunk in _bounded(request, limit)])


def read_json(body: bytes) -> dict[str, Any]:
    """Parse a body as a JSON object. Raises `InvalidRequest`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object with the task's fields.")
    return value


def _accepted_types_hint(route: Route) -> str:
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


class _MemoryParser(MultiPartParser):
    """Starlette's parser without its temporary files for uploads above 1 MiB: a selfie must stay in memory."""

    spool_max_size = MAX_SELFIE_BODY_BYTES + 1

    def close(self) -> None:
        """Free the files of a form that was not read to its end."""
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
        raise InvalidRequest("The form can't be read: send one `selfie` file and at most 30 text fields.") from None
    finally:
        parser.close()


async def _fields_of(form: FormData) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in body:
            raise InvalidRequest("The form contains a field twice. Send each field once.")
        if isinstance(value, str):
            body[name] = _typed(name, value)
        elif name == "selfie":
            body[name] = base64.b64encode(await value.read()).decode()
        else:
            raise InvalidRequest("Only `selfie` may be a file.")
    return body


def _typed(name: str, value: str) -> Any:
    """Convert a form's text to the field's type: `7` is a number for `seed`, and a text for `style`."""
    if name in _text_fields():
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


@cache
def _text_fields() -> frozenset[str]:
    """The text fields of `profile/create`."""
    schema = REQUESTS[Route.PROFILE].model_json_schema()

    def is_text(given: dict[str, Any]) -> bool:
        return any(part.get("type") == "string" for part in given.get("anyOf", [given]))

    return frozenset(name for name, given in schema["properties"].items() if is_text(given))
