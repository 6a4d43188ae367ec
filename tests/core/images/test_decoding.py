"""A picture file of any accepted kind is decoded to an upright RGB picture without metadata."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, ImageCms

from core.contracts import SELFIE_FORMATS
from core.errors import BadPicture, TooLarge
from core.images import open_picture
from core.images.decoding import BACKGROUND
from core.images.formats import count_scans, sniff

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (30, 50, 220), (250, 250, 250)
CORNERS = (RED, GREEN, BLUE, WHITE)
SIZE = (96, 64)


def corners() -> Image.Image:
    """A picture with a different colour in each corner, so that every rotation and reflection of it is different."""
    image = Image.new("RGB", SIZE)
    width, height = SIZE[0] // 2, SIZE[1] // 2
    for place, colour in enumerate(CORNERS):
        image.paste(
            colour, (place % 2 * width, place // 2 * height, (place % 2 + 1) * width, (place // 2 + 1) * height)
        )
    return image


def opened(data: bytes) -> Image.Image:
    return open_picture(data).image


def saved(image: Image.Image, image_format: str, **settings: object) -> bytes:
    with io.BytesIO() as file:
        image.save(file, format=image_format, **settings)
        return file.getvalue()


def assert_corners(image: Image.Image, tolerance: int = 40) -> None:
    assert image.mode == "RGB"
    assert image.size == SIZE
    spots = [(8, 8), (SIZE[0] - 9, 8), (8, SIZE[1] - 9), (SIZE[0] - 9, SIZE[1] - 9)]
    for spot, colour in zip(spots, CORNERS, strict=True):
        seen = image.getpixel(spot)
        assert isinstance(seen, tuple)
        assert max(abs(a - b) for a, b in zip(seen, colour, strict=True)) <= tolerance, (spot, seen, colour)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "BMP", "TIFF"])
def test_every_accepted_format_opens(image_format: str) -> None:
    if image_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    assert_corners(opened(saved(corners(), image_format)), tolerance=60)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_a_tiff_of_every_usual_compression_opens(compression: str | None) -> None:
    assert_corners(opened(saved(corners(), "TIFF", compression=compression)), tolerance=60)


def test_avif_with_the_generic_brand_opens() -> None:
    data = saved(corners(), "AVIF")
    assert data[8:12] == b"avif"
    assert b"mif1" in data[16:40]
    general = data[:8] + b"mif1" + data[12:]
    assert sniff(general) == "AVIF"
    assert_corners(opened(general), tolerance=60)


def test_refusal_of_an_unknown_format_lists_all_accepted_ones() -> None:
    with pytest.raises(BadPicture, match=SELFIE_FORMATS):
        opened(b"%PDF-1.7")


AS_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What a camera held that way writes: EXIF 6 means "turn me right to see me upright", so it was stored turned left."""


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize("orientation", AS_STORED)
def test_every_exif_orientation_is_applied(image_format: str, orientation: int) -> None:
    if image_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    turn = AS_STORED[orientation]
    stored = corners() if turn is None else corners().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_corners(opened(saved(stored, image_format, exif=exif.tobytes())))


def test_invalid_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert_corners(opened(saved(corners(), "JPEG", exif=exif)))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_incoming_pictures_keep_only_their_pixels(image_format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "CanaryCam"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">canary</x:xmpmeta>'
    settings: dict[str, object] = {"exif": exif, "icc_profile": profile}
    if image_format != "PNG":
        settings["xmp"] = xmp
    data = saved(corners(), image_format, **settings)
    assert b"CanaryCam" in data
    image = opened(data)
    assert image.info == {}
    assert not image.getexif()
    again = saved(image, image_format)
    assert b"anary" not in again
    assert b"Exif" not in again


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png_becomes_rgb(mode: str) -> None:
    image = opened(saved(corners().convert(mode), "PNG"))
    assert (image.mode, image.size) == ("RGB", SIZE)


def test_a_palette_keeps_its_colours() -> None:
    assert_corners(opened(saved(corners().quantize(8), "PNG")))


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_transparency_is_flattened_on_gray(image_format: str) -> None:
    image = Image.new("RGBA", SIZE, (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 48, 64))
    seen = opened(saved(image, image_format, lossless=True))
    assert seen.getpixel((90, 30)) == BACKGROUND
    assert seen.getpixel((10, 30)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_single_transparent_colour_is_flattened_too(mode: str) -> None:
    image = Image.new("RGB", SIZE, (0, 0, 51)).convert(mode)
    transparent = image.getpixel((0, 0))
    seen = opened(saved(image, "PNG", transparency=transparent))
    assert seen.getpixel((5, 5)) == BACKGROUND


def test_sixteen_bit_gray_is_scaled_and_not_clipped() -> None:
    image = Image.new("I;16", SIZE, 0)
    for x in range(SIZE[0]):
        for y in range(SIZE[1]):
            image.putpixel((x, y), round(65535 * x / (SIZE[0] - 1)))
    seen = opened(saved(image, "PNG"))
    assert [seen.getpixel((x, 0)) for x in (0, 95)] == [(0, 0, 0), (255, 255, 255)]
    middle = seen.getpixel((48, 0))
    assert isinstance(middle, tuple)
    assert abs(middle[0] - 128) <= 2


def test_sixteen_bit_colour_is_scaled_and_not_clipped() -> None:
    row = b"\x00" + struct.pack(">3H", 65535, 32768, 256) * 64
    seen = opened(png(64, 64, zlib.compress(row * 64), bit_depth=16, colour_type=2))
    assert seen.getpixel((5, 5)) == (255, 128, 1)


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    assert_corners(opened(saved(corners().convert("CMYK"), "JPEG", quality=95)))


def test_a_wide_gamut_profile_is_converted() -> None:
    swapped = corners()
    red, green, blue = swapped.split()
    bgr = Image.merge("RGB", (blue, green, red))
    # The profile exchanges red and blue, so only a real conversion restores the colours of the corners.
    seen = opened(saved(bgr, "PNG", icc_profile=swapped_primaries()))
    assert_corners(seen, tolerance=60)


def test_colour_profile_of_another_colour_space_is_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert_corners(opened(saved(corners(), "PNG", icc_profile=lab)))


def test_damaged_colour_profile_is_ignored() -> None:
    assert_corners(opened(saved(corners(), "JPEG", icc_profile=b"\x00" * 600)))


def swapped_primaries() -> bytes:
    """sRGB's own profile with its red and its blue column exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "eRGB".encode("utf-16-be")).replace(b"sRGB", b"eRGB")


def png(width: int, height: int, compressed: bytes, *, bit_depth: int = 8, colour_type: int = 2) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def animation(image_format: str) -> bytes:
    frames = [Image.new("RGB", SIZE, colour) for colour in (RED, GREEN, BLUE)]
    return saved(frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "GIF", "AVIF", "TIFF"])
def test_first_frame_of_an_animation_is_used(image_format: str) -> None:
    seen = opened(animation(image_format)).getpixel((10, 10))
    assert isinstance(seen, tuple)
    assert max(abs(a - b) for a, b in zip(seen, RED, strict=True)) < 12


@pytest.mark.parametrize(("width", "height"), [(6_400, 6_400), (20_000, 20_000), (65_535, 65_535), (2**31 - 1, 1)])
def test_decompression_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(TooLarge, match="megapixels"):
        opened(png(width, height, zlib.compress(b"\x00" * 1_000)))


def test_webp_decompression_bomb_is_refused_by_its_header() -> None:
    canvas = (16_383 - 1).to_bytes(3, "little") * 2
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x10\x00\x00\x00" + canvas
    still = saved(corners(), "WEBP")[12:]
    with pytest.raises((TooLarge, BadPicture)):
        opened(b"RIFF" + struct.pack("<I", 4 + len(extended + still)) + b"WEBP" + extended + still)


def test_jpeg_with_hundreds_of_scans_is_refused() -> None:
    data = saved(corners(), "JPEG", progressive=True)
    table = data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda"))
    assert 2 <= count_scans(data) <= 12
    assert count_scans(saved(corners(), "JPEG")) == 1
    bomb = data[:-2] + data[table:-2] * 300 + data[-2:]
    assert count_scans(bomb) > 300
    with pytest.raises(BadPicture, match="scans"):
        opened(bomb)


def test_exif_thumbnail_is_not_counted_as_a_scan() -> None:
    thumbnail = saved(corners(), "JPEG", progressive=True)
    data = saved(corners(), "JPEG", exif=b"Exif\x00\x00" + thumbnail)
    assert count_scans(data) == 1


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_truncated_picture_is_damaged(image_format: str, kept: float) -> None:
    noisy = Image.effect_noise((200, 200), 90)
    data = saved(noisy, image_format)
    with pytest.raises(BadPicture):
        opened(data[: int(len(data) * kept)])


NO_PICTURES = {
    "empty": b"",
    "text": b"Dear Sir or Madam,\n" * 50,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "ico": saved(corners(), "ICO"),
    "eps": saved(corners(), "EPS"),
    "pdf": saved(corners(), "PDF"),
    "mp4": b"\x00\x00\x00\x18ftypisom" + b"\x00" * 100,
    "zip": b"PK\x03\x04" + b"\x00" * 100,
    "elf": b"\x7fELF" + b"\x00" * 100,
    "pickle": b"\x80\x04\x95" + b"\x00" * 100,
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_a_file_of_another_format_is_refused(name: str) -> None:
    with pytest.raises(BadPicture):
        opened(NO_PICTURES[name])


HEADS_ONLY = {
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    "heic": b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic",
    "png of no width": png(0, 64, zlib.compress(b"")),
    "png of no pixels": png(64, 64, b""),
    "png of no such bit depth": png(64, 64, zlib.compress(b"\x00" * 9_999), bit_depth=3),
    "png of no such colours": png(64, 64, zlib.compress(b"\x00" * 9_999), colour_type=5),
    "jpeg named png": b"\x89PNG\r\n\x1a\n" + saved(corners(), "JPEG"),
    "gif named webp": b"RIFF\x10\x00\x00\x00WEBP" + saved(corners(), "GIF"),
    "avif": b"\x00\x00\x00\x1cftypavif" + b"\x00" * 100,
    "gif": b"GIF89a",
    "bmp": b"BM\x00\x00",
    "tiff": b"II*\x00\x08\x00\x00\x00",
    "text named heic": b"\x00\x00\x00\x1cftypheic" + b"hello " * 40,
}


@pytest.mark.parametrize("name", HEADS_ONLY)
def test_header_without_image_data_is_damaged(name: str) -> None:
    with pytest.raises(BadPicture):
        opened(HEADS_ONLY[name])


POLYGLOTS = {
    "jpeg and html": saved(corners(), "JPEG") + b"<script>alert(1)</script>",
    "jpeg and zip": saved(corners(), "JPEG") + b"PK\x05\x06" + b"\x00" * 18,
    "png and php": saved(corners(), "PNG") + b"<?php system($_GET['c']); ?>",
    "png and jpeg": saved(corners(), "PNG") + saved(Image.new("RGB", SIZE), "JPEG"),
}


@pytest.mark.parametrize("name", POLYGLOTS)
def test_a_polyglot_is_reduced_to_its_pixels(name: str) -> None:
    assert_corners(opened(POLYGLOTS[name]))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (31, 200), (200, 31)])
def test_a_picture_too_small_for_a_face_is_refused(width: int, height: int) -> None:
    with pytest.raises(BadPicture, match="32 px"):
        opened(saved(Image.new("RGB", (width, height)), "PNG"))


def test_the_smallest_and_the_longest_allowed_picture_are_accepted() -> None:
    assert opened(saved(Image.new("RGB", (32, 32)), "PNG")).size == (32, 32)
    assert opened(saved(Image.new("RGB", (40, 400)), "PNG")).size == (40, 400)


def test_a_picture_too_long_for_a_face_is_refused() -> None:
    with pytest.raises(BadPicture, match="10 times"):
        opened(saved(Image.new("RGB", (40, 401)), "PNG"))


def test_more_bytes_than_the_limit_are_refused_before_they_are_read() -> None:
    with pytest.raises(TooLarge, match="7 MiB"):
        opened(b"\xff" * (7 * 2**20 + 1))


def test_unreadable_exif_does_not_rotate_the_picture() -> None:
    assert_corners(opened(saved(corners(), "PNG", exif=b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x05")))


def test_the_format_is_detected_by_its_first_bytes() -> None:
    assert [sniff(saved(corners(), name)) for name in ("JPEG", "PNG", "WEBP")] == ["JPEG", "PNG", "WEBP"]
