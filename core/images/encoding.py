"""Encode finished pictures as PNG, JPEG or WebP, always with their mark.

Measured for 1024² px on two CPU cores: WebP of quality 92 takes 53 ms at method 0 and 135 ms at method 4 for the same
480 kB; PNG 110 ms at level 1; JPEG 7 ms for 930 kB.
"""

from __future__ import annotations

import io
from typing import Any, Protocol

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.contracts import ImageFormat
from core.errors import TooLarge
from core.images.marks import Recipe, to_xmp

QUALITY = 92
_LADDER = (92, 85, 75, 60, 45, 30, 15)

CONTENT_TYPES: dict[ImageFormat, str] = {"webp": "image/webp", "png": "image/png", "jpeg": "image/jpeg"}


class Signer(Protocol):
    """Signs an encoded picture. Signing is the last step, because a byte changed afterwards breaks the signature."""

    def sign(self, data: bytes, *, content_type: str, recipe: Recipe) -> bytes: ...


def encode(image: Image.Image, *, image_format: ImageFormat, recipe: Recipe, signer: Signer | None = None) -> bytes:
    """Encode `image` (RGB) as a marked file. Unsigned, the same pixels and recipe give the same bytes."""
    return _encode(image, image_format, recipe, signer, QUALITY)


def shrink_to_fit(
    image: Image.Image, *, max_bytes: int, recipe: Recipe, signer: Signer | None = None
) -> tuple[bytes, ImageFormat]:
    """Encode `image` as the best WebP of at most `max_bytes`, in its own size. Raises `TooLarge` if none fits."""
    for quality in _LADDER:
        data = _encode(image, "webp", recipe, signer, quality)
        if len(data) <= max_bytes:
            return data, "webp"
    raise TooLarge("The picture exceeds the platform's limit for answers. Ask for a smaller one, or configure storage.")


def _encode(
    image: Image.Image, image_format: ImageFormat, recipe: Recipe, signer: Signer | None, quality: int
) -> bytes:
    xmp = to_xmp(recipe)
    settings: dict[ImageFormat, dict[str, Any]] = {
        "webp": {"quality": quality, "method": 0, "xmp": xmp},
        "png": {"compress_level": 1, "pnginfo": _png_text(xmp)},
        "jpeg": {"quality": quality, "subsampling": "4:4:4", "xmp": xmp},
    }
    with io.BytesIO() as file:
        _bare(image).save(file, format=image_format.upper(), **settings[image_format])
        data = file.getvalue()
    return signer.sign(data, content_type=CONTENT_TYPES[image_format], recipe=recipe) if signer else data


def _png_text(xmp: bytes) -> PngInfo:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8"))
    return text


def _bare(image: Image.Image) -> Image.Image:
    """A copy in RGB without `info`, whose profile and EXIF Pillow would write into the file."""
    bare = image.convert("RGB")
    bare.info = {}
    return bare
