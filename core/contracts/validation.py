"""Validate a job's input against the request class that its `task` names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import (
    ValidationError,
)

from core.contracts.base import Message
from core.contracts.stages import StageRequest
from core.errors import InvalidRequest, TooLarge, UnknownTask

M = TypeVar("M", bound=Message)
_TOO_LONG = {"string_too_long", "too_long"}
_MOST_VALUES = 20_000
"""Values of an input, nested ones included; a chat of a thousand messages has about ten thousand. To explain a million
wrong values would block the event loop for seconds."""
_MOST_DETAILS = 100
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)
_PLAIN_MESSAGES = {
    "Extra inputs are not permitted": "there is no such field",
    "Field required": "is required",
    r"String should match pattern '^[\x21-\x7e]+$'": "must be printable ASCII without spaces",
    r"String should match pattern '^https://[\x21-\x7e]+$'": "must be an https URL without spaces",
    "Input should be a valid string, unable to parse raw data as a unicode string": "must be valid Unicode text",
}
"""Pydantic's messages → messages that need no knowledge of pydantic."""


def read_request(payload: object, tasks: Mapping[str, type[M]]) -> M:
    """Validate `payload` (a job's `input`) as the request class of its `task`.

    Raises `UnknownTask`, `TooLarge` or `InvalidRequest`, which name fields and bounds but never repeat a value.
    """
    if not isinstance(payload, dict):
        raise InvalidRequest("The job's input must be an object with a `task` and the task's fields.")
    known = ", ".join(f"`{task}`" for task in tasks)
    task = payload.get("task")
    if task is None:
        raise UnknownTask(f"The input has no `task`; this endpoint serves {known}.")
    if not isinstance(task, str) or task not in tasks:
        raise UnknownTask(f"This endpoint has no such task; it serves {known}.")
    if _values_beyond(_MOST_VALUES, payload):
        raise TooLarge("The input has far more values than any task accepts; see the task's fields.")
    from_our_own = issubclass(tasks[task], StageRequest) and isinstance(payload.get("context"), dict)
    try:
        return tasks[task].model_validate(payload, extra="ignore" if from_our_own else "forbid")
    except ValidationError as error:
        raise _explained(error) from None


def _values_beyond(most: int, payload: dict[str, object]) -> bool:
    """Whether `payload` has more than `most` values. Stops counting there; iterative, so that any depth is safe."""
    inside: list[object] = [payload]
    count = 0
    while inside and count <= most:
        value = inside.pop()
        if isinstance(value, dict | list):
            count += len(value)
            inside.extend((value.values() if isinstance(value, dict) else value) if count <= most else ())
    return count > most


def _explained(error: ValidationError) -> InvalidRequest:
    details = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_DETAILS]
    # For a list with only invalid items, pydantic also reports that it is too short; only the items' errors help.
    details = [
        detail
        for detail in details
        if not any(other is not detail and other["loc"][: len(detail["loc"])] == detail["loc"] for other in details)
    ]
    sentences = [f"`{_place(detail['loc'])}`: {_plain_message(detail['msg'])}" for detail in details[:5]]
    more = " (and more)" if len(details) > 5 else ""
    cls = TooLarge if any(detail["type"] in _TOO_LONG for detail in details) else InvalidRequest
    return cls("; ".join(sentences) + more + ".")


def _place(loc: tuple[int | str, ...]) -> str:
    """Path of the field in the request. Only valid names are repeated, because a name is also the caller's text."""
    steps = (step if isinstance(step, int) or _FIELD_NAME.fullmatch(step) else "…" for step in loc)
    return ".".join(map(str, steps)) or "input"


def _plain_message(text: str) -> str:
    if text.startswith("Input should be a valid dictionary"):
        return "must be an object"
    plain = text.removeprefix("Value error, ").replace("Tuple", "List").replace("tuple", "list")
    return _PLAIN_MESSAGES.get(text) or plain
