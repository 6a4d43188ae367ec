"""File formats of incoming pictures, detected by their first bytes."""

from __future__ import annotations

import re

from core.contracts import SELFIE_FORMATS
from core.errors import BadPicture

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_ANY_HEIF_BRANDS = frozenset({b"mif1", b"msf1", b"miaf"})
"""Generic brands of the container; the codec is named by one of the compatible brands."""
_MAX_FILE_TYPE_BOX = 256
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
"""A marker followed by a length, or EOI. One `FF` is enough: the search skips fill bytes, and `FF+` is quadratic."""
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_MAX_SEGMENTS = 10_000
"""A camera writes fewer than a hundred."""


def sniff(data: bytes) -> str:
    """Pillow's name of the format that `data` begins with. Raises `BadPicture` for any but `SELFIE_FORMATS`."""
    for signature, image_format in _SIGNATURES:
        if data.startswith(signature):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and (image_format := _heif_format(data)):
        return image_format
    raise BadPicture(f"The file is not a picture in a supported format. Send a {SELFIE_FORMATS}.")


def _heif_format(data: bytes) -> str:
    """`HEIF` or `AVIF` by the brands of an ISO base media file (ISO/IEC 23008-12 §10), empty for any other."""
    major = data[8:12]
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major in _HEIC_BRANDS:
        return "HEIF"
    if major not in _ANY_HEIF_BRANDS:
        return ""
    end = min(int.from_bytes(data[:4], "big"), _MAX_FILE_TYPE_BOX)
    compatible = {data[at : at + 4] for at in range(16, end, 4)}
    return "AVIF" if compatible & _AVIF_BRANDS and not compatible & _HEIC_BRANDS else "HEIF"


def count_scans(jpeg: bytes) -> int:
    """The number of scans (passes) of the first picture in `jpeg`; 10 is usual for a progressive one.

    Raises `BadPicture` for more segments than any encoder writes.
    """
    scans, at = 0, 0
    for _ in range(_MAX_SEGMENTS):
        marker = _JPEG_MARKER.search(jpeg, at)
        if marker is None or (code := marker.group(1)[0]) == _END_OF_IMAGE:
            return scans
        scans += code == _START_OF_SCAN
        at = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    raise BadPicture("The JPEG has more segments than any encoder writes. Save it as a baseline JPEG.")
