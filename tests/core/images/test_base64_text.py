"""Base64 in the variants of common tools is decoded; other text is refused with the position of the first error."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadPicture, TooLarge
from core.images import IntakeLimits
from core.images.base64_text import decode_base64
from core.images.limits import DEFAULT_LIMITS

DATA = b"\xff\xd8\xff\xe0" + random.Random(3).randbytes(5_000)


def plain(data: bytes) -> str:
    return base64.b64encode(data).decode()


def wrapped(data: bytes) -> str:
    return base64.encodebytes(data).decode()


SPELLINGS: dict[str, Callable[[bytes], str]] = {
    "standard": plain,
    "without padding": lambda data: plain(data).rstrip("="),
    "a line break every 76 characters": wrapped,
    "CRLF": lambda data: wrapped(data).replace("\n", "\r\n"),
    "indented lines": lambda data: "".join(f"    {line}\n" for line in wrapped(data).splitlines()),
    "lines joined by spaces": lambda data: " ".join(wrapped(data).split()),
    "surrounding space": lambda data: f" \n\t{plain(data)}  \r\n",
    "url-safe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "url-safe without padding": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "plus become space": lambda data: plain(data).replace("+", " "),
    "wrapped and plus become space": lambda data: wrapped(data).replace("\n", "\r\n").replace("+", " "),
    "escaped slash": lambda data: plain(data).replace("/", "\\/"),
    "escaped line break": lambda data: wrapped(data).replace("\n", "\\n"),
    "percent-encoded": lambda data: quote(plain(data), safe=""),
    "wrapped and percent-encoded": lambda data: quote(wrapped(data).replace("\n", "\r\n"), safe=""),
    "in double quotes": lambda data: f'"{plain(data)}"',
    "in single quotes": lambda data: f"'{plain(data)}'",
    "a printed bytes object": lambda data: str(base64.b64encode(data)),
    "a printed bytes object of lines": lambda data: str(base64.encodebytes(data)),
    "a data URI": lambda data: f"data:image/jpeg;base64,{plain(data)}",
    "a data URI with a parameter": lambda data: f"DATA:image/png;charset=utf-8;BASE64,{plain(data)}",
    "a data URI of no type": lambda data: f"data:;base64,{plain(data)}",
    "a data URI of another type": lambda data: f"data:text/plain;base64,{plain(data)}",
    "a data URI without data:": lambda data: f"image/jpeg;base64,{plain(data)}",
    "base64, alone": lambda data: f"base64,{plain(data)}",
    "a space behind the comma": lambda data: f"data:image/jpeg;base64, {plain(data)}",
    "a percent-encoded data URI": lambda data: quote(f"data:image/jpeg;base64,{plain(data)}", safe=""),
    "a data URI in quotes": lambda data: f'"data:image/jpeg;base64,{plain(data)}"',
    "a data URI of a form": lambda data: f"data:image/jpeg;base64,{plain(data)}".replace("+", " "),
}


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("length", [4_000, 4_001, 4_002, 4_104])
def test_every_base64_variant_is_decoded(name: str, length: int) -> None:
    data = DATA[:length]
    assert decode_base64(SPELLINGS[name](data), DEFAULT_LIMITS) == data


@settings(max_examples=200, deadline=None)
@given(length=st.integers(3_000, 4_900), name=st.sampled_from(sorted(SPELLINGS)))
def test_every_base64_variant_of_any_length_decodes_to_the_data(length: int, name: str) -> None:
    assert decode_base64(SPELLINGS[name](DATA[:length]), DEFAULT_LIMITS) == DATA[:length]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("abc!defg", 4),
        ("äöü", 1),
        ("ab\u200bcd", 3),
        ("\ud800abc", 1),
        ("\x00\x00", 1),
        ("/etc/passwd.", 12),
        ("ab=c", 3),
        ("abcd=", 5),
        ("abc====", 7),
        ("data:image/png;base64,abc!", 26),
        ('"ab<d"', 4),
        ("abcd%3Cabcd", 5),
        ("abcd\nef*h", 8),
    ],
)
def test_error_gives_the_position_of_the_first_bad_character(text: str, place: int) -> None:
    with pytest.raises(BadPicture, match=f"character {place} can't be part"):
        decode_base64(text, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "text", ["a", "abcde", "====", "=", "ab==cd==", "data:,hello", "data:image/png,abcd", "a+ b c"]
)
def test_ambiguous_base64_is_refused(text: str) -> None:
    with pytest.raises(BadPicture):
        decode_base64(text, DEFAULT_LIMITS)


@pytest.mark.parametrize("text", ["", " \n", "data:image/png;base64,", '""'])
def test_empty_text_is_an_empty_picture(text: str) -> None:
    with pytest.raises(BadPicture, match="empty"):
        decode_base64(text, DEFAULT_LIMITS)


def test_too_much_base64_is_refused() -> None:
    limits = IntakeLimits(max_bytes=300)
    assert len(decode_base64("A" * 400, limits)) == 300
    assert len(decode_base64("\n".join(["A" * 4] * 100), limits)) == 300
    for text in ("A" * 404, "!" * 2_000, "\n" * 5_000):
        with pytest.raises(TooLarge, match="MiB"):
            decode_base64(text, limits)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400) | st.text("ABab01+/-_= \n\r\\%2BbF'\",;:", max_size=400))
def test_any_text_is_decoded_or_refused_without_being_quoted(text: str) -> None:
    try:
        said = decode_base64(f"canary{text}", DEFAULT_LIMITS).hex()
    except (BadPicture, TooLarge) as error:
        said = error.message
    assert "canary" not in said
