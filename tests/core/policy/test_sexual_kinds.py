"""Mild sexual texts by language and kind are refused beside a stated minor, never about adults; look-alikes pass."""

from __future__ import annotations

import pytest

from bench.texts import SEXUAL_KINDS, SEXUAL_LOOKALIKES
from core.contracts import Route
from core.policy import Action, judge


@pytest.mark.parametrize(("kind", "text"), SEXUAL_KINDS)
def test_a_mild_sexual_text_is_refused_beside_a_stated_minor(kind: str, text: str) -> None:
    assert judge([text, "a 12 year old"], Route.GENERAL).action is Action.REFUSE, kind


@pytest.mark.parametrize(("kind", "text"), SEXUAL_KINDS)
def test_a_mild_sexual_text_about_adults_is_not_refused(kind: str, text: str) -> None:
    assert judge([text], Route.GENERAL).action is not Action.REFUSE, kind


@pytest.mark.parametrize("text", SEXUAL_LOOKALIKES)
def test_an_everyday_sense_is_allowed_alone_and_beside_a_stated_minor(text: str) -> None:
    assert judge([text], Route.GENERAL).action is Action.ALLOW
    assert judge([text, "a 12 year old"], Route.GENERAL).action is Action.ALLOW
