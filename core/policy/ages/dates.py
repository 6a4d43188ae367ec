"""Dates of birth: the ages that follow from a date next to a word for birth.

The formats are a year alone, a date with a month's name in either order, and a date in digits (`03/04/2014`,
`2014-04-03`, `3.4.2014`). If the order of day and month is ambiguous, both readings count.

May import: core.policy.ages, core.policy.normalization.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from core.policy.ages.kinds import Range, born, full_year
from core.policy.ages.numbers import Number
from core.policy.normalization import Stream

AFTER_WINDOW = 8
"""Number of tokens after a word for birth that may contain the year: `born on the 4th of May 2014`."""
BEFORE_WINDOW = 3
"""Number of tokens before a word for birth, in languages in which it comes last."""
_DAYS, _MONTHS = 31, 12
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.((?:19|20)?\d\d)|((?:19|20)\d\d)\.(\d{1,2})\.(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Born:
    """The possible ages by a date of birth at tokens `start` to `end`."""

    years: Range
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class BirthDates:
    """Reader of the dates in one stream; `months` maps the names of months to their numbers."""

    stream: Stream
    numbers: Mapping[int, list[Number]]
    months: Mapping[str, int]
    today: date

    def within(self, start: int, end: int) -> Iterator[Born]:
        """Yield the first date of birth whose year is at tokens `start` to `end`, if any."""
        for at in range(start, min(end, len(self.stream))):
            for year, year_end in self._years_at(at):
                if born([year], self.today):
                    years, date_end = self._ages(start, at, year, year_end)
                    yield Born(years, min(start, at), date_end)
                    return

    def _years_at(self, at: int) -> Iterator[tuple[float, int]]:
        token = self.stream[at][0]
        dotted = _DOTTED.fullmatch(token)
        if token.isdecimal() and len(token) == 4:
            yield int(token), at + 1
        elif dotted:
            year = int(dotted[3] or dotted[4])
            yield year if year >= 100 else full_year(year, self.today), at + 1
        yield from ((number.value, number.end) for number in self.numbers.get(at, ()))

    def _ages(self, start: int, at: int, year: float, year_end: int) -> tuple[Range, int]:
        """Return the range of ages, and the end of the date."""
        month, small = self._parts(start, at)
        end = year_end
        if month is None and not small:
            month, small, end = self._after(year_end)
        if dotted := _DOTTED.fullmatch(self.stream[at][0]):
            small = [int(part) for part in (dotted[1] or dotted[5], dotted[2] or dotted[6])]
        if month is not None:
            days = small[-1:] if small else []
            ages = [_age(int(year), month, day, self.today) for day in days or (1, _DAYS)]
        else:
            ages = [_age(int(year), *pair, self.today) for pair in _exchanged(small)]
        known = [age for age in ages if age is not None]
        whole = born([year], self.today)
        return (min(known), max(known)) if known else whole or (0, 0), end

    def _parts(self, start: int, end: int) -> tuple[int | None, list[int]]:
        """Return the named month in the tokens, and the numbers that can be a day or a month."""
        months = [self.months[word] for at in range(start, end) for word in self.stream[at] if word in self.months]
        numbers = [number for at in range(start, end) for number in self.numbers.get(at, ())[:1]]
        small = [int(number.value) for number in numbers if 1 <= number.value <= _DAYS]
        return (months[-1] if months else None), small

    def _after(self, at: int) -> tuple[int | None, list[int], int]:
        """Return month, day and end of a date that begins with the year: `2014-04-03`, `2014 April 3`."""
        end = min(at + 2, len(self.stream))
        month, small = self._parts(at, end)
        if month is None and len(small) == 2 and small[0] <= _MONTHS:
            return small[0], small[1:], end
        return (month, small, end) if month is not None else (None, [], at)


def _exchanged(small: list[int]) -> list[tuple[int, int]]:
    """Return month and day of two numbers, in both orders if both are possible."""
    if len(small) < 2:
        return []
    first, second = small[-2:]
    return [(month, day) for month, day in ((first, second), (second, first)) if month <= _MONTHS]


def _age(year: int, month: int, day: int, today: date) -> int | None:
    birthday = (month, min(day, monthrange(year, month)[1]))
    age = today.year - year - ((today.month, today.day) < birthday)
    return age if age >= 0 else None
