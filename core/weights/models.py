"""The kinds of models and profiles, and the parameters of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

Progress = Callable[[str], None]
MANIFEST = "manifest.json"


class WeightsMissing(Exception):
    """Weights are missing, incomplete or unavailable; the message says which and what to do."""


class Profile(StrEnum):
    FULL = "full"
    EMBEDDED = "embedded"


class Model(StrEnum):
    TEXT = "text"
    VISION = "vision"
    FACE = "face"
    IMAGE = "image"
    CHECKER = "checker"
    GUARD = "guard"
    """The text classifier, which is optional."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Parameters of a checkpoint. `sides` and `input_side` in px; `visual_tokens` None: the processor's default."""

    sides: tuple[int, int] = (256, 1536)
    default_side: int = 1024
    input_side: int = 640
    visual_tokens: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """Verified weights on this machine. `path` is the folder or file that the loader opens."""

    path: Path
    name: str
    revision: str
    profile: str
    facts: Facts
