"""Ages between separators, in months after a name, in mixed languages, and years of birth in words or two digits."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import Route
from core.policy import Action, judge
from core.policy.normalization.letters import turn_upright

TODAY = date(2026, 11, 25)


def refused(text: str) -> bool:
    return judge([text, "nude"], Route.GENERAL, today=TODAY).action is Action.REFUSE


SEPARATORS = (" // ", "//", " :: ", " >> ", " | ", " ★ ", " \\ ", " - ", " • ")


@given(age=st.integers(3, 30), between=st.sampled_from(SEPARATORS))
def test_number_between_separators_after_a_name_is_an_age(age: int, between: str) -> None:
    assert refused(between.join(["Runa", str(age), "she-her", "shy"])) is (age < 18)


@given(months=st.integers(1, 23), form=st.sampled_from(["baby Elif, {} months, asleep", "our Ole ({} months) in wool"]))
def test_months_after_the_name_of_a_baby_are_its_age(months: int, form: str) -> None:
    assert refused(form.format(months))


@pytest.mark.parametrize(
    "text", ["baby, we met 8 months ago", "Dr Weiss, 8 months pregnant", "my little shop, 6 months"]
)
def test_other_months_are_not_an_age(text: str) -> None:
    assert not refused(text)


MIXED = (
    ("sie ist {} Jahre alt", "fourteen", True), ("ella tiene {} años", "sixteen", True),
    ("she is {} years old", "doce", True),
    ("sie ist {} Jahre alt", "forty", False), ("she is {} years old", "cuarenta", False),
    ("she is {} years old", "once", False), ("she is {} years old", "seize", False),
)  # fmt: skip


@pytest.mark.parametrize(("form", "number", "minor"), MIXED)
def test_number_word_of_another_language_is_read_unless_it_has_another_meaning(
    form: str, number: str, *, minor: bool
) -> None:
    assert refused(form.format(number)) is minor


def test_mixed_languages_count_only_with_sexual_content() -> None:
    assert judge(["sie ist fourteen Jahre alt"], Route.CHAT_1TO1, today=TODAY).action is Action.ALLOW


@given(year=st.integers(10, 99))
def test_dotted_date_of_birth_with_two_digits_is_read(year: int) -> None:
    born = 2000 + year if year <= 26 else 1900 + year
    assert refused(f"bday: 03.05.{year:02}") is (born > 2008)


@pytest.mark.parametrize("decade", ["thirty", "fifty-five", "seventy-two", "eighty", "ninety-nine"])
def test_year_in_words_is_one_number(decade: str) -> None:
    assert not refused(f"year of birth nineteen {decade}")
    assert not refused(f"born in nineteen {decade}")


@given(hour=st.integers(13, 17), minute=st.integers(0, 59))
def test_time_of_day_is_not_an_age(hour: int, minute: int) -> None:
    assert not refused(f"the train leaves at {hour}:{minute:02}")


def test_hour_without_minutes_may_be_an_age() -> None:
    assert refused("at 14, with her cat")


@pytest.mark.parametrize("age", ["sekiz", "sekiz yaşında", "yaşında"])
def test_turkish_eighty_is_not_a_sexual_word(age: str) -> None:
    assert judge([f"dedem seksen {age}"], Route.GENERAL).action is Action.ALLOW


def test_turkish_text_is_not_turned_upright() -> None:
    assert turn_upright("dedem seksen yaşında") == ""
    assert turn_upright("ǝpnu") == "nude"


@given(age=st.integers(1, 60))
def test_age_after_gone_is_read_with_a_person_only(age: int) -> None:
    assert refused(f"she's just gone {age}") is (age < 18)
    assert not refused(f"it's just gone {age} o'clock")


@given(total=st.integers(8, 80))
def test_combined_age_of_twins_is_halved(total: int) -> None:
    for form in ("my twin and I are together {} years old", "the combined age of the twins is {}"):
        assert refused(form.format(total)) is (total < 36), form


@pytest.mark.parametrize("text", ["kai//" * 3_000, "baby noah 8 " * 1_300, "at 14:0" * 2_000, "03.05." * 2_500])
def test_long_texts_of_these_forms_are_read(text: str) -> None:
    assert isinstance(refused(text), bool)
