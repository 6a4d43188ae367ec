"""Numbers in a stream of tokens: digits, and number words of each language with their combinations.

May import: core.policy.normalization.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import NamedTuple, TypeAlias

from core.policy.normalization import MINOR_NUMBER, Stream, Token, TokenCache

Phrase: TypeAlias = tuple[str, ...]

MAX_VALUE = 10**9
_NONE: frozenset[str] = frozenset()
_MAX_PARTS = 6
_YEAR_DIGITS = 4
_CENTURY = 19
"""First part of an English year in words: `nineteen seventy-two`. `twenty eleven` may also be a number of persons."""
_HAN_DIGITS = {digit: value % 10 for value, digit in enumerate("〇一二三四五六七八九零")}
_SOME_MINOR = 15
"""Value for a number below 18 whose digits are written with letters (`l5`)."""


class Number(NamedTuple):
    """A number at tokens `start` to `end`; `language` is empty for digits and Han numerals."""

    value: float
    start: int
    end: int
    language: str = ""
    ordinal: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    phrase: Phrase
    value: int
    language: str
    ordinal: bool


@dataclass(slots=True)
class NumberWords:
    """Number words of all languages. `units_first`: languages with the unit before the tens, such as Arabic."""

    entries: dict[str, list[_Entry]] = field(default_factory=dict)
    joiners: dict[str, set[str]] = field(default_factory=dict)
    units_first: set[str] = field(default_factory=set)
    _can_begin: TokenCache[bool] = field(init=False, repr=False, compare=False)
    _entries_of: TokenCache[tuple[_Entry, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._can_begin = TokenCache(self.begins)
        self._entries_of = TokenCache(self._entries)

    def add(self, language: str, words: Mapping[Phrase, int], *, ordinal: bool = False) -> None:
        self._can_begin.clear()
        self._entries_of.clear()
        for phrase, value in words.items():
            if len(phrase) == 1 and phrase[0] in ascii_lowercase:
                continue  # the Han zero, which is folded to `o`
            found = self.entries.setdefault(phrase[0], [])
            found.append(_Entry(phrase, value, language, ordinal))
            found.sort(key=lambda entry: -len(entry.phrase))

    def _entries(self, token: Token) -> tuple[_Entry, ...]:
        return tuple(entry for reading in token for entry in self.entries.get(reading, ()))

    def begins(self, token: Token) -> bool:
        """Whether a number can begin with the token."""
        return MINOR_NUMBER in token or token[0][:1].isdecimal() or not self.entries.keys().isdisjoint(token)

    def find(self, stream: Stream) -> dict[int, list[Number]]:
        """Return the numbers of a stream by their first token.

        The end of a longer number is not a separate number, in any language: `treinta y cinco` is one number, although
        `cinco` is also Portuguese.
        """
        found: dict[int, list[Number]] = {}
        taken: dict[str, int] = {}
        longest = 0
        for at in self._positions(stream):
            token = stream[at]
            numbers = [Number(value, at, at + 1) for value in _figures(token)]
            known = self._entries_of[token]
            for number in self._words_at(stream, at) if known else ():
                if at >= taken.get(number.language, 0):
                    whole = _han_year(stream, number) or self._combined(stream, number)
                    taken[number.language] = whole.end
                    if whole.end > longest:
                        numbers.append(whole)
            if not numbers and not known and MINOR_NUMBER in token:
                numbers.append(Number(_SOME_MINOR, at, at + 1))
            if numbers:
                found[at] = numbers
                longest = max(longest, *(number.end for number in numbers))
        return found

    def _positions(self, stream: Stream) -> list[int]:
        can_begin = self._can_begin
        return [at for at, token in enumerate(stream) if can_begin[token]]

    def _words_at(self, stream: Stream, at: int) -> Iterator[Number]:
        """Yield the longest number of each language at a token, for any of its readings."""
        entries = self._entries_of[stream[at]] if at < len(stream) else ()
        languages: set[str] = set()
        for entry in entries:
            if entry.language not in languages and (len(entry.phrase) == 1 or follows(entry.phrase, stream, at)):
                languages.add(entry.language)
                yield Number(entry.value, at, at + len(entry.phrase), entry.language, entry.ordinal)

    def _combined(self, stream: Stream, number: Number) -> Number:
        for _ in range(_MAX_PARTS):
            part = self._next_part(stream, number)
            value = _sum(number, part, units_first=number.language in self.units_first) if part else None
            if part is None or value is None:
                break
            number = Number(value, number.start, part.end, number.language, part.ordinal)
        return number

    def _next_part(self, stream: Stream, number: Number) -> Number | None:
        at = number.end
        if at >= len(stream):
            return None
        starts = (at,) if self.joiners.get(number.language, _NONE).isdisjoint(stream[at]) else (at, at + 1)
        parts = (part for start in starts for part in self._words_at(stream, start))
        return next((part for part in parts if part.language == number.language), None)


def follows(phrase: Phrase, stream: Stream, at: int) -> bool:
    """Whether the words of a phrase are those of the tokens from `at` on."""
    ahead = stream[at : at + len(phrase)]
    return len(ahead) == len(phrase) and all(word in token for word, token in zip(phrase, ahead, strict=True))


def _han_year(stream: Stream, number: Number) -> Number | None:
    """Return the year of four Han digits that begin with a number, such as `一九九一`, if there are exactly four."""
    if number.language or number.value not in {1, 2}:
        return None
    start, end = number.start, number.start + _YEAR_DIGITS
    digits = [_HAN_DIGITS.get(token[0]) for token in stream[start : end + 1]]
    year, after = digits[:_YEAR_DIGITS], digits[_YEAR_DIGITS:]
    continues = start > 0 and stream[start - 1][0] in _HAN_DIGITS
    if continues or len(year) < _YEAR_DIGITS or None in year or after not in ([], [None]):
        return None
    return Number(int("".join(map(str, year))), start, end)


def _sum(number: Number, part: Number, *, units_first: bool) -> float | None:
    """Return the value of two parts of one number; None if they are two numbers."""
    first, second = int(number.value), int(part.value)
    if first == _CENTURY and number.language == "en" and second >= 10:
        first *= 100
    if first >= 20 and first % 10 == 0 and 0 < second < (20 if first in {60, 80} else 10):
        return first + second
    if first >= 100 and first % 100 == 0 and second < 100:
        return first + second
    if units_first and first < 10 and second % 10 == 0 and 10 <= second < 100:
        return first + second
    if 0 < first < 10 and (second in {100, 1000} or (second == 10 and number.language in _POSITIONAL)):
        return first * second
    if number.language in _POSITIONAL and first == 10 and second < 10:
        return first + second
    return None


_POSITIONAL = {"", "ko"}
"""Languages that write 12 as ten and two, and 20 as two tens; the empty name is that of Han numerals."""


def _figures(token: Token) -> Iterable[float]:
    value = _value(token[0]) if token[0][:1].isdecimal() else None
    return () if value is None else (value,)


def _value(digits: str) -> float | None:
    """Return the value of digits, or None for a date, a version and the like."""
    if digits.isdecimal():
        return int(digits[:9])
    parts = re.split("[.,]", digits)
    if not all(part.isdecimal() for part in parts):
        return None
    if "," in digits and "." not in digits and all(len(part) == 3 for part in parts[1:]):
        return int("".join(parts)[:9])
    return int(parts[0][:9]) + 0.5 if len(parts) == 2 else None
