"""Decode a picture file to an upright RGB picture without metadata.

Format, size and the number of a JPEG's scans are checked before any pixel is decoded. A large JPEG is decoded at 1/2,
1/4 or 1/8 of its size, which its discrete cosine transform allows at a fraction of the memory; any other large picture
is averaged down as soon as it is decoded, before its colours are converted. `core.images.decoder_process` runs this in
a separate process, which bounds its time and memory.

May import: core.errors, core.images, Pillow; pillow-heif for a HEIC.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageFile

from core.errors import BadPicture, TooLarge
from core.images.formats import count_scans, sniff
from core.images.limits import DEFAULT_LIMITS, IntakeLimits, too_many_bytes, too_many_pixels

BACKGROUND = (128, 128, 128)
"""Fills transparent areas and the missing part of a truncated picture. Mid-gray is neither under- nor over-exposed."""
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
"""EXIF 2.32, tag Orientation: the transposition that makes the stored picture upright."""
_SIXTEEN_BIT_ROWS = 256
_MARKER: dict[str, float | tuple[int, ...]] = {"L": 77, "RGB": (254, 1, 253), "CMYK": (254, 1, 253, 2)}
"""A colour that rows of a truncated JPEG are filled with before decoding, so that missing rows can be counted."""
_WITHHELD_ROWS = 32
"""libjpeg delays two rows of blocks until more bytes come. If no more rows are missing, only the end marker may be."""
_GRAY: dict[str, float | tuple[int, ...]] = {"L": BACKGROUND[0], "RGB": BACKGROUND, "CMYK": (128, 128, 128, 0)}
_COARSE_SCANS = {1: 4, 3: 6, 4: 6}
"""Scans of libjpeg's progressive script, by components, after which every frequency is known to a quarter."""
_COARSE_SHARE = 0.9
"""Nominal: the last scans of a progressive JPEG refine all of it."""


@dataclass(frozen=True, slots=True)
class OpenedPicture:
    """A decoded picture. `scale`: px of the file per px of `image`; `kept`: readable share of the file's picture."""

    image: Image.Image
    scale: float = 1.0
    kept: float = 1.0


def open_picture(
    data: bytes, limits: IntakeLimits = DEFAULT_LIMITS, *, before_pixels: Callable[[float], None] | None = None
) -> OpenedPicture:
    """Decode `data` to an upright RGB picture without metadata; of several pictures the first. Blocks.

    `before_pixels` is called with the CPU seconds that decoding may take, once the size is known. Raises `BadPicture`
    and `TooLarge`.
    """
    if len(data) > limits.max_bytes:
        raise too_many_bytes(limits)
    image_format = sniff(data)
    scans = count_scans(data) if image_format == "JPEG" else 0
    if scans > limits.max_scans:
        raise BadPicture(f"The JPEG has more than {limits.max_scans} scans. Save it as a baseline JPEG.")
    if image_format == "HEIF":
        _register_heif()
    try:
        with _own_pixel_limit(), Image.open(io.BytesIO(data), formats=[image_format]) as image:
            size = image.size
            _check_size(size, image_format, scans, limits)
            if before_pixels is not None:
                before_pixels(limits.cpu_s(image_format, size[0] * size[1]))
            return _decoded(image, data, scans, limits)
    except (BadPicture, TooLarge):
        raise
    except MemoryError:
        raise TooLarge("The picture needs more memory than decoding may take. Send a smaller one.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_many_pixels(limits.max_pixels) from None
    except Exception:  # noqa: BLE001 - decoders raise a dozen kinds for a hostile file, struct.error to RuntimeError
        raise BadPicture("The picture is damaged: it can't be decoded.") from None


def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, aux_images=False, depth_images=False, decode_threads=4)


@contextmanager
def _own_pixel_limit() -> Iterator[None]:
    """Disable Pillow's pixel limit, which is below a phone's 200 megapixels; `_check_size` applies our limits."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _check_size(size: tuple[int, int], image_format: str, scans: int, limits: IntakeLimits) -> None:
    width, height = size
    most = limits.pixels(image_format, scans)
    if width * height > most:
        larger = most < limits.max_jpeg_pixels
        raise too_many_pixels(most, "Send it as a baseline JPEG, or smaller." if larger else "Send a smaller one.")
    if min(width, height) < limits.min_side:
        raise BadPicture(f"The picture's shorter side has less than {limits.min_side} px. Send a larger picture.")
    if max(width, height) > limits.max_aspect * min(width, height):
        raise BadPicture(f"The longer side is over {limits.max_aspect:g} times the shorter side. Crop the picture.")


def _decoded(image: Image.Image, data: bytes, scans: int, limits: IntakeLimits) -> OpenedPicture:
    full, kept = image.size, 1.0
    if image.format in {"JPEG", "MPO"}:
        _choose_scale(image, limits)
        image, kept = _loaded_jpeg(image, data, scans, limits)
    else:
        image.load()
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    image = _in_rgb(_reduced(image, limits), profile)
    scale = max(full) / max(image.size)
    turn = _UPRIGHT.get(orientation)
    return OpenedPicture(_only_pixels(image if turn is None else image.transpose(turn)), scale, kept)


def _choose_scale(jpeg: Image.Image, limits: IntakeLimits) -> None:
    width, height = jpeg.size
    for scale in (1, 2, 4, 8):
        if width * height <= limits.max_decoded_pixels * scale * scale:
            if scale > 1:
                jpeg.draft(None, (width // scale, height // scale))
            return


def _reduced(image: Image.Image, limits: IntakeLimits) -> Image.Image:
    """`image` averaged down to `max_decoded_pixels` by an integer factor, in its own mode if that can be averaged."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _in_eight_bits(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    factor = 1
    while image.width * image.height > limits.max_decoded_pixels * factor * factor:
        factor += 1
    if factor == 1:
        return image
    info = image.info
    if image.mode == "1":
        image = image.convert("L")
    reduced = image.reduce(factor)
    reduced.info = info
    return reduced


def _loaded_jpeg(image: Image.Image, data: bytes, scans: int, limits: IntakeLimits) -> tuple[Image.Image, float]:
    """The readable part of a JPEG, and its share of the whole. Raises `BadPicture` if too much is missing."""
    marker = _MARKER.get(image.mode) if scans <= 1 else None
    if marker is not None and isinstance(image, ImageFile.ImageFile):
        image.load_prepare()
        image.im.paste(marker, (0, 0, *image.size))
    try:
        image.load()
    except OSError:
        if scans > 1:
            return _coarse_jpeg(data, scans, limits), _COARSE_SHARE
        if marker is None or not isinstance(image, ImageFile.ImageFile):
            raise
    else:
        return image, 1.0
    image.tile = []  # what was decoded stays in the picture, and is not decoded again
    rows = _rows_before(image, marker)
    kept = rows / image.height
    if kept < limits.min_kept:
        raise _incomplete()
    if image.height - rows <= _WITHHELD_ROWS:
        return _with_end(data, limits), kept
    image.paste(_GRAY[image.mode], (0, rows, *image.size))
    return image, kept


def _coarse_jpeg(data: bytes, scans: int, limits: IntakeLimits) -> Image.Image:
    """A progressive JPEG whose last scans are missing: the whole picture, less sharp."""
    image = _with_end(data, limits)
    if scans < _COARSE_SCANS.get(len(image.getbands()), 6):
        raise _incomplete()
    return image


def _with_end(data: bytes, limits: IntakeLimits) -> Image.Image:
    """A JPEG decoded with the end marker that it lacks; libjpeg fills in what is missing."""
    image = Image.open(io.BytesIO(data + b"\xff\xd9"), formats=["JPEG"])
    _choose_scale(image, limits)
    image.load()
    return image


def _rows_before(image: Image.Image, marker: float | tuple[int, ...]) -> int:
    """Return the number of decoded rows: all but the rows at the bottom that have only the marker's colour."""
    marked = marker if isinstance(marker, tuple) else (marker,)
    rows = image.height
    while rows and image.crop((0, rows - 1, image.width, rows)).getextrema() == _extrema(marked):
        rows -= 1
    return rows


def _extrema(marker: tuple[float, ...]) -> object:
    pairs = tuple((level, level) for level in marker)
    return pairs[0] if len(pairs) == 1 else pairs


def _incomplete() -> BadPicture:
    return BadPicture("The picture is incomplete: its end is missing. Send the whole file.")


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation; upright if the EXIF can't be read, as in files of some cameras and messengers.

    HEIC and AVIF store their rotation in the container; the decoder has already applied it and set EXIF's to upright.
    """
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except (ValueError, OSError, SyntaxError, LookupError, TypeError, ArithmeticError, Warning):
        return 1
    return orientation if isinstance(orientation, int) else 1


def _in_rgb(image: Image.Image, profile: object) -> Image.Image:
    if image.mode in {"LA", "La", "PA", "RGBa"} or (image.mode in {"1", "L", "RGB"} and "transparency" in image.info):
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = _in_srgb(image.convert("RGB") if alpha else image, profile)
    if alpha is None:
        return colours
    return Image.composite(colours, Image.new("RGB", colours.size, BACKGROUND), alpha)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit gray scaled to 8 bits, some rows at a time; Pillow's own conversion clips it to white."""
    gray = Image.new("L", image.size)
    for top in range(0, image.height, _SIXTEEN_BIT_ROWS):
        rows = image.crop((0, top, image.width, min(top + _SIXTEEN_BIT_ROWS, image.height)))
        gray.paste(rows.convert("F").point(lambda level: level / 257).convert("L"), (0, top))
    gray.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return gray


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """The colours of a wide-gamut or CMYK picture in sRGB; a profile that can't be used is ignored."""
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
    """A new picture with only the pixels: no `info`, EXIF, XMP, comment or profile."""
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    return clean
