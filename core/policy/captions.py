"""Whether a caption may be shown: whatever its picture, anyone may read it.

May import: core.policy.
"""

from __future__ import annotations

from core.policy.engine import MAX_TEXT_CHARS, rules_met

_HARMLESS = {"minor", "anchor"}
"""Tiers of rules about who is in a picture: a child may be named where it may be painted at all."""


def safe_caption(caption: str) -> bool:
    """No rule about sex, nudity, underwear, coercion, animals or named people is met. Never raises."""
    if len(caption) > MAX_TEXT_CHARS:
        return False
    return all(rule.tier in _HARMLESS for rule in rules_met((caption,)))
