"""A text as streams of tokens that its tricks have been taken out of, layer by layer.

    1  decoded    percent, HTML and backslash escapes, tag characters
    2  native     NFKC, format characters and stray marks dropped, casefold; every script keeps its letters
    3  folded     accents and look-alike letters to ASCII, markup dropped, leet and masked vowels read as letters
    4  joined     words spelled out letter by letter, cut in pieces or run together

A token is a tuple of *readings*: the strings it may stand for, `#` among them where it is a number below 18. Rules are
matched against all streams, so that a layer can add a reading but never hide one. A letter of a script without word
breaks (Han, kana, Hangul) is a token of its own. Every pattern here is made of classes that exclude each other, with
possessive repeats: the time is linear in the text.

May import: nothing of core.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias
from urllib.parse import unquote

Token: TypeAlias = tuple[str, ...]
Stream: TypeAlias = tuple[Token, ...]

MINOR_NUMBER = "#"
ADULT_AGE = 18
MAX_JOINED = 24
"""Letters of the longest word that is put together from pieces, or taken apart."""

# ── escapes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_ESCAPE_ROUNDS = 3
_BACKSLASH = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_TAGS = {code: chr(code - 0xE0000) for code in range(0xE0020, 0xE007F)}


def _unescaped(found: re.Match[str]) -> str:
    code = int(found[1] or found[2] or found[3], 16)
    return chr(code) if code <= 0x10FFFF else ""


def decoded(text: str) -> str:
    """The text behind its escapes, also where they are nested a few times."""
    text = text.translate(_TAGS)
    for _ in range(_ESCAPE_ROUNDS):
        before = text
        text = _BACKSLASH.sub(_unescaped, html.unescape(unquote(text)))
        if text == before:
            break
    return text


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_MARKS_THAT_SPELL = ((0x0900, 0x0DFF), (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x3099, 0x309A))
_MAX_MARKS = 4
_SPELLINGS = str.maketrans({"ё": "е", "أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه", "ـ": None, "’": "'", "ʼ": "'"})


class _Dropped(dict[int, int | None]):
    """For `str.translate`: drops what is not seen or only decorates, keeps the marks that spell a word."""

    def __missing__(self, code: int) -> int | None:
        if code < 0x80:
            return code
        kind = unicodedata.category(chr(code))
        if kind in {"Mn", "Me"}:
            spells = any(low <= code <= high for low, high in _MARKS_THAT_SPELL)
            return code if spells else None
        invisible = kind in {"Cf", "Co", "Cn", "Cs"} or code in {0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800}
        return None if invisible else code


def _few_marks(text: str) -> str:
    """At most `_MAX_MARKS` combining marks on a letter: putting a long run in order takes quadratic time."""
    if text.isascii():
        return text
    kept, run = [], 0
    for letter in text:
        run = run + 1 if unicodedata.combining(letter) else 0
        if run <= _MAX_MARKS:
            kept.append(letter)
    return "".join(kept)


def native(text: str) -> str:
    """One form per word in its own script; the lexicon's words go through here as well."""
    visible = unicodedata.normalize("NFKC", _few_marks(text)).translate(_DROPPED)
    composed = unicodedata.normalize("NFKC", visible.casefold())
    return composed.translate(_SPELLINGS)


_LOOKALIKES = {
    **dict(zip("авсԁегһіјкӏмнорԛѕтуѵԝхьзԍп", "abcdereijkimhopqstyvwxbzgn", strict=True)),
    **dict(zip("αβγδεζηικμνορσςτυχωϲϳ", "abydeznikmvopoctuxwcj", strict=True)),
    **dict(zip("աեցհիոսւօ", "wtghhnupo", strict=True)),
    **dict(zip("ꭰꭱꭲꭺꮃꮪꮯꮋꮇꮢꮩꮶꮤꭼꮑ", "rritwschmrvkwea", strict=True)),
    **dict(zip("∂∈∊∩∪ɑɡɩʋν", "deenuagivv", strict=True)),
}
_LOOKALIKES.update({"г": "r", "е": "e", "һ": "h", "п": "n", "и": "u", "д": "d", "ь": "b", "в": "b", "ʟ": "l"})
_NAMED_LETTER = re.compile(r"(?:LATIN|REGIONAL INDICATOR|TURNED)\b.*? LETTER (?:SMALL CAPITAL |TURNED )?([A-Z])\b")


class _Folded(dict[int, str]):
    """For `str.translate`: a letter by what it looks like, else by what Unicode calls it (`… LETTER D WITH STROKE`)."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        base = unicodedata.normalize("NFD", letter)[0]
        if base in _LOOKALIKES:
            return _LOOKALIKES[base]
        named = _NAMED_LETTER.search(unicodedata.name(base, "")) if code >= 0x80 else None
        return named[1].lower() if named else base


_DROPPED = _Dropped()
_FOLDED = _Folded()
_MARKUP = re.compile(r"<[^<>]{0,64}+>")


def folded(text: str) -> str:
    """`native` text with accents, look-alike letters and markup gone."""
    return _MARKUP.sub("", text).translate(_FOLDED)


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
_SPELT_WITH_MARKS = r"\u0900-\u0dff\u0e00-\u0eff"
_NUMBER = r"\d++(?:[.,]\d++)*"
_PLAIN = re.compile(rf"[{_UNSPACED}]|{_NUMBER}|(?:[^\W\d_{_UNSPACED}]|[{_SPELT_WITH_MARKS}])++")
_SYMBOLS = "@$!|€£¢+¡*#"
_AT_THE_START = "@$€£¢|!*#"
_AT_THE_END = "@$€£|!"
_CHUNK = re.compile(
    rf"[{_UNSPACED}]|{_NUMBER}(?![^\W_{_UNSPACED}]|[{_SYMBOLS}][^\W\d_])"
    rf"|[{re.escape(_AT_THE_START)}]{{0,3}}+(?:[^\W_{_UNSPACED}]|[{_SPELT_WITH_MARKS}])++"
    rf"(?:[{re.escape(_SYMBOLS)}]{{1,6}}+(?:[^\W_{_UNSPACED}]|[{_SPELT_WITH_MARKS}])++)*[{re.escape(_AT_THE_END)}]*+"
)
_LEET = str.maketrans("0134567892@$!|€£¢+¡", "oieasgtbgzasilelcti")
_LEET_L = _LEET | {ord("1"): ord("l"), ord("!"): ord("l")}
_LETTERED_DIGIT = str.maketrans("liozs", "11025")
_DIGITS_THEN_LETTERS = re.compile(r"(\d++)([^\W\d_]++)")
_LONG_RUN = re.compile(r"(.)\1{2,}+")
_ARABIC_ARTICLE = re.compile(r"[وبفلك]?(?:ال|لل)(?=.{2})")
_MASKS = "*#"
_MAX_MASKED = 2
_MAX_RUNS = 3


@dataclass(frozen=True, slots=True)
class Spelling:
    """What the lexicon lends to reading: its words, those that may be in pieces, and number words with their value.

    `whole_pieces` are pieces, with a space between, that are not put together; `beginnings` are those of all words that
    pieces can make, so that few are tried.
    """

    words: Collection[str]
    in_pieces: Collection[str]
    whole_pieces: Collection[str]
    compounds: Collection[str]
    beginnings: Collection[str]
    numbers: Mapping[str, int]
    tens: Collection[str]


def _value(digits: str) -> float | None:
    """What a number token says, or None where it is a date, a version or the like."""
    if digits.isdecimal():
        return int(digits[:9])
    whole, *parts = re.split("[.,]", digits)
    if "," in digits and "." not in digits and all(len(part) == 3 for part in parts):
        return int((whole + "".join(parts))[:9])
    return int(whole[:9]) + 0.5 if len(parts) == 1 else None


def _shortened_runs(word: str) -> Iterator[str]:
    """`teeeen` as `ten` and `teen`: each run of three and more as one letter or two."""
    letters = [found[1] for found in _LONG_RUN.finditer(word)]
    if not letters:
        return
    between = _LONG_RUN.split(word)[::2]
    for times in product((1, 2), repeat=min(len(letters), _MAX_RUNS)):
        runs = [letter * count for letter, count in zip(letters, (*times, *[1] * len(letters)), strict=False)]
        yield "".join(text + run for text, run in zip(between, (*runs, ""), strict=True))


def _readings(word: str, spelling: Spelling) -> Token:
    if word[0].isdigit():
        value = _value(word)
        return (word, MINOR_NUMBER) if value is not None and value < ADULT_AGE else (word,)
    found = [word, *_shortened_runs(word)]
    if any(spelling.numbers.get(reading, ADULT_AGE) < ADULT_AGE for reading in found):
        found.append(MINOR_NUMBER)
    if "\u0600" <= word[0] <= "\u06ff" and (article := _ARABIC_ARTICLE.match(word)):
        found.append(word[article.end() :])
    return tuple(found)


def _after_tens(tokens: list[Token], spelling: Spelling) -> bool:
    """Whether the last tokens end in `twenty`, `hundred and`, `treinta y`: the next number word is only its end."""
    if tokens and tokens[-1][0] in spelling.tens:
        return True
    return len(tokens) > 1 and tokens[-1][0] in {"and", "y", "e", "et", "i"} and tokens[-2][0] in spelling.tens


def _without_tails(tokens: Iterator[Token], spelling: Spelling) -> Stream:
    kept: list[Token] = []
    for token in tokens:
        is_word = token[0] in spelling.numbers
        kept.append(token[:1] if is_word and _after_tens(kept, spelling) else token)
    return tuple(kept)


def _plain_stream(text: str, spelling: Spelling) -> Stream:
    return _without_tails((_readings(found[0], spelling) for found in _PLAIN.finditer(text)), spelling)


def _leet_readings(chunk: str, spelling: Spelling) -> Iterator[Token]:
    """A chunk that mixes letters with digits or symbols: `15yo`, `l5`, `n4ked`, `s*x`."""
    if (split := _DIGITS_THEN_LETTERS.fullmatch(chunk)) and split[2] in spelling.words:
        yield _readings(split[1], spelling)
        yield _readings(split[2], spelling)
        return
    letters = [chunk.translate(_LEET), chunk.translate(_LEET_L)]
    if any(mask in chunk for mask in _MASKS):
        letters = [word for plain in letters for word in _unmasked(plain)]
    found = [reading for word in letters for reading in _readings(word, spelling)] if letters else [chunk]
    digits = chunk.translate(_LETTERED_DIGIT)
    if digits.isdecimal() and int(digits[:9]) < ADULT_AGE:
        found.append(MINOR_NUMBER)
    yield tuple(dict.fromkeys(found))


def _unmasked(word: str) -> Iterator[str]:
    pieces = re.split(f"[{_MASKS}]", word)
    yield "".join(pieces)
    if len(pieces) - 1 <= _MAX_MASKED:
        for vowels in product("aeiou", repeat=len(pieces) - 1):
            yield "".join(piece + vowel for piece, vowel in zip(pieces, (*vowels, ""), strict=True))


def _folded_tokens(text: str, spelling: Spelling) -> Iterator[Token]:
    for found in _CHUNK.finditer(text):
        chunk = found[0]
        word = chunk.lstrip(_AT_THE_START).rstrip(_AT_THE_END)
        if not any(letter.isalpha() for letter in chunk):
            yield _readings(word, spelling)
        elif chunk.isalpha():
            yield _readings(chunk, spelling)
        else:
            mixed = list(_leet_readings(chunk, spelling))
            yield (*_readings(word, spelling), *mixed[0]) if word.isalpha() else mixed[0]
            yield from mixed[1:]


# ── words in pieces ──────────────────────────────────────────────────────────────────────────────────────────────────


def _piece(token: Token) -> str:
    return token[0].translate(_LEET) if len(token[0]) == 1 else token[0]


def _from_pieces(stream: Stream, start: int, spelling: Spelling) -> tuple[str, int] | None:
    """The longest word that begins at token `start` and ends with a later one, and where the next token is.

    Single letters may make up any word; longer pieces only those that the lexicon marks, because `lol i` is chat.
    """
    word, best, single = "", None, True
    for end in range(start, min(start + MAX_JOINED, len(stream))):
        word += _piece(stream[end])
        single = single and len(stream[end][0]) == 1
        if word not in spelling.beginnings:
            break
        known = spelling.words if single and end - start >= 2 else spelling.in_pieces
        if end > start and word in known and not _whole(stream[start : end + 1], spelling):
            best = (word, end + 1)
    return best


def _whole(pieces: Stream, spelling: Spelling) -> bool:
    """Whether the pieces are words themselves: `child s`, which was an apostrophe, and what the lexicon lists."""
    written = [token[0] for token in pieces]
    return " ".join(written) in spelling.whole_pieces or any(len(p) > 1 and p in spelling.words for p in written)


def _in_two(token: Token, spelling: Spelling) -> tuple[str, str] | None:
    word = token[0]
    if not 6 <= len(word) <= MAX_JOINED or word in spelling.words or not word.isascii():
        return None
    cuts = ((word[:at], word[at:]) for at in range(3, len(word) - 2))
    return next((cut for cut in cuts if cut[0] in spelling.compounds and cut[1] in spelling.compounds), None)


def _joined_stream(stream: Stream, spelling: Spelling) -> Stream:
    tokens: list[Token] = []
    at = 0
    while at < len(stream):
        if whole := _from_pieces(stream, at, spelling):
            tokens.append(_readings(whole[0], spelling))
            at = whole[1]
            continue
        halves = _in_two(stream[at], spelling)
        tokens += [(half,) for half in halves] if halves else [stream[at]]
        at += 1
    return tuple(tokens)


_SPELT_OUT = re.compile(r"(?<![^\W_])[^\W_]([\W_])[^\W_](?![^\W_])(?:\1[^\W_](?![^\W_]))+")


def _spelt_out(text: str) -> str:
    """`n.u.d.e  g.i.r.l` as `nude  girl`: single letters with one and the same sign between them are a word."""
    return _SPELT_OUT.sub(lambda found: found[0].replace(found[1], ""), text)


def streams(text: str, spelling: Spelling) -> tuple[Stream, ...]:
    """All different streams of `text`: as written and decoded, each in its own script, folded and joined."""
    found: dict[Stream, None] = {}
    for version in dict.fromkeys((text, decoded(text))):
        letters = native(version)
        ascii_letters = folded(letters)
        found[_plain_stream(letters, spelling)] = None
        for flat in dict.fromkeys((ascii_letters, _spelt_out(ascii_letters))):
            tokens = _without_tails(_folded_tokens(flat, spelling), spelling)
            found[tokens] = None
            found[_joined_stream(tokens, spelling)] = None
    return tuple(found)
