"""JSON with the platform's rules.

The platform is written in Go, whose decoder rejects `NaN` and `Infinity`, so they are rejected here. Output is ASCII,
because a lone surrogate can be escaped but not encoded.
"""

from __future__ import annotations

import json
from typing import Any


class NotJson(ValueError):
    """A body is not JSON by the standard."""


def _refuse_constant(constant: str) -> Any:
    raise NotJson(f"{constant} is not JSON")


def loads(body: bytes) -> Any:
    """Parse a body. Raises `NotJson`, also for invalid UTF-8 and for nesting that is too deep."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
