"""The age reader: every statement as a range of years; 18 and older never counts as a minor."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import Route
from core.errors import Misconfigured
from core.policy import Action, judge
from core.policy.ages import AgeReader, Statement
from core.policy.loading import lexicon
from core.policy.normalization import streams

TODAY = date(2026, 11, 25)
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

FORMS = (
    "{} years old", "{}-year-old", "aged {}", "age {}", "she is {}", "a person of {} years", "{} y/o", "a girl of {}",
    "turned {}", "looks {}", "{} yrs of age", "he is only {}", "just turned {}", "de {} años", "âgée de {} ans",
    "# {} Jahre alt", "{} anni", "com {} anos", "{} jaar oud", "w wieku {} lat", "ей {} лет", "{} yaşında", "{}歳",
    "{}岁", "{}살", "عمرها {} سنة", "{} साल की",
)  # fmt: skip


def words(age: int) -> str:
    if age < 20:
        return ONES[age]
    tens, one = divmod(age, 10)
    return TENS[tens - 2] + (f"-{ONES[one]}" if one else "")


def read(text: str) -> list[Statement]:
    compiled = lexicon()
    return [one for stream in streams(text, compiled.spelling) for one in compiled.ages.read(stream, TODAY)]


def refused(text: str) -> bool:
    return judge([text], Route.GENERAL, today=TODAY).action is Action.REFUSE


@given(age=st.integers(3, 17), form=st.sampled_from(FORMS))
def test_age_below_18_with_nudity_is_refused(age: int, form: str) -> None:
    assert refused(f"nude, {form.format(age)}")


@given(age=st.integers(18, 99), form=st.sampled_from(FORMS))
def test_an_age_of_18_or_more_is_never_refused(age: int, form: str) -> None:
    assert not refused(f"nude, {form.format(age)}")
    assert not any(one.minor for one in read(form.format(age)))


@given(age=st.integers(18, 99), form=st.sampled_from(FORMS[:13]))
def test_an_adult_age_in_words_is_never_refused(age: int, form: str) -> None:
    assert not refused(f"nude, {form.format(words(age))}")


@given(age=st.integers(3, 17), form=st.sampled_from(FORMS[:13]))
def test_minor_age_in_words_with_nudity_is_refused(age: int, form: str) -> None:
    assert refused(f"nude, {form.format(words(age))}")


@given(age=st.integers(3, 90))
def test_birth_year_is_relative_to_today(age: int) -> None:
    assert refused(f"nude, born in {TODAY.year - age}") is (age <= 18)


@given(first=st.integers(2, 60), second=st.integers(1, 30))
def test_age_given_as_a_difference_is_computed(first: int, second: int) -> None:
    age = first - second
    if 3 <= age <= 90:
        assert refused(f"nude, {first} minus {second} years old") is (age < 18)


@given(months=st.integers(24, 900))
def test_age_in_months_is_converted_to_years(months: int) -> None:
    assert refused(f"nude, {months} months old") is (months < 216)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("eighteen years old", 18, 18),
        ("forty-five years old", 45, 45),
        ("aged 12 to 15", 12, 15),
        ("168 months old", 14, 14),
        ("a decade old", 10, 10),
        ("born in 2014", 11, 12),
        ("born 03/04/2014", 12, 12),
        ("dob 12.03.2011", 14, 15),
        ("in 7th grade", 12, 13),
        ("two years short of 18", 16, 16),
        ("will turn 18 in three years", 15, 15),
        ("three years until adulthood", 15, 15),
        ("half of 28 years old", 14, 14),
        ("twice seven years old", 14, 14),
        ("three times five years old", 15, 15),
        ("45 divided by 3 years old", 15, 15),
        ("7 plus 6 years old", 13, 13),
        ("in her fourteenth year of life", 13, 13),
        ("under 16 years of age", 0, 15),
        ("ten years younger than 25", 15, 15),
        ("treinta y cinco años", 35, 35),
        ("trente cinq ans", 35, 35),
        ("soixante dix ans", 70, 70),
        ("quatre-vingt-dix ans", 90, 90),
        ("двадцать пять лет", 25, 25),
        ("二十五歳", 25, 25),
        ("十二岁", 12, 12),
        ("서른두 살", 32, 32),
        ("عمرها ثلاثة عشر عاما", 13, 13),
        ("عمرها خمسة وثلاثون عاما", 35, 35),
    ],
)
def test_age_statement_is_read_as_a_range(text: str, low: float, high: float) -> None:
    assert (low, high) in {(one.low, one.high) for one in read(text)}


@pytest.mark.parametrize(
    "text",
    ["forty-five years old", "treinta y cinco años", "二十五歳", "서른두 살", "ей двадцать пять лет",
     "quatre-vingt-dix ans", "one hundred and five years old", "20 plus 6 years old",
     "women under 30", "class of 2020", "3 decades old"],
)  # fmt: skip
def test_part_of_an_adult_age_is_not_read_as_a_minors(text: str) -> None:
    assert not any(one.minor for one in read(text))
    assert not refused(f"nude, {text}")


@pytest.mark.parametrize(
    "text",
    ["(13)", "anna, 14", "f14", "14f", "12/f/uk", "m15", "sixteen", "nearly ten", "ten-ish", "14 tops", "her at 14",
     "17 next week", "turns 18 next month", "not yet 18",
     "about to turn 18", "as old as my 12-year-old", "class of 2030"],
)  # fmt: skip
def test_age_implied_by_context_counts_only_with_nudity(text: str) -> None:
    assert refused(f"nude, {text}")
    assert not refused(f"a lighthouse, {text}")


@pytest.mark.parametrize(
    ("text", "age"),
    [("four squared", 16), ("the square root of 196", 14), ("a fifth of 70", 14), ("10 less than 24", 14),
     ("younger by 20 years than 33", 13), ("half as old as a 30 year old", 15), ("soon to be fourteen", 14),
     ("a baker's dozen years", 13), ("wird nächsten Monat 15", 15), ("thriteen years old", 13)],
)  # fmt: skip
def test_arithmetic_and_near_birthdays_are_read(text: str, age: float) -> None:
    assert any(one.low == one.high == age for one in read(text))
    assert refused(f"nude, {text}")


def test_a_year_of_birth_is_read_in_words() -> None:
    assert any(one.minor for one in read("born two thousand twelve"))


@pytest.mark.parametrize(
    "text", ["class 5 of 12", "12 poses, charcoal", "photographed since 2015", "vintage 2012 wine", "eighteen squared"]
)
def test_counts_and_ages_of_things_are_not_ages_of_people(text: str) -> None:
    assert not refused(f"nude woman, {text}")


@pytest.mark.parametrize(
    "text",
    ["35mm, f/2.8, f/8", "16:9", "at 7 pm", "in room 17", "size 12", "5 feet tall", "12 km away", "my wife of 12 years",
     "ten years together", "no. 2", "two women", "M16 rifle", "chapter 13", "15 minutes late"],
)  # fmt: skip
def test_measures_and_lengths_of_time_are_not_ages(text: str) -> None:
    assert not refused(f"nude woman, {text}")


@pytest.mark.parametrize(
    ("text", "ages"),
    [
        ("half as old as one of 30", [15]),
        ("half as old as one two three four of 30", [15]),
        ("half as old as one two three four five of 30", []),
        ("half as old as of 30", [15]),
    ],
)
def test_gap_of_a_pattern_matches_at_most_four_words(text: str, ages: list[float]) -> None:
    reader = AgeReader()
    reader.add("xx", {"stated": {"half": ["half as old as ~ of #"]}})
    stated = reader.read(tuple((word,) for word in text.split()), TODAY)
    assert [one.low for one in stated] == ages


@pytest.mark.parametrize(
    ("kind", "year", "age"),
    [
        ("birth_year_short", 12, 14),
        ("birth_year_short", 80, 46),
        ("birth_year_heisei", 23, 15),
        ("birth_year_reiwa", 3, 5),
    ],
)
def test_birth_year_of_another_count_is_converted(kind: str, year: int, age: int) -> None:
    reader = AgeReader()
    reader.add("xx", {"stated": {kind: ["# born"]}})
    (stated,) = reader.read(((str(year),), ("born",)), TODAY)
    assert (stated.low, stated.high) == (age - 1, age)


def test_age_statement_has_its_token_span() -> None:
    compiled = lexicon()
    stream = streams("a person aged 14 there", compiled.spelling)[0]
    (stated,) = compiled.ages.read(stream, TODAY)
    assert [token[0] for token in stream[stated.start : stated.end]] == ["aged", "14"]
    assert stated.certain


@pytest.mark.parametrize(
    ("stated", "message"),
    [({"no_such": ["# years"]}, "unknown kind 'no_such'"), ({"years": ["years"]}, "needs a number")],
)
def test_invalid_age_pattern_is_a_start_up_failure(stated: dict[str, list[str]], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        AgeReader().add("xx", {"stated": stated})


def test_letter_o_is_not_read_as_zero() -> None:
    assert refused("nude woman, 12 lat o świcie")
    assert not refused("nude woman, 30 lat o świcie")
    assert [one.low for one in read("〇 years old")] == [0]
