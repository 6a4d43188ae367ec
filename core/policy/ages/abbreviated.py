"""Ages in introductions and abbreviations: `im Jonas 11 from Denmark`, `asl? 14 m`, `'11 baby`, `y9`, `1100 in binary`.

They count only with sexual content.

May import: core.policy.ages, core.policy.normalization.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from core.policy.ages.kinds import born_short

_NOT_NAMES = (
    r"(?!(?:at|only|about|around|over|under|room|number|no|day|page|level|size|chapter|class|gate|top|part|season|year|"
    r"week|the|like|almost|nearly|past|after|before|till|until|from|in|on|by|to|out|up|down|done|than|and|or|of|for|just|"
    r"not|between|exactly|roughly|approximately|team|track|take|episode|unit|platform|seat|table|lot|route|phase|step|"
    r"version|act|scene|model|type|iso|vol)\b)"
)
_NAME = rf"{_NOT_NAMES}[^\W\d_]{{2,20}}"
_INTRODUCTION = (
    r"(?:\b(?:i'?m|i am|my name'?s|my name is|name is|names|name'?s|call me|this is|it'?s|its|hi|hey|hello|hiya|yo|"
    r"heya|i go by|meet)\s)"
)
_AFTER_AGE = (
    r"(?=\s?(?:$|[,.;!?|/\n)])|\s(?:from|here|in|f|m|yo|she|he|they|and|living|looking|girl|boy|male|female|nb|uk|us|usa|"
    r"aus|nz|eu|who|nice|wanna|want|new|based|love|loves|year|yrs|yr|years)\b)"
)
_INTRODUCED = re.compile(rf"{_INTRODUCTION}{_NAME}(?:\s{_NAME})?,?\s(\d{{1,2}}){_AFTER_AGE}")
_IN_MONTHS = r"\d{1,2}\s?(?:months?|mths?|mos?|weeks?|wks?|days?)\b"
_NO_AGE = r"(?!\s(?:ago|later|after|before|left|to|until|of|and|clean|sober|together|pregnant|along|now)\b)"
_BABY_NAMED = re.compile(
    rf"\b(?:baby|bby|newborn|infant)\s{_NAME},?\s?\(?(?:aged?\s)?{_IN_MONTHS}{_NO_AGE}"
    rf"|(?<!\w){_NAME}\s?\({_IN_MONTHS}(?:\sold)?\s?\)"
)
"""A name and an age in months, weeks or days: `baby Noah, 8 months`, `Ida (10 weeks)`."""
_INFANT = 3
"""Age that is returned for an infant, whose age in years may be too small to be read."""
_AGE_SEX_LOCATION = re.compile(r"\b(?:a\W?s\W?l|age\W{1,2}sex)\b\D{0,16}(\d{1,2})(?!\d)")
_NO_LENGTH = r"(?!\s(?:away|high|deep|long|tall|wide|of|x|from|to|by|above|below|and|up|down|radius|outside|in|at)\b)"
_AGE_SEX_FIRST = re.compile(
    rf"(?:^|[\n.!?:;|]\s?)(\d{{1,2}})\s(?:f|m|nb|enby|female|male)\b{_NO_LENGTH}(?=\s[^\W\d_]|[,|])"
)
_YEAR_NOUN = r"(?:baby|babies|kid|kids|child|children|girl|girls|boy|boys|born|vintage|model|bby)"
_BORN_SHORT = re.compile(
    rf"(?<!\w)['’‘`](\d\d)(?!\w)[\s-]?{_YEAR_NOUN}\b|(?<![\w.,:/])(0\d)[\s-]?(?:baby|babies|kid|kids|born)\b"
)
_SCHOOL_YEAR = re.compile(r"(?<![\w.=+*/^-])y(?:r|ear)?s?(\d{1,2})(?!\w|[.,]\d|\s?[=+*/^]|-\d)")
_IN_BASE = (
    (2, re.compile(r"(?<!\w)([01]{3,5})\s?\(?in binary\b|\bbinary\b\D{0,16}?(?<!\w)([01]{3,5})(?!\w)")),
    (8, re.compile(r"(?<!\w)([0-7]{2})\s?\(?in octal\b|\boctal\s?[:=]?\s?([0-7]{2})(?!\w)")),
    (16, re.compile(r"(?<!\w)([\da-f]{1,2})\s?\(?in hex\b|\bhex\s?[:=]?\s?(?:0x)?([\da-f]{1,2})(?!\w)")),
)
_POWER = re.compile(r"(?<![\d.])(\d)\s?\^\s?(\d)(?!\d)")
_FIRST_SCHOOL_AGE = 4
_LAST_SCHOOL_YEAR = 13


def abbreviated_ages(text: str) -> Iterator[float]:
    """Yield the ages in a `native` text that an introduction or an abbreviation shows."""
    for pattern in (_INTRODUCED, _AGE_SEX_LOCATION, _AGE_SEX_FIRST):
        yield from (int(found[1]) for found in pattern.finditer(text))
    yield from (_INFANT for _ in _BABY_NAMED.finditer(text))
    for found in _SCHOOL_YEAR.finditer(text):
        if 1 <= int(found[1]) <= _LAST_SCHOOL_YEAR:
            yield int(found[1]) + _FIRST_SCHOOL_AGE
    for base, pattern in _IN_BASE:
        yield from (int(found[1] or found[2], base) for found in pattern.finditer(text))
    yield from (int(found[1]) ** int(found[2]) for found in _POWER.finditer(text))


def short_birth_years(text: str, today: date) -> Iterator[float]:
    """Yield the lowest ages by a birth year of two digits with an apostrophe or a zero: `'11 baby`, `08 kid`."""
    for found in _BORN_SHORT.finditer(text):
        years = born_short([int(found[1] or found[2])], today)
        if years is not None:
            yield years[0]
