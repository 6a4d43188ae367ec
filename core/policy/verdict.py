"""What a judgement says, and the kinds of treatment a route can give.

May import: nothing of core.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

CLASSIFIER_FAILED = "classifier_failed"
"""The category of a refusal that no text has deserved: a second opinion was asked for and not given."""

Treatment: TypeAlias = Literal["moderated", "adult_allowed"]


class Action(StrEnum):
    ALLOW = "allow"
    CONSTRAIN = "constrain"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst of all rules that met the texts. `categories` are sorted names, never words of the texts."""

    action: Action
    categories: tuple[str, ...]
    version: str
