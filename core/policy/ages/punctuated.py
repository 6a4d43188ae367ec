"""Ages that only punctuation identifies: `(13)`, `, 14,`, `f14`, `14f`, `12/f/uk`, `u14`, `Kai/16/he`.

They count only with sexual content.

May import: core.policy.ages, core.policy.normalization.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date
from itertools import chain

from core.policy.ages.abbreviated import abbreviated_ages, short_birth_years
from core.policy.ages.bare import bare_ages, spelled_fractions
from core.policy.ages.kinds import born
from core.policy.ages.numbers import NumberWords
from core.policy.normalization import ADULT_AGE, native

_YOUNGEST = 3
"""Smaller isolated numbers are usually counts and weights: `, 2,`."""
_APERTURES = {2, 4, 8, 11, 16}
_LONGEST_ALONE = 24
_SHORTEST_FOREIGN_WORD = 6
"""Minimum length of an isolated number word of another language: `elf`, `once` and `seize` are also English."""
_SEGMENTS = re.compile(r"[,;:()\[\]|\n!?\u2190-\u2604\u2606-\u2b4f\U0001f300-\U0001faff]|\.(?!\d)|(?<=\s)[-–—](?=\s)")
_WORDS = re.compile(r"\d+\.\d|\w+")
_MACHINES = r"\s(?:rifle|carbine|tank|engine|bolt|screw)"
_NOT_HEX = r"(?<!\d[\da-f][ -])(?<![=%])"
_PHOTO = r"(?<!at )(?<!aperture )(?<!aperture of )(?<!lens )(?<!mm )"
_SEX_FIRST = re.compile(rf"{_PHOTO}(?<![\w./]){_NOT_HEX}[fm](\s?/\s?|)(\d{{1,2}})(?![\w/]|[.,]\d|{_MACHINES})")
_LENGTHS = (
    r"(?!\s(?:away|high|deep|long|tall|wide|of|x)\b|"
    r"\sfrom\s(?:an?|the|this|that|my|his|her|its|our|their|each|one|where|here|shore|ground|start|\d))"
)
_AGE_FIRST = re.compile(rf"(?<![\w./,:]){_NOT_HEX}(\d{{1,2}})(/|\s/\s)?([fm])\b(?![./]\d){_LENGTHS}")
_AGE_SEX_PLACE = re.compile(r"(?<![\w.])(\d{1,2})\s?/\s?[fm]\b|(?<![\w.])[fm]\s?/\s?(\d{1,2})\s?/\s?[a-z]")
_SEX_THEN_AGE = re.compile(
    r"(?:^|[(\[\n.;:!?,|]\s?)[fm](?:\s?[,;|]\s?|\s[-–—]\s)(\d{1,2})\s?(?=[,;|)\]\n–—-]|$)(?!,\s?1/)"
)
_RATIO_OR_STOREY = re.compile(
    r"\d:\d+|(?<!\d)\d{1,2}\.\s(?:kat|katta|katında|stock|stockwerk|etage|og|piętro|piętrze)\b"
)
"""`16:9`, and an ordinal written with a full stop before a word for a storey: `7. katta`."""
_YEARS_AFTER = re.compile(
    r"\s?(?:years?|yrs?|jahre?|ans?|años?|anni|anno|anos?|jaar|jaren|lat|lata|лет|год|года|yaş|yaşında|سنة|سنوات|عام|عاما|"
    r"साल|वर्ष|岁|歲|歳|才)\s?$"
)
"""A unit at the end of a segment: punctuation shows that `, 14 years, long hair` is no length of time."""
_EACH = re.compile(r"^\s?(?:all|both|each)\s|\s(?:each|apiece|between them)\s?$")

_BETWEEN = r"\s?[/|•·~\\>»†‣▪◦⋆✦✧☆★♡♥]{1,3}\s?"
_SLASHED = re.compile(rf"(?<![\w./])[^\W\d_]{{2,30}}{_BETWEEN}(\d{{1,2}})(?:{_BETWEEN}[^\W\d_]|(?=\s*(?:$|[,.;\n])))")
_FIGURES_FIRST = re.compile(
    rf"(?<![\w./,:])(\d{{1,2}}){_BETWEEN}(?:he|she|they|it|him|her|any|male|female|nb|enby|girl|boy|cis)\b"
)
_TEAM = re.compile(r"(?<![\w-])u[ -]?(\d{1,2})s?(?![\w.]|-\d)")
_BELOW_SIGN = re.compile(r"[<≤]\s?(\d{1,2})(?![\d.%])")
_SUM = re.compile(r"(?<![\d.])(\d{1,3})\s?([-+*×x÷/−–])\s?(\d{1,3})\s?(?:=|years?\b|yrs?\b|y/?o\b)")
_AGE_WORDS = (
    r"(?:\bage[ds]?|\b[aâ]ge|\balter|\bedad|\bidade|\bet[aà]|\bleeftijd|\bwieku?|возраст|\bya[sş][ıi]?m?|"
    r"عمر(?:ها|ه|ي)?|العمر|उम्र|उमर|आयु|年龄|年齡|年齢|年纪|年紀)"
)
_AGE_SUM = re.compile(
    _AGE_WORDS + r"\s?(?:[:=?]|is\b|equals\b|ist\b|es\b|é\b|è\b|est\b|to\b|是|は)?\s?"
    r"(\d{1,3})\s?([-+*×x÷/−–])\s?(\d{1,3})(?![\d.])"
)
_ROOT = re.compile(r"√\s?(\d{1,3})(?!\d)")
_PERCENT = re.compile(r"\bage[ds]?\s?(?:is\s|=|:)?\s?(\d{1,3})\s?%\s?of\s(\d{1,3})(?!\d)")
_LIVING_SINCE = re.compile(
    r"\(\s?(?:b\.?\s?|born\s|\*\s?)?(\d{4})\s?[-–—]\s?(?:present|now|today|\?)?\s?\)|(?<![\w*])\*\s?(?:\d{1,2}[./]\d{1,2}[./])?(\d{4})(?![\d*])"
)
_YEARS_AND_MONTHS = re.compile(
    r"(?<![\w.])(\d{1,2})(?:\s?y(?:rs?)?\s?\d{1,2}\s?m(?:os?|ths?)?|\+\d{1,2}\s?(?:months|mos?|m))(?!\w)"
)
_DIGITS_APART = re.compile(r"(?:^|[,;:(\n])\s?1\s([0-7])\s?(?:$|[,;)\n])")
_AND_A_HALF = re.compile(r"(?:^|[,;(\n])\s?(\d{1,2})\s1/2\s?(?:$|[,;)\n])")
_ONE_OR_ANOTHER = re.compile(r"(?:^|[,;(\n])\s?(\d{1,2})\s?(or|[-–])\s?(\d{1,2})\s?(?:$|[,;)\n])")
_ROMAN = re.compile(r"\bage[ds]?\s?[:=]?\s?([ivx]{1,5})(?!\w|')|(?<!\w)([ivx]{2,5})\s(?:years?|yrs?|y/?o)(?!\w)")
_ROMAN_NUMERALS = dict(
    zip(
        ("v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv", "xvi", "xvii"),
        range(5, 18),
        strict=True,
    )
)
_HANDLE = re.compile(r"(?<![\w./])[^\W\d_]{2,20}_?(\d{1,2})_?(?:yo|yrs|m|f)(?!\w)")


def punctuated_ages(
    text: str, words: NumberWords, fillers: Collection[str] = (), today: date | None = None
) -> Iterator[float]:
    """Yield the ages below 18 in a text; the caller counts them only with sexual content.

    Years of birth, `(2014–)` and `*2014`, are read if `today` is given.
    """
    text = native(spelled_fractions(text))
    found = (
        _alone(text, words, fillers),
        _beside_sex(text),
        _marked(text),
        bare_ages(text, words),
        abbreviated_ages(text),
    )
    for age in chain.from_iterable(found):
        if _YOUNGEST <= age < ADULT_AGE:
            yield age
    if today is not None:
        yield from _living_since(text, today)
        yield from (age for age in short_birth_years(text, today) if age < ADULT_AGE)


def _living_since(text: str, today: date) -> Iterator[float]:
    """Yield the lowest ages of living persons by an isolated year of birth."""
    for found in _LIVING_SINCE.finditer(text):
        years = born([int(found[1] or found[2])], today)
        if years is not None and years[0] < ADULT_AGE:
            yield years[0]


def _alone(text: str, words: NumberWords, fillers: Collection[str]) -> Iterator[float]:
    """Yield numbers that stand alone between two punctuation marks, except in a ratio such as `16:9`."""
    before = ""
    for segment in _SEGMENTS.split(_RATIO_OR_STOREY.sub(" ", text)):
        if len(segment) <= _LONGEST_ALONE:
            yield from _whole_number(_YEARS_AFTER.sub("", _EACH.sub(" ", segment)), before, words, fillers)
        before = segment


def _whole_number(segment: str, before: str, words: NumberWords, fillers: Collection[str]) -> Iterator[float]:
    number_words = [word for word in _WORDS.findall(segment.removesuffix("ish")) if word not in fillers]
    numbers = (
        words.find(tuple((word,) for word in number_words)).get(0, ()) if number_words and "/" not in segment else ()
    )
    numbered = _WORDS.findall(before)[-1:]
    if numbered in (["no"], ["vol"], ["nr"], ["iso"]) or (numbered == ["f"] and segment.strip().isdecimal()):
        return
    for number in numbers:
        readable = number.language in {"", "en"} or len(number_words[0]) >= _SHORTEST_FOREIGN_WORD
        if number.end == len(number_words) and readable and not number.ordinal:
            yield number.value


def _beside_sex(text: str) -> Iterator[int]:
    for found in _SEX_FIRST.finditer(text):
        if not (found[1] and int(found[2]) in _APERTURES):
            yield int(found[2])
    for found in _AGE_FIRST.finditer(text):
        if found[2] or found[3] == "f" or int(found[1]) > 9:
            yield int(found[1])
    yield from (int(found[1]) for found in _SEX_THEN_AGE.finditer(text))
    for found in _AGE_SEX_PLACE.finditer(text):
        yield int(found[1] or found[2])


def _marked(text: str) -> Iterator[float]:
    """Yield ages between slashes (`kai/16/he`), of a team (`u14`), after a sign (`<15`), in a name, or in a sum."""
    for pattern in (_SLASHED, _FIGURES_FIRST, _HANDLE):
        yield from (int(found[1]) for found in pattern.finditer(text))
    for pattern in (_YEARS_AND_MONTHS, _AND_A_HALF):
        yield from (int(found[1]) for found in pattern.finditer(text))
    for found in _ONE_OR_ANOTHER.finditer(text):
        if found[2] == "or" or int(found[3]) - int(found[1]) == 1:
            yield int(found[1])
    yield from (10 + int(found[1]) for found in _DIGITS_APART.finditer(text))
    yield from (_ROMAN_NUMERALS.get(found[1] or found[2], 0) for found in _ROMAN.finditer(text))
    yield from (int(found[1]) * int(found[2]) / 100 for found in _PERCENT.finditer(text))
    yield from (int(found[1]) ** 0.5 for found in _ROOT.finditer(text))
    for pattern in (_SUM, _AGE_SUM):
        yield from (_result(int(found[1]), found[2], int(found[3])) for found in pattern.finditer(text))
    yield from (int(found[1]) - 1 for found in _TEAM.finditer(text))
    yield from (int(found[1]) - 1 for found in _BELOW_SIGN.finditer(text))


def _result(first: int, sign: str, second: int) -> float:
    """Return the result of an operation in digits; 0 for a range such as `14-16 years`."""
    if sign == "+":
        return first + second
    if sign in "-−–":
        return first - second if first >= ADULT_AGE else 0
    if sign in "*×x":
        return first * second
    return first / second if second else 0
