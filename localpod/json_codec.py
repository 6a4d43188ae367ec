"""JSON as the platform reads and writes it.

The platform is written in Go, whose decoder knows no `NaN` and no `Infinity`: a body with one is not JSON there, so it
is not JSON here. Output is pure ASCII, because a lone surrogate has an escape but no bytes.
"""

from __future__ import annotations

import json
from typing import Any


class NotJson(ValueError):
    """A body is no JSON at all, or no JSON outside of Python."""


def _refuse(constant: str) -> Any:
    raise NotJson(f"{constant} is not JSON")


def loads(body: bytes) -> Any:
    """Raises `NotJson`, also for bytes that are no UTF-8 and for nesting too deep to read."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
