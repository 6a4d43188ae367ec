"""Decode escapes and encodings in a text.

`decoded` decodes escapes anywhere in a text. `decipher` decodes passages in base64, base32, ASCII85, hexadecimal,
binary, octal or decimal codes or Morse. A passage is replaced only if its decoded form contains words; `opaque` is set
if a passage looks encoded but was not decoded. `restore_shifted` restores whole texts that are reversed or shifted, and
`restore_reversed` passages that are reversed.

May import: core.policy.spelling.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_letters, digits
from urllib.parse import unquote

from core.policy.spelling import SHIFTS, english

_ROUNDS = 3
_BACKSLASH = re.compile(
    r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))"
)
_CODE_POINT = re.compile(r"\bU\+([0-9a-fA-F]{4,6})\b[ ,;]?")
_QUOTED_PRINTABLE = re.compile(r"=([2-7][0-9A-Fa-f])(?=[=\w])")
_TAGS = {code: chr(code - 0xE0000) for code in range(0xE0020, 0xE007F)}


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else ""


def _unescaped(found: re.Match[str]) -> str:
    if found[5]:
        return _character(int(found[5], 8))
    return _character(int(found[1] or found[2] or found[3] or found[4], 16))


def decoded(text: str) -> str:
    """Return the text with its escapes decoded, up to three levels deep."""
    text = text if text.isascii() else text.translate(_TAGS)
    for _ in range(_ROUNDS):
        before = text
        if "%" in text or "&" in text:
            text = html.unescape(unquote(text))
        if "\\" in text:
            text = _BACKSLASH.sub(_unescaped, text)
        if "U+" in text:
            text = _CODE_POINT.sub(lambda found: _character(int(found[1], 16)), text)
        if text == before:
            break
    return _QUOTED_PRINTABLE.sub(lambda found: chr(int(found[1], 16)), text) if "=" in text else text


_WORD = re.compile(r"[^\W\d_]{3,}+")
_FREQUENT = 200
_MIN_DECODED = 3
_PRINTABLE = 0.85


def is_word(word: str) -> bool:
    return english().get(word, 0) >= _FREQUENT


def _is_known(word: str, words: frozenset[str]) -> bool:
    return word in words or is_word(word)


def known_share(text: str, words: frozenset[str]) -> float:
    """Return the share of letters that are in common English words or in `words`, without words under three letters."""
    found = _WORD.findall(text)
    known = sum(len(word) for word in found if _is_known(word, words))
    return known / sum(map(len, found)) if found else 0.0


def _as_text(raw: bytes, words: frozenset[str]) -> str | None:
    """Return the bytes as text, or None if they contain no words."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    printable = sum(letter.isalnum() or letter in " .,:;!?'-\n" for letter in text)
    if len(text) < _MIN_DECODED or printable < _PRINTABLE * len(text):
        return None
    lower = text.lower()
    wide = any(not letter.isascii() and letter.isalpha() for letter in text)
    return text if wide or known_share(lower, words) >= 0.5 else None


_BASE64 = frozenset(f"{ascii_letters}{digits}+/-_=")
_BASE64_BYTES = frozenset(map(ord, _BASE64))
_BASE32 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567=")
_HEX = frozenset("0123456789abcdefABCDEF")
_MIN_ENCODED = 8
_WRAPPING = ".,;:!?\"'()[]{}<>`"
Decoder = Callable[[str], bytes]


def _base64(field: str) -> bytes:
    field = field.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    return base64.b64decode(field + "=" * (-len(field) % 4), validate=True)


def _base32(field: str) -> bytes:
    field = field.rstrip("=").upper()
    return base64.b32decode(field + "=" * (-len(field) % 8))


def _binary(field: str) -> bytes:
    width = 8 if len(field) % 8 == 0 else 7
    return bytes(int(field[at : at + width], 2) for at in range(0, len(field), width))


def _decoders(field: str) -> Iterator[Decoder]:
    letters = set(field)
    if letters <= {"0", "1"}:
        yield _binary
        return
    if letters <= _HEX and len(field) % 2 == 0:
        yield bytes.fromhex
    if letters <= _BASE32:
        yield _base32
    if letters <= _BASE64:
        yield _base64
    elif field.isascii() and not letters.isdisjoint(digits + "<>@#$%^&*+;"):
        yield lambda field: base64.a85decode(field, adobe=field.startswith("<~"))


def _decoded_field(field: str, words: frozenset[str], depth: int = _ROUNDS) -> str | None:
    """Decode a field without white space, also several times; None if the result has no words."""
    if len(field) < _MIN_ENCODED or (
        field.isalpha() and (field.islower() or field.istitle()) and is_word(field.lower())
    ):
        return None
    for candidate in dict.fromkeys((field, field.strip(_WRAPPING), field.removeprefix("0x"))):
        for decode in _decoders(candidate):
            try:
                raw = decode(candidate)
            except (ValueError, binascii.Error):
                continue
            text = _as_text(raw, words)
            if text is None and depth and _BASE64_BYTES.issuperset(raw):
                text = _decoded_field(raw.decode("ascii"), words, depth - 1)
            if text is not None:
                return text
    return None


_MORSE_LETTERS = (
    "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...- "
    "w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----."
)
_MORSE = {entry[1:]: entry[0] for entry in _MORSE_LETTERS.split()} | {"/": " ", "|": " "}
_DASHES = str.maketrans("·•−–—_", "..----")
_MIN_CODES = 3


def _number_letter(base: int, lengths: tuple[int, ...]) -> Callable[[str], str]:
    def letter(field: str) -> str:
        if len(field) not in lengths or not field.isalnum():
            return ""
        try:
            code = int(field, base)
        except ValueError:
            return ""
        return chr(code) if 0x20 <= code < 0x7F else ""

    return letter


def _hex_letter(field: str) -> str:
    return _number_letter(16, (2,))(field.removeprefix("0x").removeprefix("\\x"))


def _place_letter(field: str) -> str:
    """Return the letter at a position of the alphabet, as in `14-21-4-5`; "" for other fields."""
    return chr(96 + int(field)) if field.isdecimal() and len(field) <= 2 and 1 <= int(field) <= 26 else ""


_LETTER_CODES: tuple[Callable[[str], str], ...] = (
    lambda field: _MORSE.get(field.translate(_DASHES), ""),
    _number_letter(2, (7, 8)),
    _hex_letter,
    _number_letter(10, (2, 3)),
    _number_letter(8, (3,)),
    _place_letter,
)


def _coded_run(fields: Sequence[str], words: frozenset[str]) -> tuple[str, int] | None:
    """Return the text of the first fields, one letter each, and the number of these fields."""
    for letter_of in _LETTER_CODES:
        letters: list[str] = []
        for field in fields:
            letter = letter_of(field.strip(",;"))
            if not letter:
                break
            letters.append(letter)
        if len(letters) >= _MIN_CODES and known_share("".join(letters).lower(), words) >= 0.5:
            return "".join(letters), len(letters)
    return None


def _coded_number(fields: Sequence[str]) -> str | None:
    """Return a number of two digits in binary codes of ASCII, or in Morse from 10 to 19; None for other fields."""
    first, second = (field.strip(",;:").translate(_DASHES) for field in fields[:2])
    if first == ".----" and len(second) == len(first):
        number = _MORSE[first] + _MORSE.get(second, "")
    else:
        number = "".join(chr(int(code, 2)) for code in (first, second) if _BINARY_DIGIT.fullmatch(code))
    return number if len(number) == 2 and number.isdecimal() else None


def _with_numbers(run: Sequence[str]) -> list[str]:
    """Return the fields with each pair of codes of a number replaced by the number."""
    out: list[str] = []
    at = 0
    while at < len(run):
        number = _coded_number(run[at : at + 2]) if at + 1 < len(run) else None
        out.append(run[at] if number is None else number)
        at += 1 if number is None else 2
    return out


_BINARY_DIGIT = re.compile(r"0?011[01]{4}")
_FIELD = re.compile(r"\S++")
_LINKED = re.compile(r"(?<=[0-9a-fA-F])[-:,](?=[0-9a-fA-F])")
_CODE_LIKE = re.compile(r"[.·•−–—_/|-]{1,8}+|(?:0x|\\x)?[0-9a-fA-F]{1,8}+[,;]?")
_MAX_RUN = 512
_OPAQUE_CHARS = 20
_OPAQUE_RUN = 8


@dataclass(frozen=True, slots=True)
class Deciphered:
    """`text` with decoded passages; `opaque`: a passage looks encoded but does not decode to words."""

    text: str
    opaque: bool


def _looks_encoded(field: str) -> bool:
    """Whether a field is a long run of mixed case and digits, like base64 or a hash and unlike words and addresses."""
    field = field.strip(_WRAPPING)
    if len(field) < _OPAQUE_CHARS or not _BASE64.issuperset(field) or field.isdecimal():
        return False
    if field.count("-") + field.count("_") > len(field) // 8 or "://" in field:
        return False
    turns = sum(_kind(one) != _kind(other) for one, other in pairwise(field))
    return turns * 4 >= len(field)


def _kind(letter: str) -> int:
    return 0 if letter.islower() else 1 if letter.isupper() else 2


def decipher(text: str, words: frozenset[str]) -> Deciphered:
    """Decode the passages of `text` that decode to words, up to three levels deep. `words` count like English words."""
    opaque = False
    for _ in range(_ROUNDS):
        before = text
        text, opaque = _decipher_once(text, words)
        if text == before:
            break
    return Deciphered(text, opaque)


def _decipher_once(text: str, words: frozenset[str]) -> tuple[str, bool]:
    fields = _FIELD.findall(text)
    if not any(len(field) >= _MIN_ENCODED or _CODE_LIKE.fullmatch(field) for field in fields):
        return text, False
    out: list[str] = []
    at, changed, opaque = 0, False, False
    while at < len(fields):
        field = fields[at]
        if len(field) < _MIN_ENCODED and field.isalpha() and not _CODE_LIKE.fullmatch(field):
            out.append(field)
            at += 1
            continue
        run = _code_fields(fields, at)
        if len(run) >= _MIN_CODES and (coded := _coded_run(run, words)):
            out.append(coded[0])
            at += coded[1]
            changed = True
            continue
        numbered = _with_numbers(run)
        if len(numbered) < len(run):
            out += numbered
            at += len(run)
            changed = True
            continue
        plain = _decoded_field(field, words) or _linked_codes(field, words)
        opaque = opaque or len(run) >= _OPAQUE_RUN * 2 or (plain is None and _looks_encoded(field))
        out.append(field if plain is None else plain)
        changed = changed or plain is not None
        at += len(run) if len(run) >= _MIN_CODES and plain is None else 1
        out += run[1:] if len(run) >= _MIN_CODES and plain is None else ()
    return (" ".join(out), opaque) if changed else (text, opaque)


def _code_fields(fields: Sequence[str], start: int) -> Sequence[str]:
    end = start
    while end < min(len(fields), start + _MAX_RUN) and _CODE_LIKE.fullmatch(fields[end]):
        end += 1
    return fields[start:end]


def _linked_codes(field: str, words: frozenset[str]) -> str | None:
    """Decode several codes in one field: `6e-75-64-65`, `110,117,100,101`."""
    codes = _LINKED.split(field)
    coded = _coded_run(codes, words) if len(codes) >= _MIN_CODES else None
    return coded[0] if coded and coded[1] == len(codes) else None


_SAMPLE_CHARS = 400
_PLAIN_SHARE = 0.5
_SOLVED_SHARE = 0.75
_LONGEST_WORD = 64
"""Maximum length of a known word."""


def restore_shifted(text: str, words: frozenset[str]) -> str | None:
    """Restore an ASCII text that is reversed, shifted or in Atbash; None if it is plain or can't be restored."""
    found = Counter(_WORD.findall(text[:_SAMPLE_CHARS]))
    all_letters = sum(len(word) * times for word, times in found.items())
    short = [(word, len(word) * times) for word, times in found.items() if len(word) <= _LONGEST_WORD]

    def share(way: Callable[[str], str]) -> float:
        known = sum(letters for word, letters in short if _is_known(way(word), words))
        return known / all_letters if all_letters else 0.0

    if share(str) >= _PLAIN_SHARE:
        return None
    ways: list[Callable[[str], str]] = [lambda text: text[::-1], lambda text: text.translate(_MIRRORED)]
    ways += [lambda text, shift=shift: text.translate(shift) for shift in SHIFTS]  # type: ignore[misc]
    solved, way = max(((share(way), way) for way in ways), key=lambda found: found[0])
    return way(text) if solved >= _SOLVED_SHARE else None


_MIRRORED = str.maketrans(ascii_letters[:26], ascii_letters[:26][::-1])


_BACKWARDS = re.compile(r"\b(?:backwards?|reversed?|mirror(?:ed)? (?:text|writing|letters)|right to left|sdrawkcab)\b")


def restore_reversed(text: str, words: frozenset[str]) -> Iterator[str]:
    """Yield a text whose words say that it is reversed as a whole, and one with its runs of reversed words restored."""
    if _BACKWARDS.search(text):
        yield text[::-1]
    fields = text.split()
    out: list[str] = []
    at = 0
    while at < len(fields):
        end, reversed_words = at, 0
        while end < len(fields) and (is_one := _is_reversed(fields[end], words)) is not None:
            reversed_words += is_one
            end += 1
        end = max(end, at + 1)
        run = " ".join(fields[at:end])
        out.append(run[::-1] if reversed_words >= _MIN_REVERSED else run)
        at = end
    if (restored := " ".join(out)) != " ".join(fields):
        yield restored


_MIN_REVERSED = 2


def _is_reversed(field: str, words: frozenset[str]) -> bool | None:
    """Whether a field is a reversed word; False for one too short to know, None for a plain or unknown word."""
    word = field.strip(_WRAPPING)
    if len(word) < _MIN_DECODED:
        return False
    if not word.isalpha() or len(word) > _LONGEST_WORD or _is_known(word, words):
        return None
    return True if _is_known(word[::-1], words) else None
