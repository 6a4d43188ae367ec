"""Pictures of phones: decoded at a fraction of their size, in bounded memory, also without the end of the file."""

from __future__ import annotations

import io
from functools import cache

import pytest
from PIL import Image

from core.errors import BadPicture, TooLarge
from core.images import IntakeLimits, open_picture
from core.images.decoding import BACKGROUND

LIMITS = IntakeLimits(max_decoded_pixels=100_000)


def textured(width: int, height: int) -> Image.Image:
    bands = [Image.effect_mandelbrot((400, 300), (-2, -1.5, 1, 1.5), 60 + shade) for shade in range(3)]
    return Image.merge("RGB", bands).resize((width, height))


@cache
def jpeg(width: int = 800, height: int = 600, **options: object) -> bytes:
    with io.BytesIO() as file:
        textured(width, height).save(file, "JPEG", quality=80, **options)
        return file.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(8064, 6048, 2), (8160, 6144, 2), (12_000, 9_000, 4), (16_320, 12_240, 4)]
)
def test_a_jpeg_of_48_to_200_megapixels_is_decoded_at_a_fraction(width: int, height: int, scale: int) -> None:
    with io.BytesIO() as file:
        Image.new("L", (width, height), 90).save(file, "JPEG", quality=30)
        opened = open_picture(file.getvalue())
    assert opened.image.size == (width // scale, height // scale)
    assert opened.scale == pytest.approx(scale, rel=0.001)


def test_a_jpeg_of_more_than_210_megapixels_is_refused() -> None:
    head = jpeg().find(b"\xff\xc0")
    data = bytearray(jpeg())
    data[head + 5 : head + 9] = (15_000).to_bytes(2, "big") * 2
    with pytest.raises(TooLarge, match="210 megapixels"):
        open_picture(bytes(data))


def test_large_progressive_jpeg_is_refused_with_a_remedy() -> None:
    with pytest.raises(TooLarge, match="baseline JPEG"):
        open_picture(jpeg(progressive=True), IntakeLimits(max_multi_scan_pixels=100_000))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_every_large_picture_is_reduced_to_the_bound(image_format: str) -> None:
    with io.BytesIO() as file:
        textured(800, 600).save(file, image_format)
        opened = open_picture(file.getvalue(), LIMITS)
    assert opened.image.width * opened.image.height <= LIMITS.max_decoded_pixels
    assert opened.scale == pytest.approx(800 / opened.image.width)
    whole = textured(800, 600).resize(opened.image.size, Image.Resampling.BOX)
    seen, expected = opened.image.resize((8, 6)), whole.resize((8, 6))
    differences = [abs(a - b) for a, b in zip(seen.tobytes(), expected.tobytes(), strict=True)]
    assert sum(differences) / len(differences) < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_is_reduced(mode: str) -> None:
    with io.BytesIO() as file:
        gray = textured(800, 600).convert("L")
        image = gray.convert("I").convert("I;16") if mode == "I;16" else gray.convert(mode)
        image.save(file, "PNG")
        opened = open_picture(file.getvalue(), LIMITS)
    assert (opened.image.mode, opened.image.size) == ("RGB", (267, 200))


@pytest.mark.parametrize("share", [0.8, 0.9, 0.93])
@pytest.mark.parametrize("limits", [IntakeLimits(), LIMITS], ids=["whole", "reduced"])
def test_a_jpeg_without_its_last_bytes_is_read_as_far_as_it_goes(share: float, limits: IntakeLimits) -> None:
    whole = open_picture(jpeg(), limits)
    opened = open_picture(jpeg()[: int(len(jpeg()) * share)], limits)
    assert whole.kept == 1
    assert 2 / 3 <= opened.kept < 1
    assert opened.image.size == whole.image.size
    rows = round(opened.kept * opened.image.height)
    above = (0, 0, opened.image.width, rows - 16)
    assert opened.image.crop(above).tobytes() == whole.image.crop(above).tobytes()
    assert opened.image.getpixel((0, opened.image.height - 1)) == BACKGROUND


@pytest.mark.parametrize("lost", [1, 2])
def test_jpeg_without_its_end_marker_has_all_its_pixels(lost: int) -> None:
    opened = open_picture(jpeg()[:-lost])
    assert opened.image.tobytes() == open_picture(jpeg()).image.tobytes()
    assert 0.9 < opened.kept < 1


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_jpeg_that_lost_more_than_a_third_is_refused(share: float) -> None:
    with pytest.raises(BadPicture, match=r"incomplete|damaged"):
        open_picture(jpeg()[: int(len(jpeg()) * share)])


def test_a_progressive_jpeg_without_its_last_scan_is_read() -> None:
    data = jpeg(progressive=True)
    opened = open_picture(data[: int(len(data) * 0.95)])
    assert opened.kept < 1
    assert opened.image.size == (800, 600)


def test_progressive_jpeg_with_only_its_first_scans_is_refused() -> None:
    data = jpeg(progressive=True)
    with pytest.raises(BadPicture, match="incomplete"):
        open_picture(data[: int(len(data) * 0.2)])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_truncated_jpeg_of_another_mode_is_read(mode: str) -> None:
    with io.BytesIO() as file:
        textured(800, 600).convert(mode).save(file, "JPEG", quality=80)
        data = file.getvalue()
    opened = open_picture(data[: int(len(data) * 0.9)])
    assert 2 / 3 <= opened.kept < 1
