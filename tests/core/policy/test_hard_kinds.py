"""Hard texts by kind and language: refused on every route."""

from __future__ import annotations

import pytest

from bench.texts import HARD_KINDS
from core.contracts import Route
from core.policy import Action, judge


@pytest.mark.parametrize(("kind", "text"), HARD_KINDS)
def test_a_hard_text_of_each_kind_is_refused_on_every_route(kind: str, text: str) -> None:
    assert {judge([text], route).action for route in (Route.GENERAL, Route.CHAT_1TO1)} == {Action.REFUSE}, kind


def test_hard_text_list_covers_many_kinds() -> None:
    assert len(HARD_KINDS) > 700
    assert len({kind for kind, _ in HARD_KINDS}) >= 35
