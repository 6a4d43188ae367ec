"""Real files, damaged at random: each opens as an RGB picture without metadata, or is refused with a typed error."""

from __future__ import annotations

import io
from collections.abc import Callable

import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from core.errors import BadPicture, TooLarge
from core.images import IntakeLimits, Recipe, encode, inspect, open_picture
from core.images.formats import count_scans

pillow_heif.register_heif_opener()

LIMITS = IntakeLimits(max_pixels=4_000_000)
"""Less than production allows, so that a mutation which enlarges a picture costs no minutes here."""


def photo(mode: str = "RGB", size: tuple[int, int] = (72, 48)) -> Image.Image:
    gradient = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", (gradient, gradient.rotate(180), Image.radial_gradient("L").resize(size))).convert(mode)


def saved(image: Image.Image, image_format: str, **more: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "CanaryCam"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with io.BytesIO() as file:
        image.save(file, format=image_format, **{"exif": exif.tobytes(), "icc_profile": profile, **more})
        return file.getvalue()


FILES: dict[str, bytes] = {
    "jpeg": saved(photo(), "JPEG"),
    "progressive jpeg": saved(photo(), "JPEG", progressive=True),
    "gray jpeg": saved(photo("L"), "JPEG", icc_profile=None),
    "cmyk jpeg": saved(photo("CMYK"), "JPEG", icc_profile=None),
    "two pictures in a jpeg": saved(photo(), "MPO", save_all=True, append_images=[photo()]),
    "png": saved(photo(), "PNG"),
    "png with alpha": saved(photo("RGBA"), "PNG"),
    "png with a palette": saved(photo().quantize(16), "PNG", transparency=3, icc_profile=None),
    "16-bit png": saved(photo("L").convert("I").point(lambda v: v * 257).convert("I;16"), "PNG", icc_profile=None),
    "animated png": saved(photo(), "PNG", save_all=True, append_images=[photo("L").convert("RGB")]),
    "webp": saved(photo(), "WEBP"),
    "lossless webp": saved(photo("RGBA"), "WEBP", lossless=True),
    "animated webp": saved(photo(), "WEBP", save_all=True, append_images=[photo("L").convert("RGB")]),
    "heic": saved(photo(), "HEIF", quality=50),
    "heic with alpha": saved(photo("RGBA"), "HEIF", quality=50),
    "two pictures in a heic": saved(photo(), "HEIF", save_all=True, append_images=[photo()], quality=50),
    "ours": encode(photo(), image_format="jpeg", recipe=Recipe("m", "r", 1, 8, "p", "a prompt")),
}


@pytest.mark.parametrize("name", FILES)
def test_every_sample_file_is_valid_before_it_is_changed(name: str) -> None:
    image = open_picture(FILES[name]).image
    # EXIF orientation 6 rotates the pictures; our own file has no EXIF.
    assert image.size == ((72, 48) if name == "ours" else (48, 72))
    assert image.info == {}


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A file with a few bytes changed, removed, repeated or taken from another file."""
    names = st.sampled_from(sorted(FILES))
    data = bytearray(FILES[draw(names)])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 64))
        match draw(st.sampled_from(["change", "flip", "remove", "repeat", "splice", "cut", "length"])):
            case "change":
                data[at : at + length] = draw(st.binary(min_size=0, max_size=length))
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "remove":
                del data[at : at + length]
            case "repeat":
                data[at:at] = data[at : at + length] * draw(st.integers(1, 20))
            case "splice":
                other = FILES[draw(names)]
                start = draw(st.integers(0, len(other)))
                data[at:at] = other[start : start + 10 * length]
            case "cut":
                del data[at:]
            case _:
                data[at : at + 4] = draw(
                    st.sampled_from([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"])
                )
    return bytes(data)


def check(look: Callable[[], object]) -> object:
    try:
        return look()
    except (BadPicture, TooLarge):
        return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=broken())
def test_damaged_file_opens_or_is_refused(data: bytes) -> None:
    image = check(lambda: open_picture(data, LIMITS).image)
    if image is not None:
        assert isinstance(image, Image.Image)
        assert (image.mode, image.info) == ("RGB", {})
        assert not image.getexif()
    check(lambda: inspect(data))


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([data[:n] for data in FILES.values() for n in (4, 12, 40)]), tail=st.binary(max_size=400))
def test_header_with_random_data_opens_or_is_refused(head: bytes, tail: bytes) -> None:
    check(lambda: open_picture(head + tail, LIMITS))
    check(lambda: inspect(head + tail))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=2_000))
def test_counting_scans_ends_for_any_bytes(data: bytes) -> None:
    assert 0 <= count_scans(b"\xff\xd8" + data) <= len(data)
