"""Conversion of values from the forms that clients use: numbers as text, `jpg`, `1024x768`, seeds of other tools."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

MAX_SEED = 2**53 - 1
"""The largest integer that every JSON parser keeps exact."""
_MAX_FOREIGN_SEED = 2**64 - 1
_DRAWN = -1
SIDE_STEP = 16
MIN_SIDE, MAX_SIDE = 64, 1536
"""px."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}(?:\.0{1,6})?", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,5})[x×*:, ]([0-9]{1,5})", re.ASCII)


def whole_number(value: object) -> object:
    """Convert `"7"` and `7.0` to `7`; other values are unchanged, and the field's validation refuses them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(text := value.strip()):
        return int(text.partition(".")[0])
    return value


def decimal_number(value: object) -> object:
    """Convert `"2.5"` to `2.5`; other values are unchanged."""
    return float(value) if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()) else value


def seed_number(value: object) -> object:
    """A seed; None for -1, which means a random seed in other tools.

    A seed above `MAX_SEED` is taken modulo `MAX_SEED` + 1: the same seed still gives the same picture, and the result
    contains the used value. Raises `ValueError` with the accepted values.
    """
    number = whole_number(value)
    if not isinstance(number, int) or isinstance(number, bool) or 0 <= number <= MAX_SEED:
        return number
    if number == _DRAWN:
        return None
    if MAX_SEED < number <= _MAX_FOREIGN_SEED:
        return number % (MAX_SEED + 1)
    raise ValueError(f"must be 0 to {_MAX_FOREIGN_SEED}, or -1 for a random seed")


def file_format(value: object) -> object:
    """Convert `JPG`, `.jpg` or `image/jpeg` to `jpeg`."""
    if not isinstance(value, str) or len(value) > 20:
        return value
    name = value.strip().lower().removeprefix("image/").removeprefix(".")
    return "jpeg" if name == "jpg" else name


def split_size(size: object) -> tuple[int, int] | None:
    """Width and height from `1024x768`; None for other values."""
    found = _SIZE.fullmatch(size.strip().lower()) if isinstance(size, str) and len(size) < 20 else None
    return (int(found[1]), int(found[2])) if found else None


def _to_step(side: int) -> int:
    return max(SIDE_STEP, (side + SIDE_STEP // 2) // SIDE_STEP * SIDE_STEP)


WholeNumber = BeforeValidator(whole_number)
DecimalNumber = BeforeValidator(decimal_number)
Side = Annotated[
    int, Field(strict=True, ge=MIN_SIDE, le=MAX_SIDE), BeforeValidator(whole_number), AfterValidator(_to_step)
]
Seed = Annotated[int, Field(strict=True, ge=0, le=MAX_SEED)]
SeedOrNone = Annotated[Seed | None, BeforeValidator(seed_number)]
ImageFormat = Literal["webp", "png", "jpeg"]
RequestedFormat = Annotated[ImageFormat, BeforeValidator(file_format)]


def adjustments(given: dict[str, Any], used: dict[str, Any]) -> list[tuple[str, str]]:
    """Fields whose given value was replaced, with the value that was used."""
    changed = []
    for name in ("width", "height", "seed"):
        before = whole_number(given.get(name))
        after = used.get(name)
        if before is not None and before != after:
            changed.append((name, "drawn" if after is None else str(after)))
    return changed
