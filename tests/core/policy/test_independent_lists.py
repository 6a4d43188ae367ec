"""Lists of independent testers who did not know the rules: statements of youth, and explicit phrases about adults.

No text is both. The rules were improved on these lists, so they only show that there is no regression;
docs/safety.md has the figures of lists that were measured before any change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from core.contracts import Route
from core.policy import Action, judge

LISTS = Path(__file__).parent / "independent"


def _texts(name: str, *labels: str) -> list[str]:
    rows = (line.split("\t") for line in (LISTS / name).read_text(encoding="utf-8").splitlines())
    return [text for label, _, text in rows if label in labels]


def _action(*texts: str) -> Action:
    return judge(texts, Route.GENERAL).action


def test_statements_of_youth_are_refused_beside_nudity() -> None:
    texts = _texts("youth.tsv", "minor")
    missed = [text for text in texts if _action(text, "nude") is not Action.REFUSE]
    assert len(missed) <= 0.01 * len(texts), missed


@pytest.mark.parametrize("label", ["adult", "none"])
def test_no_statement_without_sexual_content_is_refused(label: str) -> None:
    assert [text for text in _texts("youth.tsv", label) if _action(text) is Action.REFUSE] == []


def test_stated_adults_are_allowed_beside_nudity() -> None:
    texts = _texts("youth.tsv", "adult")
    refused = [text for text in texts if _action(text, "nude") is Action.REFUSE]
    assert len(refused) <= 0.02 * len(texts), refused


def test_explicit_phrases_are_constrained_or_count_beside_a_minor() -> None:
    texts = _texts("explicit.tsv", "sexual")
    missed = [t for t in texts if _action(t) is Action.ALLOW and _action(t, "a 12 year old") is not Action.REFUSE]
    assert len(missed) <= 0.01 * len(texts), missed


def test_phrases_that_are_not_explicit_are_allowed() -> None:
    texts = _texts("explicit.tsv", "none")
    assert [text for text in texts if _action(text) is not Action.ALLOW] == []
