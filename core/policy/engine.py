"""Every rule over every text; the worst wins. Plain version: one flat list of words per concept.

May import: core.contracts, core.errors, core.policy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from core.contracts import Route
from core.errors import PolicyBlocked
from core.policy.routes import ROUTES
from core.policy.verdict import Action, Treatment, Verdict

POLICY_VERSION = "0-plain"

_EXPLICIT = frozenset(
    [
        "nude",
        "naked",
        "topless",
        "nudity",
        "sex",
        "porn",
        "penis",
        "vagina",
        "explicit",
        "nsfw",
        "erotic",
        "sexy",
        "undressed",
    ]
)
_YOUTH = frozenset(
    [
        "child",
        "children",
        "kid",
        "kids",
        "toddler",
        "infant",
        "teen",
        "teenager",
        "teens",
        "preteen",
        "schoolgirl",
        "schoolboy",
        "underage",
        "minors",
    ]
)
_AGE = re.compile(r"\b(\d{1,2})\s*-?\s*(?:years?|yrs?|y)\b\s*-?(?:olds?|o)?|\bage[d]?\s+(\d{1,2})\b")


def _judged(text: str, treated_as: Treatment) -> set[str]:
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(letter) != "Cf"
    )
    words = set(re.findall(r"\w+", plain))
    ages = (int(found[1] or found[2]) for found in _AGE.finditer(plain))
    minor = bool(words & _YOUTH) or any(age < 18 for age in ages)
    found = {"explicit"} if words & _EXPLICIT else set()
    if minor and (found or treated_as == "adult_allowed"):
        found.add("sexual_minors" if words & _EXPLICIT else "minor_on_adult_route")
    return found


def judge(texts: Iterable[str], route: Route, *, treated_as: Treatment | None = None) -> Verdict:
    treated: Treatment = "adult_allowed" if ROUTES[route].adult_allowed and treated_as != "moderated" else "moderated"
    found: set[str] = set()
    for text in texts:
        found |= _judged(text, treated)
    action = Action.ALLOW
    if found - {"explicit"}:
        action = Action.REFUSE
    elif found and treated == "moderated":
        action = Action.CONSTRAIN
    return Verdict(action, tuple(sorted(found)), POLICY_VERSION)


def check(
    texts: Iterable[str], route: Route, *, treated_as: Treatment | None = None, stage: str | None = None
) -> Verdict:
    """`judge`, and raises `PolicyBlocked` where that says refuse; its message names categories, never words."""
    verdict = judge(tuple(texts), route, treated_as=treated_as)
    if verdict.action is Action.REFUSE:
        raise PolicyBlocked(
            f"The text is refused by the content policy ({', '.join(verdict.categories)}). Change what it asks for.",
            categories=verdict.categories,
            stage=stage,
        )
    return verdict
