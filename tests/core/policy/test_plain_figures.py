"""Digits that are neither leet nor ages: dates, times, prices, sizes, versions and places."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from core.contracts import Route
from core.policy import Action, judge

DAYS = [date(2024, 1, 1) + timedelta(days=day) for day in range(366)]
FORMATS = (
    "%d{0}%m", "%m{0}%d", "%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%y{0}%m{0}%d", "%d{0}%m %Y",
    "%Y %d{0}%m",
)  # fmt: skip
FIGURES = (
    "10:11", "17:07", "7:33 pm",
    "from 11:01 to 17:07", "10.11", "10,11 euros", "$11.01", "10-11", "16:9", "10:11 ratio",
    "+44 7700 101 177", "030 1011 1707", "(011) 1017-0717", "v1.0.1.1", "10.1.1", "50-150 mm", "10-11 mm, f/1.7",
    "48.1011, 11.1707", "10°11′ N", "1011 x 1707", "10 11", "17 07 11 01", "1 0 1 1", "1011", "7331", "10/11 51074",
    "51074",
    "seed 1011", "isbn 978-1-0117-0711-0", "10/11/12/13",
)  # fmt: skip


def _refused(*texts: str) -> bool:
    return any(judge(texts, route).action is Action.REFUSE for route in (Route.GENERAL, Route.CHAT_1TO1))


@pytest.mark.parametrize("separator", ["/", ".", "-", " "])
@pytest.mark.parametrize("form", FORMATS)
def test_date_is_not_read_as_leet(form: str, separator: str) -> None:
    dates = dict.fromkeys(day.strftime(form.format(separator)) for day in DAYS)
    assert [text for text in dates if _refused(f"a photo taken {text}")] == []


@pytest.mark.parametrize("text", FIGURES)
def test_digits_without_a_letter_are_not_read_as_leet(text: str) -> None:
    assert not _refused(text)


@pytest.mark.parametrize("text", ["l0l1", "10l1", "1o1i", "sh07a", "5h0ta", "10 li", "l 0 l 1"])
def test_digits_with_a_letter_are_read_as_leet(text: str) -> None:
    assert _refused(text)


@pytest.mark.parametrize("number", range(5, 18))
def test_a_number_alone_before_a_description_is_an_age_from_8_on(number: int) -> None:
    assert _refused(f"{number} and shy", "nude") is (number >= 8)
