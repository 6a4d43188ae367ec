"""Convert a selfie (path, URL, base64, bytes or file) to the text of a request's field."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import IO, Union

Selfie = Union[str, bytes, "os.PathLike[str]", IO[bytes]]
"""A path, an https URL, a data URI, base64 text, the bytes of a picture, or an open file."""

MAX_BYTES = 7 * 2**20
_URL = re.compile(r"https?://", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]{200,}")


def selfie_text(selfie: Selfie) -> str:
    """The value of the field `selfie`. Raises `ValueError` or `OSError` if there is no picture to send."""
    if isinstance(selfie, str) and (_URL.match(selfie) or selfie.startswith("data:")):
        return selfie
    if isinstance(selfie, str) and _BASE64.fullmatch(selfie) and not _is_file(selfie):
        return selfie
    return base64.b64encode(_content(selfie)).decode()


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # longer than a file name can be
        return False


def _content(selfie: Selfie) -> bytes:
    if isinstance(selfie, bytes):
        data = selfie
    elif isinstance(selfie, (str, os.PathLike)):
        data = Path(selfie).read_bytes()
    else:
        data = selfie.read()
    if not data:
        raise ValueError("The selfie is empty.")
    if len(data) > MAX_BYTES:
        raise ValueError(f"The selfie has {len(data):,} bytes; the limit is {MAX_BYTES:,}. Send a smaller one.")
    return data
