"""Decoding of incoming pictures to upright RGB without metadata, and encoding of finished pictures with a mark.

May import: core.contracts, core.errors, core.safe_http, Pillow, httpx; pillow-heif and c2pa where a picture needs them.
"""

from core.contracts import ImageFormat
from core.images.decoding import OpenedPicture, open_picture
from core.images.encoding import CONTENT_TYPES, Signer, encode, shrink_to_fit
from core.images.intake import open_generated, open_selfie
from core.images.limits import Fetch, IntakeLimits
from core.images.marks import Recipe, inspect

__all__ = [
    "CONTENT_TYPES",
    "Fetch",
    "ImageFormat",
    "IntakeLimits",
    "OpenedPicture",
    "Recipe",
    "Signer",
    "encode",
    "inspect",
    "open_generated",
    "open_picture",
    "open_selfie",
    "shrink_to_fit",
]
