"""Patterns of ages in the languages' files: each phrase of a pattern has the numbers that its kind computes with."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import pytest

from core.contracts import Route
from core.policy import Action, judge
from core.policy.ages.beginnings import NUMBERS
from core.policy.ages.kinds import KINDS
from core.policy.ages.numbers import NumberWords
from core.policy.ages.reader import _filled
from core.policy.ages.relations import RELATIONS
from core.policy.normalization import Stream
from core.policy.phrases import spellings
from core.policy.version import rule_files

TODAY = date(2026, 11, 25)
AGES = {
    file.stem: content["ages"]
    for file in rule_files()
    if "ages" in (content := tomllib.loads(file.read_text(encoding="utf-8")))
}


def patterns_of(ages: dict[str, Any], *tables: str) -> Iterator[tuple[str, str]]:
    for table in tables:
        for kind, patterns in ages.get(table, {}).items():
            yield from ((kind, _filled(pattern, ages.get("sets", {}))) for pattern in patterns)


def fewest_numbers(pattern: str) -> list[float]:
    """Return as many numbers as the phrase of the pattern with the fewest has."""
    counts = (
        sum(min(sum(word in NUMBERS for word in option) for option in options) for options in segments)
        for segments in spellings(pattern)
    )
    return [1.0] * min(counts)


@pytest.mark.parametrize("language", AGES)
def test_each_phrase_of_a_pattern_has_the_numbers_of_its_kind(language: str) -> None:
    for kind, pattern in patterns_of(AGES[language], "stated", "possible"):
        if kind in KINDS:
            KINDS[kind](fewest_numbers(pattern), TODAY)
    for kind, pattern in patterns_of(AGES[language], "relations"):
        RELATIONS[kind].age(30, fewest_numbers(pattern))


def stream_of(letters: str) -> Stream:
    return tuple((letter,) for letter in letters)


@pytest.mark.parametrize(
    ("letters", "year"),
    [
        ("一九九一年生", 1991),
        ("生于二〇一三年", 2013),
        ("二零一二年", 2012),
        ("民国一九九一二", None),
        ("一九九", None),
    ],
)
def test_four_han_digits_are_a_year(letters: str, year: int | None) -> None:
    words = NumberWords()
    words.add("", {(digit,): value for value, digit in enumerate("〇一二三四五六七八九")})
    found = [number.value for numbers in words.find(stream_of(letters)).values() for number in numbers]
    assert (year in found) if year else max(found) < 10


def refused(*texts: str) -> bool:
    return judge(texts, Route.GENERAL, today=TODAY).action is Action.REFUSE


SINCE_BIRTH: Sequence[tuple[str, str, str]] = (
    ("eine Frau, geboren vor {} Jahren", "13", "33"), ("elle est née il y a {} ans", "13", "33"),
    ("nació hace {} años", "13", "33"), ("nasceu há {} anos", "13", "33"), ("nata {} anni fa", "13", "33"),
    ("{} jaar geleden geboren", "13", "33"), ("urodzona {} lat temu", "13", "33"),
    ("родилась {} лет назад", "13", "33"), ("{} yıl önce doğdu", "13", "33"), ("ولدت منذ {} سنة", "13", "33"),
    ("वह {} साल पहले पैदा हुई", "13", "33"), ("{}年前出生的", "十三", "三十三"), ("{}年前に生まれた", "十三", "三十三"),
)  # fmt: skip


@pytest.mark.parametrize(("form", "minor", "adult"), SINCE_BIRTH)
def test_years_since_birth_count_although_other_lengths_of_time_do_not(form: str, minor: str, adult: str) -> None:
    assert refused(form.format(minor), "nude")
    assert not refused(form.format(adult), "nude")


@pytest.mark.parametrize(
    "text",
    ["meine Freundin, so alt wie mein Hund, ist 13", "die Frau mit dem Hund ist 13", "la femme avec le chien a 13 ans",
     "my cat girl is 13", "Whisky-Mädchen, 13 Jahre alt", "первая встреча в 13 лет"],
)  # fmt: skip
def test_thing_or_animal_does_not_hide_an_age(text: str) -> None:
    assert refused(text, "nude")
