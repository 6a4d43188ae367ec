"""The check of a caption, which anyone may read whatever its picture shows.

May import: core.policy.
"""

from __future__ import annotations

from core.policy.engine import MAX_TEXT_CHARS, rules_met

_HARMLESS = {"minor", "anchor"}
"""Tiers of rules about the persons in a picture: where a child may be painted, the caption may name it."""


def safe_caption(caption: str) -> bool:
    """No rule about sex, nudity, underwear, coercion, animals or named people is met. Never raises."""
    if len(caption) > MAX_TEXT_CHARS:
        return False
    return all(rule.tier in _HARMLESS for rule in rules_met((caption,)))
