"""The verdict on a text, and the treatments of a route.

May import: nothing of core.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

CLASSIFIER_FAILED = "classifier_failed"
"""Category of a refusal because the text classifier failed, not because of the text."""

Treatment: TypeAlias = Literal["moderated", "adult_allowed"]


class Action(StrEnum):
    ALLOW = "allow"
    CONSTRAIN = "constrain"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The most severe action of the matching rules. `categories` are sorted names, never words of the texts."""

    action: Action
    categories: tuple[str, ...]
    version: str
