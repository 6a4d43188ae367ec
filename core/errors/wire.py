"""Errors as JSON strings, the format between processes."""

from __future__ import annotations

import json
from typing import Any

from core.errors.tree import ImgPodError, PolicyBlocked, StageFailed


def _by_code(cls: type[ImgPodError]) -> dict[str, type[ImgPodError]]:
    found = {cls.code: cls} if "code" in vars(cls) else {}
    for child in cls.__subclasses__():
        found |= _by_code(child)
    return found


BY_CODE: dict[str, type[ImgPodError]] = _by_code(ImgPodError)


def from_wire(error: object, *, stage: str | None = None) -> ImgPodError:
    """Restore an error that another of our processes sent.

    Any other error (the stock SDK's traceback, the platform's sentence, an object) becomes `StageFailed`. Its message
    repeats nothing of the original, which may contain a path, a prompt or a key.
    """
    body = _body_of(error)
    code, message, where, wait = (body.get(key) for key in ("code", "message", "stage", "retry_after_ms"))
    if not isinstance(code, str) or code not in BY_CODE or not isinstance(message, str):
        return StageFailed("The worker failed with an unknown error; see its log.", stage=stage)
    stage = stage or (where if isinstance(where, str) else None)
    cls = BY_CODE[code]
    if issubclass(cls, PolicyBlocked):
        categories = body.get("categories")
        named = categories if isinstance(categories, list) else []
        return cls(message[:500], categories=tuple(name for name in named if isinstance(name, str)), stage=stage)
    return cls(message[:500], stage=stage, retry_after_ms=wait if type(wait) is int and wait >= 0 else None)


def _body_of(error: object) -> dict[str, Any]:
    try:
        body = json.loads(error) if isinstance(error, str) else None
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {}
