"""Kinds of patterns: how a pattern's numbers give a range of years.

May import: core.policy.normalization.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import TypeAlias

from core.policy.normalization import ADULT_AGE

Range: TypeAlias = tuple[float, float]

_OLDEST_BIRTH_YEAR = 1900
_LAST_SHORT_YEAR = 99
_LATEST_MAJORITY = 21
"""Last age of the kinds `adult_age_in_…`; a larger number before a length of time is usually no age."""


def _exactly(value: float) -> Range:
    return value, value


def _years_from(least: int) -> Callable[[list[float], date], Range | None]:
    return lambda n, _: _exactly(n[0]) if n[0] >= least else None


def _under(numbers: list[float], _: date) -> Range:
    """Return the ages under a limit; a limit above 18 is read as an adult's age."""
    limit = numbers[0]
    return (0, limit - 1) if limit <= ADULT_AGE else (ADULT_AGE, limit - 1)


def born(numbers: list[float], today: date) -> Range | None:
    year = numbers[0]
    return (today.year - year - 1, today.year - year) if _OLDEST_BIRTH_YEAR <= year <= today.year + 1 else None


def _siblings(numbers: list[float], _: date) -> Range | None:
    """Return the ages of several persons; `one` after an adult's age is a pronoun: `our twins are 33 now, one is …`."""
    pronoun = len(numbers) > 1 and numbers[0] >= ADULT_AGE and numbers[-1] == 1
    return None if pronoun else (min(numbers), max(numbers))


def _class_of(numbers: list[float], today: date) -> Range | None:
    """Return the age of a school leaver, who is 18 in the year of the class."""
    years = numbers[0] - today.year
    return _exactly(ADULT_AGE - years) if -80 < years <= 18 else None


def _born_since(epoch: int) -> Callable[[list[float], date], Range | None]:
    """Return a kind for birth years counted from `epoch`, such as 1988 for the Heisei era."""
    return lambda n, today: born([epoch + n[0]], today)


def full_year(year: float, today: date) -> float:
    """Return the latest year with these last two digits that has begun: 2015 for 15, 1998 for 98."""
    return year + (2000 if year <= today.year % 100 else 1900)


def born_short(numbers: list[float], today: date) -> Range | None:
    """Return the age for a birth year of two digits: `born in '12`."""
    year = numbers[0]
    if year != int(year) or not 0 <= year <= _LAST_SHORT_YEAR:
        return None
    return born([full_year(year, today)], today)


def _class_of_short(numbers: list[float], today: date) -> Range | None:
    return _class_of([2000 + numbers[0]], today) if numbers[0] <= _LAST_SHORT_YEAR // 2 else None


def _adult_age_in_months(numbers: list[float], _: date) -> Range | None:
    """Return the present age of a person who reaches an adult's age in a number of months: `18 in 16 months`."""
    age, months = numbers
    return _exactly(age - max(1, months / 12)) if ADULT_AGE <= age <= _LATEST_MAJORITY else None


def _years_between(least: int, most: int) -> Callable[[list[float], date], Range | None]:
    return lambda n, _: _exactly(n[0]) if least <= n[0] <= most else None


def _grade(first_age: int, last: int) -> Callable[[list[float], date], Range | None]:
    return lambda n, _: (n[0] + first_age - 1, n[0] + first_age) if n[0] <= last else None


KINDS: Mapping[str, Callable[[list[float], date], Range | None]] = {
    "years": lambda n, _: _exactly(n[0]),
    "years_from_2": _years_from(2),
    "years_from_3": _years_from(3),
    "years_from_5": _years_from(5),
    "years_3_to_11": _years_between(3, 11),
    "years_from_13": _years_from(13),
    "at_most": lambda n, _: _exactly(n[0]),
    "range": lambda n, _: (min(n), max(n)),
    "siblings": _siblings,
    "months": lambda n, _: _exactly(n[0] // 12),
    "weeks": lambda n, _: _exactly(n[0] // 52),
    "days": lambda n, _: _exactly(n[0] // 365),
    "decades": lambda n, _: _exactly(10 * n[0]),
    "dozens": lambda n, _: _exactly(12 * n[0]),
    "nth_year": lambda n, _: _exactly(n[0] - 1),
    "decade_of_life": lambda n, _: (n[0], n[0] + 9),
    "before_adulthood": lambda n, _: _exactly(ADULT_AGE - n[0]),
    "months_before_adulthood": lambda n, _: _exactly(max(0, ADULT_AGE - max(1, n[0] / 12))),
    "years_to_21": lambda n, _: _exactly(21 - n[0]),
    "years_before_age": lambda n, _: _exactly(n[1] - n[0]),
    "age_in_years": lambda n, _: _exactly(n[0] - n[1]),
    "adult_age_in_years": lambda n, _: _exactly(n[0] - n[1]) if ADULT_AGE <= n[0] <= _LATEST_MAJORITY else None,
    "adult_age_in_months": _adult_age_in_months,
    "years_since": lambda n, _: _exactly(n[0]),
    "months_since": lambda n, _: _exactly(n[0] // 12),
    "difference": lambda n, _: _exactly(abs(n[0] - n[1])),
    "last_less_first": lambda n, _: _exactly(n[1] - n[0]),
    "half_less": lambda n, _: _exactly((n[1] - n[0]) / 2),
    "half_more": lambda n, _: _exactly((n[1] + n[0]) / 2),
    "last_over_first": lambda n, _: _exactly(n[1] / n[0]) if n[0] else None,
    "first_over_last": lambda n, _: _exactly(n[0] / n[1]) if n[1] else None,
    "lustra": lambda n, _: _exactly(5 * n[0]),
    "mean": lambda n, _: _exactly((n[0] + n[1]) / 2),
    "age_in_calendar_year": lambda n, today: _exactly(n[0] - (n[1] - today.year)) if n[1] > today.year else None,
    "calendar_year_of_age": lambda n, today: _exactly(n[1] - (n[0] - today.year)) if n[0] > today.year else None,
    "days_since": lambda n, _: _exactly(n[0] // 365),
    "cube_root": lambda n, _: _exactly(round(n[0] ** (1 / 3), 3)),
    "birth_date_short": lambda n, today: born_short(n[2:], today) if n[0] <= 31 and n[1] <= 31 else None,
    "age_after": lambda n, _: _exactly(n[0] + n[1]),
    "dozen_and": lambda n, _: _exactly(12 + n[0]),
    "dozen_less": lambda n, _: _exactly(12 - n[0]),
    "score_less": lambda n, _: _exactly(20 - n[0]),
    "score_share": lambda n, _: _exactly(20 / n[0]) if n[0] else None,
    "double_and": lambda n, _: _exactly(2 * n[0] + n[1]),
    "half_and": lambda n, _: _exactly(n[0] / 2 + n[1]),
    "triple": lambda n, _: _exactly(3 * n[0]),
    "two_thirds": lambda n, _: _exactly(n[0] * 2 / 3),
    "three_quarters": lambda n, _: _exactly(n[0] * 3 / 4),
    "percent": lambda n, _: _exactly(n[0] * n[1] / 100),
    "product": lambda n, _: _exactly(n[0] * n[1]),
    "sum": lambda n, _: _exactly(n[0] + n[1]),
    "double": lambda n, _: _exactly(2 * n[0]),
    "half": lambda n, _: _exactly(n[0] / 2),
    "third": lambda n, _: _exactly(n[0] / 3),
    "quarter": lambda n, _: _exactly(n[0] / 4),
    "fifth": lambda n, _: _exactly(n[0] / 5),
    "square": lambda n, _: _exactly(n[0] ** 2),
    "square_root": lambda n, _: _exactly(n[0] ** 0.5),
    "quotient": lambda n, _: _exactly(n[0] / n[1]) if n[1] else None,
    "under": _under,
    "birth_year": born,
    "birth_year_short": born_short,
    "birth_year_showa": _born_since(1925),
    "birth_year_heisei": _born_since(1988),
    "birth_year_reiwa": _born_since(2018),
    "birth_year_minguo": _born_since(1911),
    "class_of": _class_of,
    "class_of_short": _class_of_short,
    "grade": _grade(6, 12),
    "grade_uk": _grade(5, 13),
    "grade_from_11": _grade(11, 6),
    "grade_from_12": _grade(12, 6),
    "grade_from_15": _grade(15, 3),
}
"""By name in a language's file: the function to the range of years, or to None if the numbers are not an age."""
COMPUTED = {
    "before_adulthood",
    "months_before_adulthood",
    "years_to_21",
    "years_before_age",
    "age_in_years",
    "adult_age_in_years",
    "adult_age_in_months",
    "product",
    "quotient",
    "sum",
    "at_most",
    "square",
    "square_root",
    "fifth",
    "third",
    "quarter",
    "half",
    "double",
    "triple",
    "two_thirds",
    "three_quarters",
    "percent",
    "age_after",
    "years_since",
    "months_since",
    "days_since",
    "cube_root",
    "calendar_year_of_age",
    "difference",
    "last_less_first",
    "half_less",
    "half_more",
    "last_over_first",
    "first_over_last",
    "lustra",
    "mean",
    "age_in_calendar_year",
    "dozen_and",
    "dozen_less",
    "score_less",
    "score_share",
    "double_and",
    "half_and",
}
