"""The texts that the policy is measured and tested with: the project's own lists, which lie beside its tests."""

from __future__ import annotations

from pathlib import Path

LISTS = Path(__file__).resolve().parent.parent / "tests" / "unit" / "policy"


def _lines(name: str) -> list[str]:
    lines = (LISTS / name).read_text(encoding="utf-8").split("\n")
    return [line for line in lines if line.strip() and not line.startswith("# ")]


LOOKALIKES = _lines("lookalikes.txt")
"""Ordinary texts; none is hard anywhere, and none speaks of a minor."""
ADULTS = _lines("adults.txt")
"""Explicit or suggestive text about adults: refused nowhere."""
HARD = [(category, text) for category, _, text in (line.partition(" | ") for line in _lines("hard.txt"))]
"""(category that has to be named, text that every route refuses)."""
