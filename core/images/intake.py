"""Open a selfie that a caller sent: base64, a data URI or an https URL.

May import: core.contracts, core.errors, core.images.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from core.errors import BadPicture
from core.images.base64_text import decode_base64
from core.images.decoder_process import decode, executor
from core.images.decoding import OpenedPicture
from core.images.limits import DEFAULT_LIMITS, Fetch, IntakeLimits

if TYPE_CHECKING:
    from PIL.Image import Image

_SCHEME = re.compile(r"\s{0,100}[a-z][a-z0-9+.-]{0,30}://", re.ASCII | re.IGNORECASE)


async def open_selfie(
    selfie: str, *, fetch: Fetch | None = None, limits: IntakeLimits = DEFAULT_LIMITS
) -> OpenedPicture:
    """Open `selfie` as an upright RGB picture without metadata.

    Raises `BadPicture`, `BadUrl`, `TooLarge`, and `DeadlineExceeded` if the machine is too busy to decode it.
    """
    loop = asyncio.get_running_loop()
    if _SCHEME.match(selfie):
        data = await (fetch or _https_fetch())(selfie.strip(), limits)
        return await loop.run_in_executor(executor(), decode, data, limits)
    return await loop.run_in_executor(executor(), _from_base64, selfie, limits)


def _from_base64(text: str, limits: IntakeLimits) -> OpenedPicture:
    return decode(decode_base64(text, limits), limits)


async def open_generated(picture: str, *, limits: IntakeLimits = DEFAULT_LIMITS) -> Image:
    """`picture` (base64 only) as an upright RGB picture. Raises `BadPicture`, also if its end is missing."""
    opened = await asyncio.get_running_loop().run_in_executor(executor(), _from_base64, picture, limits)
    if opened.kept < 1:
        raise BadPicture("The picture is incomplete: its end is missing. Send the whole file.")
    return opened.image


def _https_fetch() -> Fetch:
    from core.images.fetch import HttpsFetch

    return HttpsFetch()
