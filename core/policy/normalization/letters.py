"""Normalize letters: to one form per word in its own script (`native`), and to similar ASCII letters (`folded`).

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
"""Maximum number of cached letters, so that a text with all of Unicode does not fill the memory."""
_SPELLINGS = str.maketrans({"ё": "е", "أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه", "ـ": None, "’": "'", "ʼ": "'"})
_BLANKS = {0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800, 0xFFFC, 0xFFFD, 0x1D159, 0x2061, 0x2062, 0x2063, 0x2064}
"""Invisible letters and symbols whose Unicode category is not a format category."""
_WHITESPACE = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x1F}


class _DropTable(dict[int, int | None]):
    """Table for `str.translate` that drops invisible characters and decorative marks, but not marks of a script."""

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


def _limit_marks(text: str) -> str:
    """Keep at most `_MAX_MARKS` combining marks on a letter, because sorting a long run takes quadratic time."""
    if not any(map(unicodedata.combining, set(text))):
        return text
    kept, run = [], 0
    for letter in text:
        run = run + 1 if unicodedata.combining(letter) else 0
        if run <= _MAX_MARKS:
            kept.append(letter)
    return "".join(kept)


def native(text: str) -> str:
    """Return `text` with one form per word in its own script. The lexicon's words are normalized in the same way."""
    if text.isascii():
        return text.translate(_DROPPED).lower()
    visible = unicodedata.normalize("NFKC", _limit_marks(text)).translate(_DROPPED)
    composed = unicodedata.normalize("NFKC", visible.casefold())
    return composed.translate(_SPELLINGS)


@cache
def _lookalikes() -> dict[str, str]:
    """Return look-alike letters: Unicode's confusables, and others that resemble Latin letters."""
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
"""Kana and Hangul, which are not decomposed: a part of a syllable is another syllable or a consonant."""


class _FoldTable(dict[int, str]):
    """Table for `str.translate` to ASCII, by appearance or else by the Unicode name (`… LETTER D WITH STROKE`)."""

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


_DROPPED = _DropTable()
_FOLDED = _FoldTable()
_MARKUP = re.compile(r"<[^<>]{0,64}+>")


def folded(text: str) -> str:
    """Return `native` text with ASCII for accented and look-alike letters, and without markup."""
    text = _MARKUP.sub("", text) if "<" in text else text
    return text if text.isascii() else text.translate(_FOLDED)


_TURNED = dict(zip("ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", "abcdefghijklmnopqrstuvwxyz", strict=True))
_ONLY_TURNED = frozenset("ɐɔǝəɟƃɥᴉɾʞɯɹʇʌʍʎ")
"""Letters that show a turned text; `ı` does not, because it is also a letter of Turkish."""
_UPRIGHT = str.maketrans(_TURNED | {"ə": "e", "ı": "i", "ɓ": "g", "ד": "d"})


def turn_upright(text: str) -> str:
    """Return a text that is written upside down as upright text; "" if none of its letters is turned."""
    return text.translate(_UPRIGHT)[::-1] if not text.isascii() and not _ONLY_TURNED.isdisjoint(text) else ""
