"""Limits of a selfie: bytes, pixels, sides and time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from core.errors import TooLarge


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """`min_side` in px. `max_aspect` is the longer side over the shorter one. `max_scans` is a JPEG's passes."""

    max_bytes: int = 7 * 2**20
    max_pixels: int = 40_000_000
    min_side: int = 32
    max_aspect: float = 10
    max_scans: int = 32
    url_timeout_s: float = 10
    redirects: int = 3


DEFAULT_LIMITS = IntakeLimits()
Fetch: TypeAlias = Callable[[str, IntakeLimits], Awaitable[bytes]]


def too_many_bytes(limits: IntakeLimits) -> TooLarge:
    return TooLarge(f"The picture has more than {limits.max_bytes / 2**20:g} MiB. Send a smaller one.")
