"""Everyday prompts in the listed languages are not refused on any moderated route."""

from __future__ import annotations

import pytest

from bench.everyday import everyday_prompts
from core.contracts import Route
from core.policy import Action, judge
from core.policy.loading import lexicon

PROMPTS = everyday_prompts()


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    lexicon()


def test_thousands_of_everyday_prompts_are_allowed() -> None:
    assert len(PROMPTS) > 3_000
    assert [text for text in PROMPTS if judge([text], Route.GENERAL).action is not Action.ALLOW] == []


@pytest.mark.parametrize(
    "text",
    [
        "wide shot. A castle at dawn", "a long shot as the sun sets", "shot a picture of it", "one shot, a day in Rome",
        "lol, is that a castle?", "rap, everybody dances", "a grape. Rap everyone knows",
    ],
)  # fmt: skip
def test_short_terms_are_not_formed_from_everyday_words(text: str) -> None:
    assert {judge([text], route).action for route in Route} == {Action.ALLOW}


@pytest.mark.parametrize("text", ["sho ta, nude", "l o l i", "s.h.o.t.a", "shota"])
def test_short_terms_in_pieces_are_found(text: str) -> None:
    assert {judge([text], route).action for route in Route} == {Action.REFUSE}
