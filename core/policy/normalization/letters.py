"""Letters: one form per word in its own script (`native`), and ASCII by appearance (`folded`).

May import: core.policy.spelling, for its data.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from core.policy.spelling import CONFUSABLES

_MARKS_THAT_SPELL = ((0x0900, 0x0DFF), (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x3099, 0x309A))
_MAX_MARKS = 4
_MAX_REMEMBERED = 20_000
"""Letters whose translation is kept: a text of every letter there is must not fill the memory."""
_SPELLINGS = str.maketrans({"ё": "е", "أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه", "ـ": None, "’": "'", "ʼ": "'"})
_BLANKS = {0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800, 0xFFFC, 0xFFFD, 0x1D159, 0x2061, 0x2062, 0x2063, 0x2064}
"""Letters and symbols without ink that are not of a format category."""
_WHITESPACE = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x1F}


class _Dropped(dict[int, int | None]):
    """For `str.translate`: drops what is invisible or only decorates, keeps the marks that spell a word."""

    def __missing__(self, code: int) -> int | None:
        kept = self._kept(code)
        if len(self) < _MAX_REMEMBERED:
            self[code] = kept
        return kept

    @staticmethod
    def _kept(code: int) -> int | None:
        kind = unicodedata.category(chr(code))
        if kind in {"Mn", "Me"}:
            spells = any(low <= code <= high for low, high in _MARKS_THAT_SPELL)
            return code if spells else None
        control = kind == "Cc" and code not in _WHITESPACE
        return None if control or kind in {"Cf", "Co", "Cn", "Cs"} or code in _BLANKS else code


def _few_marks(text: str) -> str:
    """At most `_MAX_MARKS` combining marks on a letter: putting a long run in order takes quadratic time."""
    if not any(map(unicodedata.combining, set(text))):
        return text
    kept, run = [], 0
    for letter in text:
        run = run + 1 if unicodedata.combining(letter) else 0
        if run <= _MAX_MARKS:
            kept.append(letter)
    return "".join(kept)


def native(text: str) -> str:
    """One form per word in its own script; the lexicon's words go through here as well."""
    if text.isascii():
        return text.translate(_DROPPED).lower()
    visible = unicodedata.normalize("NFKC", _few_marks(text)).translate(_DROPPED)
    composed = unicodedata.normalize("NFKC", visible.casefold())
    return composed.translate(_SPELLINGS)


@cache
def _lookalikes() -> dict[str, str]:
    """Unicode's confusables, and letters that only a reader of Latin script confuses."""
    lines = CONFUSABLES.read_text(encoding="utf-8").splitlines()
    found = {letter: plain for plain, letters in (line.split("\t") for line in lines) for letter in letters}
    for letters, plain in (
        ("авсԁегһіјкӏмнорԛѕтуѵԝхьзԍпидэяфчшщжц", "abcderhijkimhopqstyvwxbzgnuderfywwxu"),
        ("αβγδεζηικμνορσςτυχωϲϳθλξπ", "abydeznikmvopoctuxwcjoaen"),
        ("աեցհիոսւօ", "wtghhnupo"),
        ("ꭰꭱꭲꭺꮃꮪꮯꮋꮇꮢꮩꮶꮤꭼꮑ", "rritwschmrvkwea"),
        ("∂∈∊∩∪ɑɡɩʋνʟ", "deenuagivvl"),
    ):
        found |= dict(zip(letters, plain, strict=True))
    return found


_NAMED_LETTER = re.compile(
    r"(?:LATIN|REGIONAL INDICATOR|TURNED|SQUARED|CIRCLED)\b.*? LETTER (?:SMALL CAPITAL |TURNED )?([A-Z])\b"
)


_IS_SYLLABLE = re.compile(r"[\u3040-\u30ff\uac00-\ud7a3]")
"""Kana and Hangul: a part of a syllable is another one, or a mere consonant."""


class _Folded(dict[int, str]):
    """For `str.translate`: a letter by its appearance, else by its name in Unicode (`… LETTER D WITH STROKE`)."""

    def __missing__(self, code: int) -> str:
        plain = self._folded(chr(code))
        if len(self) < _MAX_REMEMBERED:
            self[code] = plain
        return plain

    @staticmethod
    def _folded(letter: str) -> str:
        if _IS_SYLLABLE.match(letter):
            return letter
        base = unicodedata.normalize("NFD", letter)[0]
        if base.isascii():
            return base
        if base in _lookalikes():
            return _lookalikes()[base]
        named = _NAMED_LETTER.search(unicodedata.name(base, ""))
        return named[1].lower() if named else base


_DROPPED = _Dropped()
_FOLDED = _Folded()
_MARKUP = re.compile(r"<[^<>]{0,64}+>")


def folded(text: str) -> str:
    """`native` text with accents, look-alike letters and markup gone."""
    text = _MARKUP.sub("", text) if "<" in text else text
    return text if text.isascii() else text.translate(_FOLDED)


_TURNED = dict(zip("ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", "abcdefghijklmnopqrstuvwxyz", strict=True))
_ONLY_TURNED = frozenset("ɐɔǝəɟƃɥᴉıɾʞɯɹʇʌʍʎ")
_UPRIGHT = str.maketrans(_TURNED | {"ə": "e", "ı": "i", "ɓ": "g", "ד": "d"})


def turned_over(text: str) -> str:
    """A text that was written upside down, upright again; "" where none of its letters is turned."""
    return text.translate(_UPRIGHT)[::-1] if not text.isascii() and not _ONLY_TURNED.isdisjoint(text) else ""
