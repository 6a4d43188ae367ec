"""Combine a text classifier's results with the verdict of the rules. The result is never less strict.

Used only if a classifier is configured. If it fails, a moderated route refuses, and the rules alone decide on the
adult-allowed route.

May import: core.contracts, core.policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from core.contracts import Route
from core.policy.engine import treatment_of
from core.policy.verdict import CLASSIFIER_FAILED, Action, Treatment, Verdict

PIECE_CHARS = 8_000
"""Maximum length of a text that is classified at once: two of the longest messages."""
_SEVERITY = (Action.ALLOW, Action.CONSTRAIN, Action.REFUSE)
_SEXUAL = "sexual content or sexual acts"
_NOT_OURS = {"politically sensitive topics", "copyright violation", "pii", "personally identifiable information"}
"""Categories of Qwen3Guard that this policy leaves to the deployer."""


def split_for_classifier(texts: Iterable[str]) -> tuple[str, ...]:
    """Join a request's texts in order into pieces of `PIECE_CHARS`, because a meaning may span two messages."""
    pieces: list[str] = []
    for text in texts:
        if pieces and len(pieces[-1]) + len(text) < PIECE_CHARS:
            pieces[-1] += f"\n{text}"
        else:
            pieces.append(text)
    return tuple(pieces)


class Classification(Protocol):
    """The classification of one text: `safe`, `controversial` or `unsafe`, and the classifier's own category names."""

    @property
    def label(self) -> str: ...

    @property
    def categories(self) -> tuple[str, ...]: ...


def apply_classifier(
    verdict: Verdict,
    classifications: Iterable[Classification | None],
    route: Route,
    *,
    treated_as: Treatment | None = None,
) -> Verdict:
    """Return the stricter of the rules' verdict and that of the classifications (one per text; None for a failure)."""
    treated = treatment_of(route, treated_as)
    required = [_required(classification, treated) for classification in classifications]
    worst = max((verdict.action, *(action for action, _ in required)), key=_SEVERITY.index)
    named = {name for action, names in required if action is worst for name in names}
    if verdict.action is worst:
        named |= set(verdict.categories)
    return Verdict(worst, tuple(sorted(named)), verdict.version)


def _required(classification: Classification | None, treated: Treatment) -> tuple[Action, tuple[str, ...]]:
    moderated = treated == "moderated"
    if classification is None:
        return (Action.REFUSE, (CLASSIFIER_FAILED,)) if moderated else (Action.ALLOW, ())
    if classification.label == "safe":
        return Action.ALLOW, ()
    names = {name.lower() for name in classification.categories} - _NOT_OURS
    foreign = tuple(f"classifier: {name}" for name in sorted(names - {_SEXUAL})) or ("classifier",)
    # An `unsafe` label without a category, or with an unknown one, is a refusal.
    hard = classification.label != "controversial" and (names - {_SEXUAL} or not classification.categories)
    if hard:
        return Action.REFUSE, foreign
    return (Action.CONSTRAIN, ("explicit",)) if _SEXUAL in names and moderated else (Action.ALLOW, ())
