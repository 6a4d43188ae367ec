"""A stranger's picture in, an upright RGB picture without metadata out.

Everything is checked before it costs: the length before base64 is decoded, the format by its first bytes, the size and
a JPEG's passes before a pixel is decoded. Decoding runs in two threads of its own, so that a flood of large pictures
takes their memory twice and not a hundred times, and never holds up the event loop.
"""

from __future__ import annotations

import asyncio
import binascii
import io
import re
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, ImageCms

from core.errors import BadPicture, TooLarge
from core.images.limits import DEFAULT_LIMITS, Fetch, IntakeLimits, too_many_bytes

PARALLEL_DECODES = 2
BACKGROUND = (128, 128, 128)
"""What shows through a transparent picture: mid-gray, which neither over- nor under-exposes what is measured later."""
_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag Orientation: what has to be done to a picture whose sensor was held that way."""
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"})
_DATA_URI = re.compile(r"data:[\w.+/;=-]{0,100}?;base64,", re.ASCII | re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}://", re.ASCII | re.IGNORECASE)
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN = 0xDA
_ALONE = frozenset({0x01, 0xD8, 0xD9})
"""JPEG markers that no length follows: TEM, SOI, EOI."""
_decoders = ThreadPoolExecutor(PARALLEL_DECODES, thread_name_prefix="decode")


async def open_selfie(selfie: str, *, fetch: Fetch | None = None, limits: IntakeLimits = DEFAULT_LIMITS) -> Image.Image:
    """`selfie` (base64, data URI or https URL) as an upright RGB picture that carries nothing but its pixels.

    Base64 is the standard alphabet, padded or not, without line breaks. Raises `BadPicture`, `BadUrl`, `TooLarge`.
    """
    if _SCHEME.match(selfie):
        data = await (fetch or _https_fetch())(selfie, limits)
    else:
        data = decode_base64(selfie, limits)
    return await asyncio.get_running_loop().run_in_executor(_decoders, open_picture, data, limits)


async def open_generated(picture: str, *, limits: IntakeLimits = DEFAULT_LIMITS) -> Image.Image:
    """`picture` (base64 only) as an upright RGB picture. Raises `BadPicture`, `TooLarge`."""
    data = decode_base64(picture, limits)
    return await asyncio.get_running_loop().run_in_executor(_decoders, open_picture, data, limits)


def _https_fetch() -> Fetch:
    from core.images.fetch import HttpsFetch

    return HttpsFetch()


def decode_base64(text: str, limits: IntakeLimits = DEFAULT_LIMITS) -> bytes:
    """The bytes in base64 or a base64 data URI. Raises `BadPicture` and `TooLarge`."""
    head = _DATA_URI.match(text)
    start = head.end() if head else 0
    if head is None and text[:5].lower() == "data:":
        raise BadPicture("A data URI must be in base64: data:image/jpeg;base64,… .")
    if len(text) - start > -(-limits.max_bytes // 3) * 4:
        raise too_many_bytes(limits)
    body = text[start:].rstrip("=")
    padding = -len(body) % 4
    try:
        data = binascii.a2b_base64(body.encode("ascii") + b"=" * padding, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        data = None
    if data is None or len(text) - start - len(body) not in {0, padding}:
        raise BadPicture("The picture is not base64: use the standard alphabet, without line breaks.")
    if not data:
        raise BadPicture("The picture is empty.")
    return data


def sniff(data: bytes) -> str:
    """Pillow's name of the format that `data` begins as. Raises `BadPicture` for all but JPEG, PNG, WebP and HEIC."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "HEIF"
    raise BadPicture("This is no picture we can open. Send a JPEG, PNG, WebP or HEIC.")


def open_picture(data: bytes, limits: IntakeLimits = DEFAULT_LIMITS) -> Image.Image:
    """`data` decoded, upright, in RGB, without metadata; the first picture of several. Blocks.

    Raises `BadPicture` and `TooLarge`.
    """
    if len(data) > limits.max_bytes:
        raise too_many_bytes(limits)
    image_format = sniff(data)
    if image_format == "JPEG" and count_scans(data) > limits.max_scans:
        raise BadPicture(f"The JPEG is drawn in more than {limits.max_scans} passes. Save it again as a plain one.")
    if image_format == "HEIF":
        _register_heif()
    try:
        with Image.open(io.BytesIO(data), formats=[image_format]) as image:
            _check_size(image.width, image.height, limits)
            image.load()
            return _only_pixels(_turned_upright(image))
    except (BadPicture, TooLarge):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(limits) from None
    except Exception:  # noqa: BLE001 - decoders raise a dozen kinds for a hostile file, struct.error to RuntimeError
        raise BadPicture("The picture is damaged: it can't be decoded.") from None


def count_scans(jpeg: bytes) -> int:
    """How many passes draw `jpeg`. A progressive one has about 10; thousands cost minutes in a few kilobytes."""
    scans, at = 0, 0
    while marker := _JPEG_MARKER.search(jpeg, at):
        code = marker.group(1)[0]
        scans += code == _START_OF_SCAN
        length = 0 if code in _ALONE else int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
        at = marker.end() + length
    return scans


def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, aux_images=False, depth_images=False, decode_threads=2)


def _check_size(width: int, height: int, limits: IntakeLimits) -> None:
    if width * height > limits.max_pixels:
        raise _too_many_pixels(limits)
    if min(width, height) < limits.min_side:
        raise BadPicture(f"The picture's shorter side has less than {limits.min_side} px.")
    if max(width, height) > limits.max_aspect * min(width, height):
        raise BadPicture(f"The picture is more than {limits.max_aspect:g} times as long as it is wide.")


def _too_many_pixels(limits: IntakeLimits) -> TooLarge:
    return TooLarge(f"The picture has more than {limits.max_pixels // 1_000_000} megapixels. Send a smaller one.")


def _turned_upright(image: Image.Image) -> Image.Image:
    return _in_rgb(image) if (turn := _UPRIGHT.get(_orientation(image))) is None else _in_rgb(image).transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Cameras and messengers write EXIF that no reader agrees on: what can't be read is taken as upright.

    HEIC has its turn in the container, where its decoder has already applied it and set EXIF's to upright.
    """
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except (ValueError, OSError, SyntaxError, LookupError, TypeError, ArithmeticError, Warning):
        return 1
    return orientation if isinstance(orientation, int) else 1


def _in_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = _in_eight_bits(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in {"LA", "La", "PA", "RGBa"} or (image.mode in {"1", "L", "RGB"} and "transparency" in image.info):
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = _in_srgb(image.convert("RGB") if alpha else image, profile)
    if alpha is None:
        return colours
    return Image.composite(colours, Image.new("RGB", colours.size, BACKGROUND), alpha)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit gray scaled to 8 bits; Pillow's own conversion clips it, and all but the shadows turns white."""
    return image.convert("F").point(lambda level: level / 257).convert("L")


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Colours of a wide-gamut camera or a printer's picture as sRGB; a profile that can't be used is left out."""
    if isinstance(profile, bytes) and image.mode in {"RGB", "L", "CMYK"}:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if ImageCms.getProfileDescription(source).startswith("sRGB"):
                return image.convert("RGB")
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert("RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")


def _only_pixels(image: Image.Image) -> Image.Image:
    """A new picture: `info`, EXIF, XMP, comments and profiles stay with the old one."""
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    return clean
