"""Encoded passages are decoded if they contain words, and reported otherwise."""

from __future__ import annotations

import base64
import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import Route
from core.policy import Action, judge
from core.policy.loading import lexicon
from core.policy.normalization import opaque, streams
from core.policy.normalization.decoding import decipher

MORSE = {
    "a": ".-",
    "b": "-...",
    "c": "-.-.",
    "d": "-..",
    "e": ".",
    "g": "--.",
    "h": "....",
    "i": "..",
    "k": "-.-",
    "l": ".-..",
    "n": "-.",
    "o": "---",
    "r": ".-.",
    "s": "...",
    "u": "..-",
    "q": "--.-",
    "t": "-",
    "v": "...-",
    "w": ".--",
    "m": "--",
}
ENCODINGS = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, URL alphabet, unpadded": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64, twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "ASCII85": lambda text: base64.a85encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal with spaces": lambda text: text.encode().hex(" "),
    "hexadecimal with dashes": lambda text: text.encode().hex("-"),
    "hexadecimal, 0x": lambda text: " ".join(f"0x{byte:02x}" for byte in text.encode()),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "binary without spaces": lambda text: "".join(f"{byte:08b}" for byte in text.encode()),
    "decimal codes": lambda text: " ".join(str(byte) for byte in text.encode()),
    "decimal codes with commas": lambda text: ",".join(str(byte) for byte in text.encode()),
    "octal codes": lambda text: " ".join(f"{byte:03o}" for byte in text.encode()),
    "octal escapes": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    "Morse": lambda text: " / ".join(" ".join(MORSE[letter] for letter in word) for word in text.split()),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "shifted by three": lambda text: "".join(chr((ord(x) - 94) % 26 + 97) if x.isalpha() else x for x in text),
    "backwards": lambda text: text[::-1],
    "code points": lambda text: " ".join(f"U+{ord(letter):04X}" for letter in text),
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()) + "=",
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
}


def refused(text: str) -> bool:
    return judge([text], Route.GENERAL).action is Action.REFUSE


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", ["nude child", "naked schoolgirl in bed"])
def test_text_is_refused_in_each_language(encoding: str, text: str) -> None:
    assert refused(ENCODINGS[encoding](text))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_everyday_text_is_not_refused_in_each_language(encoding: str) -> None:
    assert not refused(ENCODINGS[encoding]("a quiet evening at sea"))


@pytest.mark.parametrize("encoding", ["base64", "base32", "hexadecimal", "binary without spaces"])
def test_an_encoded_word_inside_a_sentence_is_read(encoding: str) -> None:
    assert refused(f"please paint a {ENCODINGS[encoding]('naked child')} by the sea")


@pytest.mark.parametrize(
    "text",
    [
        "portrait of a woman, 85mm, bokeh",
        "8k uhd, f/1.4, ISO 100",
        "seed 1234567890123456",
        "<lora:add_detail_xl:0.8>",
        "https://example.com/pictures/2024/harbour_at_dusk.png",
        "iPhone15ProMax",
        "photorealistic-cinematic-lighting",
        "1girl, solo, masterpiece, best quality",
        "a binary star, 1 0 1 0",
        "dash - dot . dash - dot .",
        "BMW M3 E30 1988",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "10 20 30 40 50 60",
        "",
    ],
)
def test_ordinary_prompt_tokens_are_neither_decoded_nor_opaque(text: str) -> None:
    found = decipher(text, frozenset())
    assert (found.text, found.opaque) == (text, False)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(bytes(range(128, 200))).decode(),
        "paint " + base64.b64encode(bytes(range(160, 190))).decode(),
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ".- -.- .... " * 10,
        " ".join(f"{byte:08b}" for byte in range(130, 160)),
    ],
)
def test_text_that_seems_encoded_and_decodes_to_no_words_is_opaque(text: str) -> None:
    assert opaque(text, lexicon().spelling)


@given(st.text(max_size=200))
def test_deciphering_accepts_any_text(text: str) -> None:
    assert isinstance(decipher(text, frozenset()).opaque, bool)


@given(st.text(alphabet="01. -/ABab=xU+%\\", max_size=120))
def test_any_mixture_of_codes_is_read(text: str) -> None:
    assert all(token for stream in streams(text, lexicon().spelling) for token in stream)
