"""Limits of an incoming picture: bytes, pixels, sides, memory and time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from core.errors import TooLarge

_MEGA = 1_000_000


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds of what is decoded; `min_side` is in px, `max_aspect` is the longer side over the shorter one.

    A JPEG of one scan is decoded at a fraction of its size, so it may be much larger than other pictures. A JPEG of
    several scans is held in memory at full size, whatever the fraction. `max_decoded_pixels` bounds what is returned.
    """

    max_bytes: int = 7 * 2**20
    max_pixels: int = 40 * _MEGA
    max_heic_pixels: int = 50 * _MEGA
    max_multi_scan_pixels: int = 50 * _MEGA
    max_jpeg_pixels: int = 210 * _MEGA
    max_decoded_pixels: int = 16 * _MEGA
    min_side: int = 32
    max_aspect: float = 10
    max_scans: int = 32
    min_kept: float = 2 / 3
    """Share of a JPEG's rows that must be readable if it is truncated."""
    decode_cpu_s: float = 2.0
    heic_cpu_s: float = 1.5
    heic_cpu_s_per_megapixel: float = 0.08
    """libde265 takes 0.045 to 0.075 s for a megapixel on one core of a 2023 server (measured)."""
    decode_memory_bytes: int = 1536 * 2**20
    """Address space of a decoding process, its libraries included."""
    decode_wall_s: float = 30.0
    """Wall-clock limit, for a machine so busy that the CPU limit is not reached."""
    url_timeout_s: float = 10
    redirects: int = 3

    def pixels(self, image_format: str, scans: int) -> int:
        """The most pixels that a picture of `image_format` may have."""
        if image_format == "JPEG":
            return self.max_jpeg_pixels if scans <= 1 else self.max_multi_scan_pixels
        return self.max_heic_pixels if image_format == "HEIF" else self.max_pixels

    def cpu_s(self, image_format: str, pixels: int) -> float:
        """Limit of the CPU time for decoding."""
        if image_format != "HEIF":
            return self.decode_cpu_s
        return self.heic_cpu_s + self.heic_cpu_s_per_megapixel * pixels / _MEGA


DEFAULT_LIMITS = IntakeLimits()
Fetch: TypeAlias = Callable[[str, IntakeLimits], Awaitable[bytes]]


def too_many_bytes(limits: IntakeLimits) -> TooLarge:
    return TooLarge(f"The picture has more than {limits.max_bytes / 2**20:g} MiB. Send a smaller one.")


def too_many_pixels(max_pixels: int, advice: str = "Send a smaller one.") -> TooLarge:
    return TooLarge(f"The picture has more than {max_pixels // _MEGA} megapixels. {advice}")
