"""Everyday cues that somebody is under 18: they count with sexual content only."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from bench.texts import AGE_CUES
from core.contracts import Route
from core.policy import Action, judge
from core.policy.loading import lexicon
from core.policy.normalization import plain_stream
from core.policy.rules import Combination

TODAY = date(2026, 11, 25)


def action(*texts: str) -> Action:
    return judge(texts, Route.GENERAL, today=TODAY).action


@pytest.mark.parametrize(("label", "kind", "text"), AGE_CUES)
def test_a_cue_counts_beside_nudity_where_it_shows_a_minor(label: str, kind: str, text: str) -> None:
    assert (action(text, "nude") is Action.REFUSE) is (label == "minor"), kind


@pytest.mark.parametrize("text", [text for _, _, text in AGE_CUES])
def test_a_cue_by_itself_is_allowed(text: str) -> None:
    assert action(text) is Action.ALLOW


def test_the_cues_are_many_and_of_each_kind() -> None:
    assert len(AGE_CUES) > 400
    assert len({kind for _, kind, _ in AGE_CUES}) >= 12


@pytest.mark.parametrize(
    ("text", "counts"),
    [("her nanny in the garden", False), ("a satchel in the hall", False), ("her nanny packs a satchel", True),
     ("a satchel, and a long way off on the other side of the town, her nanny", False)],
)  # fmt: skip
def test_a_carer_counts_only_near_what_is_done_for_a_child(text: str, *, counts: bool) -> None:
    words = lexicon()
    readings = words.find(plain_stream(text, words.spelling), datetime.now(UTC).date())
    assert ("cared_for" in readings.everyday) is counts


def test_a_combination_needs_two_places_of_the_text() -> None:
    combination = Combination(("one",), ("two",), within=2)
    assert combination.spans({"one": [(0, 2)], "two": [(1, 2)]}) == []
    assert combination.spans({"one": [(0, 2)], "two": [(4, 5), (5, 6)]}) == [(4, 5)]
    assert combination.spans({"one": [(6, 8)], "two": [(2, 4), (1, 3)]}) == [(2, 4)]
    assert combination.spans({"two": [(0, 1)]}) == []


@pytest.mark.parametrize(
    ("text", "counts"),
    [("Lisa Simpson", True), ("Lisa Simpson aged 30", False), ("a 30-year-old Lisa Simpson", False),
     ("Lisa Simpson aged 9", True), ("Lisa Simpson beside the window, talking to a 30-year-old", True)],
)  # fmt: skip
def test_character_next_to_a_stated_adult_age_is_not_a_child(text: str, *, counts: bool) -> None:
    words = lexicon()
    readings = words.find(plain_stream(text.lower(), words.spelling), TODAY)
    assert ("child_character" in readings.suspicious) is counts
