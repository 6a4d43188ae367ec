"""Conversion of values in the formats of common clients; the result reports what was changed."""

from __future__ import annotations

from typing import Any

import pytest

from core.contracts import REQUESTS, PictureRequest, read_request
from core.errors import InvalidRequest


def read(**fields: Any) -> PictureRequest:
    return read_request({"task": "imagegen", "prompt": "a lighthouse", **fields}, REQUESTS)


def adjusted(request: PictureRequest) -> dict[str, str]:
    report = request.report()
    return {item.field: item.used for item in report.adjusted} if report else {}


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        ("seed", "7", 7),
        ("seed", " 7 ", 7),
        ("seed", 7.0, 7),
        ("seed", "7.0", 7),
        ("width", "512", 512),
        ("height", 512.0, 512),
        ("n", "2", 2),
        ("expires_after_s", "60", 60),
        ("timeout_s", "30", 30.0),
        ("timeout_s", "2.5", 2.5),
        ("timeout_s", 30, 30.0),
        ("output_format", "jpg", "jpeg"),
        ("output_format", "PNG", "png"),
        ("output_format", "image/webp", "webp"),
        ("output_format", ".JPEG", "jpeg"),
    ],
)
def test_value_with_one_meaning_is_converted(field: str, given: object, value: object) -> None:
    request = read(**{field: given})
    assert getattr(request, field) == value
    assert type(getattr(request, field)) is type(value)
    assert request.report() is None


@pytest.mark.parametrize("seed", [-1, "-1", -1.0])
def test_seed_minus_one_is_drawn(seed: object) -> None:
    request = read(seed=seed)
    assert request.seed is None
    assert adjusted(request) == {"seed": "drawn"}


@pytest.mark.parametrize(("seed", "used"), [(2**53, 0), (2**53 + 5, 5), (2**64 - 1, 2**53 - 1), (str(2**60 + 3), 3)])
def test_a_seed_beyond_2_53_is_taken_modulo_2_53(seed: object, used: int) -> None:
    request = read(seed=seed)
    assert request.seed == used
    assert adjusted(request) == {"seed": str(used)}


@pytest.mark.parametrize("seed", [-2, 2**64, "-2"])
def test_a_seed_out_of_range_is_answered_with_the_range(seed: object) -> None:
    with pytest.raises(InvalidRequest, match=r"`seed`: must be 0 to 18446744073709551615, or -1"):
        read(seed=seed)


@pytest.mark.parametrize("seed", [True, 7.5, "7.5", "seven", "", "0x7", "٧", [7]])
def test_seed_that_is_not_an_integer_is_refused(seed: object) -> None:
    with pytest.raises(InvalidRequest, match="`seed`"):
        read(seed=seed)


@pytest.mark.parametrize(
    ("side", "used"), [(500, 496), (504, 512), (1_000, 1_008), (1_535, 1_536), (65, 64), ("70", 64)]
)
def test_a_side_is_rounded_to_a_multiple_of_16_and_reported(side: object, used: int) -> None:
    request = read(width=side)
    assert request.width == used
    assert adjusted(request) == {"width": str(used)}


@pytest.mark.parametrize("side", [63, 50, 1, 0, -16])
def test_a_side_below_64_px_is_answered_by_its_bound(side: int) -> None:
    with pytest.raises(InvalidRequest, match=r"`height`: Input should be greater than or equal to 64"):
        read(height=side)


def test_a_side_above_1536_px_is_answered_by_its_bound() -> None:
    with pytest.raises(InvalidRequest, match=r"`width`: Input should be less than or equal to 1536"):
        read(width=1_537)


@pytest.mark.parametrize("size", ["1024x768", "1024X768", "1024×768", "1024*768", " 1024x768 "])
def test_size_sets_both_sides(size: str) -> None:
    request = read(size=size)
    assert (request.width, request.height) == (1024, 768)
    assert request.report() is None


def test_a_size_is_rounded_like_the_sides() -> None:
    assert adjusted(read(size="1000x777")) == {"width": "1008", "height": "784"}


@pytest.mark.parametrize("size", ["large", "1024", "1024x", "x768", "1x2x3", "9" * 50, 1024])
def test_an_invalid_size_error_has_an_example(size: object) -> None:
    with pytest.raises(InvalidRequest, match="such as 1024x768"):
        read(size=size)


@pytest.mark.parametrize("size", ["50x512", "512x4096"])
def test_size_outside_the_bounds_is_refused_as_size(size: str) -> None:
    with pytest.raises(InvalidRequest, match="`size` must have sides of 64 to 1536 px"):
        read(size=size)


def test_a_size_that_contradicts_a_side_is_refused() -> None:
    assert read(size="1024x768", width="1024").height == 768
    with pytest.raises(InvalidRequest, match="`size` and `width` differ"):
        read(size="1024x768", width=512)


def test_parsed_request_with_a_size_validates_again() -> None:
    request = read(size="1000x777", seed=2**60 + 3)
    again = read_request(request.model_dump(mode="json"), REQUESTS)
    assert again.model_dump() == request.model_dump()
    assert (again.width, again.height, again.seed, again.report()) == (1008, 784, 3, None)
