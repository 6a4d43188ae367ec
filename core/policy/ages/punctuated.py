"""Ages that only punctuation shows: `(13)`, `, 14,`, `f14`, `14f`, `12/f/uk`. All are read only beside sexual content.

May import: core.policy.ages, core.policy.normalization.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from core.policy.ages.numbers import NumberWords
from core.policy.normalization import ADULT_AGE

_YOUNGEST = 3
"""Isolated figures below are more often counts and weights: `, 2,`."""
_APERTURES = {2, 4, 8, 11, 16}
_LONGEST_ALONE = 24
_SHORTEST_FOREIGN_WORD = 6
"""Letters of a number word that is read alone: `elf`, `once` and `seize` are English words too."""
_SEGMENTS = re.compile(r"[,;:()\[\]|\n!?]|\.(?!\d)|(?<=\s)[-–—](?=\s)")
_WORDS = re.compile(r"\w+")
_MACHINES = r"\s(?:rifle|carbine|tank|engine|bolt|screw)"
_NOT_HEX = r"(?<!\d[\da-f][ -])(?<![=%])"
_SEX_FIRST = re.compile(rf"(?<![\w./]){_NOT_HEX}[fm](\s?/\s?|)(\d{{1,2}})(?![\w/]|[.,]\d|{_MACHINES})")
_LENGTHS = r"(?!\s(?:away|from|high|deep|long|tall|wide|of|x)\b)"
_AGE_FIRST = re.compile(rf"(?<![\w./,:]){_NOT_HEX}(\d{{1,2}})(/|\s/\s)?([fm])\b(?![./]\d){_LENGTHS}")
_AGE_SEX_PLACE = re.compile(r"(?<![\w.])(\d{1,2})\s?/\s?[fm]\b|(?<![\w.])[fm]\s?/\s?(\d{1,2})\s?/\s?[a-z]")


def punctuated_ages(text: str, words: NumberWords, fillers: Collection[str] = ()) -> Iterator[float]:
    """Ages below 18 in a `native` text; the caller counts them only where something sexual is said."""
    for age in (*_alone(text, words, fillers), *_beside_sex(text)):
        if _YOUNGEST <= age < ADULT_AGE:
            yield age


def _alone(text: str, words: NumberWords, fillers: Collection[str]) -> Iterator[float]:
    """Numbers with nothing beside them between two marks of punctuation. A ratio, `16:9`, is none."""
    before = ""
    for segment in _SEGMENTS.split(re.sub(r"\d:\d+", " ", text)):
        if len(segment) <= _LONGEST_ALONE:
            yield from _whole_number(segment, before, words, fillers)
        before = segment


def _whole_number(segment: str, before: str, words: NumberWords, fillers: Collection[str]) -> Iterator[float]:
    said = [word for word in _WORDS.findall(segment.removesuffix("ish")) if word not in fillers]
    numbers = words.find(tuple((word,) for word in said)).get(0, ()) if said and "/" not in segment else ()
    numbered = _WORDS.findall(before)[-1:]
    if numbered in (["no"], ["vol"], ["nr"], ["iso"]) or (numbered == ["f"] and segment.strip().isdecimal()):
        return
    for number in numbers:
        readable = number.language in {"", "en"} or len(said[0]) >= _SHORTEST_FOREIGN_WORD
        if number.end == len(said) and readable and not number.ordinal:
            yield number.value


def _beside_sex(text: str) -> Iterator[int]:
    for found in _SEX_FIRST.finditer(text):
        if not (found[1] and int(found[2]) in _APERTURES):
            yield int(found[2])
    for found in _AGE_FIRST.finditer(text):
        if found[2] or found[3] == "f" or int(found[1]) > 9:
            yield int(found[1])
    for found in _AGE_SEX_PLACE.finditer(text):
        yield int(found[1] or found[2])
