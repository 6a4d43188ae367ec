"""Everyday statements in the listed languages, each judged beside a sexual word: those of a minor are refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.contracts import Route
from core.policy import Action, judge

_ROWS = [
    line.split("\t") for line in (Path(__file__).parent / "youth_cues.tsv").read_text(encoding="utf-8").splitlines()
]
MINORS = [(language, text) for language, said, text in _ROWS if said == "minor"]
ADULTS = [(language, text) for language, said, text in _ROWS if said == "adult"]
LANGUAGES = ("ar", "de", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "zh")


def _refused(*texts: str) -> bool:
    return judge(texts, Route.GENERAL).action is Action.REFUSE


@pytest.mark.parametrize(("language", "text"), MINORS)
def test_minor_is_refused_with_a_sexual_word_only(language: str, text: str) -> None:
    assert _refused(text, "nude"), language
    assert not _refused(text), language


@pytest.mark.parametrize(("language", "text"), ADULTS)
def test_adult_or_thing_with_a_sexual_word_is_not_refused(language: str, text: str) -> None:
    assert not _refused(text, "nude"), language


def test_every_listed_language_has_examples_of_minors_and_adults() -> None:
    minors, adults = (Counter(language for language, _ in rows) for rows in (MINORS, ADULTS))
    assert all(minors[language] >= 15 and adults[language] >= 8 for language in LANGUAGES)
