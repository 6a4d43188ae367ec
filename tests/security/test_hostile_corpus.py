"""A corpus of hostile files, built here: each is decoded or refused with a typed error, within a limit of CPU time.

The limit is that of the decoder process (at most two seconds), so no clock is read: a file that takes longer is refused
when the process is ended. Only the marker scan and base64, which run before that, are checked for growth in
test_growth.py.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import pillow_heif
import pytest
from PIL import Image

from core.errors import BadPicture, TooLarge
from core.images.decoder_process import DecoderProcess
from core.images.limits import DEFAULT_LIMITS

pillow_heif.register_heif_opener()
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "BMP", "TIFF")
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def process() -> Iterator[DecoderProcess]:
    process = DecoderProcess()
    yield process
    process.end()


@cache
def picture(image_format: str) -> bytes:
    image = Image.merge("RGB", [Image.effect_mandelbrot((320, 240), (-2, -1.5, 1, 1.5), 20 + n) for n in range(3)])
    with io.BytesIO() as file:
        image.save(file, image_format)
        return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *middle: bytes, colour_type: int = 2, depth: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(middle) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    return zlib.compress(b"\x00" * count, 9)


def bmp(width: int, height: int, body: bytes, *, bits: int = 24, compression: int = 0) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, 0, 0)
    palette = b"\x00" * 4 * (256 if bits == 8 else 0)
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + palette + body


def gif(width: int, height: int, body: bytes) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\x00" * 6
    return head + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + body + b"\x3b"


def tiff(width: int, height: int, body: bytes, *, compression: int, rows: int) -> bytes:
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, 1, len(body)),
    ]  # fmt: skip
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + b"\x00" * 4
    return b"II*\x00" + struct.pack("<I", 8 + len(body)) + body + table


def with_size(image_format: str, width: int, height: int) -> bytes:
    """A valid file whose header claims another size."""
    data = bytearray(picture(image_format))
    if image_format == "JPEG":
        at = data.find(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif image_format in {"HEIF", "AVIF"}:
        at = data.find(b"ispe")
        data[at + 8 : at + 16] = struct.pack(">II", width, height)
    elif image_format == "WEBP":
        at = data.find(b"VP8 ")
        data[at + 14 : at + 18] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    return bytes(data)


def scans(count: int) -> bytes:
    """A JPEG of 30 megapixels whose one scan is repeated."""
    data = with_size("JPEG", 6_000, 5_000)
    start = data.rfind(b"\xff\xda")
    return data[:-2] + data[start:-2] * count + data[-2:]


BOMBS: dict[str, bytes] = {
    "jpeg of FF alone": b"\xff\xd8\xff" + b"\xff" * (7 * MEGABYTE - 3),
    "jpeg with FF behind its end": picture("JPEG") + b"\xff" * (6 * MEGABYTE),
    "jpeg with FF in front of a marker": picture("JPEG")[:2] + b"\xff" * (6 * MEGABYTE) + picture("JPEG")[2:],
    "jpeg of empty segments": b"\xff\xd8\xff" + b"\xe0\x00\x00\xff" * (1 * MEGABYTE),
    "jpeg of markers without length": b"\xff\xd8\xff" + b"\x01\xff" * (3 * MEGABYTE),
    "jpeg of restarts": b"\xff\xd8\xff" + b"\xd0\xff" * (3 * MEGABYTE),
    "jpeg of 200 megapixels in 20 kB": with_size("JPEG", 16_000, 12_500),
    "jpeg of 65535 px": with_size("JPEG", 65_535, 65_535),
    "jpeg of 30 megapixels and 30 scans": scans(29),
    "jpeg of a thousand scans": scans(1_000),
    "png of 39 megapixels of nothing": png(7_000, 5_600, chunk(b"IDAT", zeros(5_600 * 21_001))),
    "png of 39 megapixels, 16 bits": png(7_000, 5_600, chunk(b"IDAT", zeros(5_600 * 14_001)), colour_type=0, depth=16),
    "png of 39 megapixels of palette": png(
        7_000, 5_600, chunk(b"PLTE", b"\x00" * 768), chunk(b"IDAT", zeros(5_600 * 7_001)), colour_type=3
    ),
    "png of more data than pixels": png(64, 64, chunk(b"IDAT", zeros(150 * MEGABYTE))),
    "png of a text bomb": png(64, 64, chunk(b"zTXt", b"a\x00\x00" + zeros(80 * MEGABYTE))),
    "png of many text bombs": png(64, 64, *[chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + zeros(30 * MEGABYTE))] * 60),
    "png of a profile bomb": png(64, 64, chunk(b"iCCP", b"a\x00\x00" + zeros(80 * MEGABYTE))),
    "png of 400,000 chunks": png(64, 64, chunk(b"tEXt", b"a\x00b") * 400_000),
    "webp of 16383 px": with_size("WEBP", 16_383, 16_383),
    "webp of 30 megapixels": with_size("WEBP", 6_000, 5_000),
    "heic of 49 megapixels": with_size("HEIF", 7_000, 7_000),
    "heic of 4 gigapixels": with_size("HEIF", 65_535, 65_535),
    "avif of 39 megapixels": with_size("AVIF", 7_000, 5_600),
    "gif of 39 megapixels": gif(7_000, 5_600, b"\x08" + b"\xff" + b"\x00" * 255 + b"\x00"),
    "gif of 65535 px": gif(65_535, 65_535, b"\x08\x00"),
    "gif of clear codes": gif(7_000, 5_600, b"\x02" + (b"\xff" + b"\x24" * 255) * 20_000 + b"\x00"),
    "gif of comments": picture("GIF")[:13] + (b"\x21\xfe\x01a\x00" * 1_000_000) + picture("GIF")[13:],
    "bmp of 39 megapixels of run lengths": bmp(7_000, 5_600, b"\x01\x00" * 3_000_000, bits=8, compression=1),
    "bmp of jumps": bmp(7_000, 5_600, b"\x00\x02\xff\xff" * 1_500_000, bits=8, compression=1),
    "bmp of no height": bmp(7_000, 0, b""),
    "bmp of two gigapixels": bmp(2**31 - 1, 2**31 - 1, b""),
    "tiff of 39 megapixels": tiff(7_000, 5_600, zeros(7_000 * 5_600), compression=8, rows=5_600),
    "tiff of strips": tiff(7_000, 5_600, zeros(7_000), compression=8, rows=1),
    "tiff that points at itself": b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00" * 1_000,
    "tiff of a fax": tiff(7_000, 5_600, b"\x00" * 5 * MEGABYTE, compression=4, rows=5_600),
}


def check(process: DecoderProcess, data: bytes) -> DecoderProcess:
    """Decode `data`; start a new process if the last one was ended."""
    try:
        image = process.decode(data, DEFAULT_LIMITS).image
    except (BadPicture, TooLarge):
        image = Image.new("RGB", (32, 32))
    assert (image.mode, image.info) == ("RGB", {})
    assert image.width * image.height <= DEFAULT_LIMITS.max_decoded_pixels
    return process if process.alive else DecoderProcess()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_or_decoded_within_the_bounds(process: DecoderProcess, name: str) -> None:
    check(process if process.alive else DecoderProcess(), BOMBS[name]).end()


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_truncation_is_refused_or_decoded(image_format: str) -> None:
    data, process = picture(image_format), DecoderProcess()
    for at in sorted({*range(0, 64, 7), *range(64, len(data), len(data) // 12)}):
        process = check(process, data[:at])
    process.end()


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_mutation_is_refused_or_decoded(image_format: str) -> None:
    chance, process = random.Random(image_format), DecoderProcess()
    for _ in range(20):
        data = bytearray(picture(image_format))
        for _ in range(chance.randint(1, 12)):
            # Half of the changes are in the first bytes, where sizes and offsets are.
            at = chance.randrange(min(len(data), 400) if chance.random() < 0.5 else len(data))
            data[at] = chance.choice([0, 0xFF, 0x7F, 0x80, chance.randrange(256)])
        process = check(process, bytes(data))
    process.end()


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_polyglot_of_every_two_formats_is_one_of_them(image_format: str) -> None:
    process = DecoderProcess()
    for other in FORMATS:
        process = check(process, picture(image_format) + picture(other))
        process = check(process, picture(image_format)[:16] + picture(other))
        process = check(process, picture(image_format)[:16] + picture(other)[16:])
    process.end()
