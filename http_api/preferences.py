"""Content negotiation and waiting preferences of a request: `Accept` and `Prefer` (RFC 9110, RFC 7240).

May import: core.contracts, core.errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from core.contracts import ImageFormat
from core.errors import NotAcceptable

Form = Literal["json", "stream", "image"]

_LONGEST_HEADER = 2_000
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?")
_QUALITY = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)")
_IMAGES: dict[str, ImageFormat] = {"image/webp": "webp", "image/png": "png", "image/jpeg": "jpeg"}
_FORMS: dict[str, Form] = {
    "*/*": "json",
    "application/*": "json",
    "application/json": "json",
    "text/*": "stream",
    "text/event-stream": "stream",
    "image/*": "image",
    **dict.fromkeys(_IMAGES, "image"),
}


@dataclass(frozen=True, slots=True)
class Preferences:
    """Preferences of a request. `image_format` is from `Accept`, `wait_s` and `respond_async` are from `Prefer`."""

    form: Form = "json"
    image_format: ImageFormat | None = None
    wait_s: int | None = None
    respond_async: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Preferences:
        """Read the preferences of a request. Raises `NotAcceptable`."""
        media_type = _best(headers.get("accept", "")[:_LONGEST_HEADER])
        wanted = [part.strip().lower() for part in headers.get("prefer", "")[:_LONGEST_HEADER].split(",")]
        waits = [found for part in wanted if (found := _WAIT.fullmatch(part))]
        return cls(
            form=_FORMS[media_type],
            image_format=_IMAGES.get(media_type),
            wait_s=int(waits[0][1]) if waits else None,
            respond_async="respond-async" in wanted,
        )

    @property
    def detached(self) -> bool:
        """Whether the job continues when the caller's connection ends."""
        return self.respond_async or self.wait_s is not None

    @property
    def applied(self) -> str:
        """The value of `Preference-Applied`."""
        parts = ["respond-async"] if self.respond_async else []
        return ", ".join([*parts, *([] if self.wait_s is None else [f"wait={self.wait_s}"])])


def _best(accept: str) -> str:
    """The supported media type with the highest quality; the first of equal ones."""
    if not accept.strip():
        return "*/*"
    offered = [
        (quality, media_type) for quality, media_type in _accepted(accept) if media_type in _FORMS and quality > 0
    ]
    if not offered:
        raise NotAcceptable(
            "Accept application/json, text/event-stream, or image/webp, image/png or image/jpeg for a single picture."
        )
    return max(offered, key=lambda item: item[0])[1]


def _accepted(accept: str) -> Iterator[tuple[float, str]]:
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        found = next((match for part in parameters if (match := _QUALITY.fullmatch(part))), None)
        yield (float(found[1]) if found else 1.0), media_type
