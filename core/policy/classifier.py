"""The classifier's seat: an opinion beside the rules can make a verdict stricter, and never milder.

Where no classifier is configured nobody calls this. Where one is and gives no opinion, a moderated route refuses; the
adult-allowed route goes by the rules alone, which hold its hard tier by themselves.

May import: core.contracts, core.policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from core.contracts import Route
from core.policy.engine import treatment_of
from core.policy.verdict import CLASSIFIER_FAILED, Action, Treatment, Verdict

PIECE_CHARS = 8_000
"""Longest text that a classifier is asked about at once: two of the longest messages, a quarter of its context."""
_SEVERITY = (Action.ALLOW, Action.CONSTRAIN, Action.REFUSE)
_SEXUAL = "sexual content or sexual acts"
_NOT_OURS = {"politically sensitive topics", "copyright violation", "pii", "personally identifiable information"}
"""What Qwen3Guard also marks and this policy leaves to the deployer."""


def split_for_classifier(texts: Iterable[str]) -> tuple[str, ...]:
    """A request's texts, joined in order as far as `PIECE_CHARS` allow: what is meant may lie between two messages."""
    pieces: list[str] = []
    for text in texts:
        if pieces and len(pieces[-1]) + len(text) < PIECE_CHARS:
            pieces[-1] += f"\n{text}"
        else:
            pieces.append(text)
    return tuple(pieces)


class Classification(Protocol):
    """Of one text: `safe`, `controversial` or `unsafe`, and the classifier's own names for why."""

    @property
    def label(self) -> str: ...

    @property
    def categories(self) -> tuple[str, ...]: ...


def apply_classifier(
    verdict: Verdict, opinions: Iterable[Classification | None], route: Route, *, treated_as: Treatment | None = None
) -> Verdict:
    """The stricter of the rules' verdict and what the opinions (one per text; None: it failed) ask for."""
    treated = treatment_of(route, treated_as)
    asked = [_asked(opinion, treated) for opinion in opinions]
    worst = max((verdict.action, *(action for action, _ in asked)), key=_SEVERITY.index)
    named = {name for action, names in asked if action is worst for name in names}
    if verdict.action is worst:
        named |= set(verdict.categories)
    return Verdict(worst, tuple(sorted(named)), verdict.version)


def _asked(opinion: Classification | None, treated: Treatment) -> tuple[Action, tuple[str, ...]]:
    moderated = treated == "moderated"
    if opinion is None:
        return (Action.REFUSE, (CLASSIFIER_FAILED,)) if moderated else (Action.ALLOW, ())
    if opinion.label == "safe":
        return Action.ALLOW, ()
    names = {name.lower() for name in opinion.categories} - _NOT_OURS
    foreign = tuple(f"classifier: {name}" for name in sorted(names - {_SEXUAL})) or ("classifier",)
    # A label without a category, or with one that nobody foresaw, is as hard as the label says.
    hard = opinion.label != "controversial" and (names - {_SEXUAL} or not opinion.categories)
    if hard:
        return Action.REFUSE, foreign
    return (Action.CONSTRAIN, ("explicit",)) if _SEXUAL in names and moderated else (Action.ALLOW, ())
