"""Check of a caption, which must be safe for every reader, whatever its picture shows.

May import: core.policy.
"""

from __future__ import annotations

from core.policy.engine import MAX_TEXT_CHARS, matching_rules

_HARMLESS = {"minor", "anchor"}
"""Tiers of rules about the persons in a picture: a caption may name a child that the picture may show."""


def safe_caption(caption: str) -> bool:
    """Whether no rule about sex, nudity, underwear, coercion, animals or named people matches. Never raises."""
    if len(caption) > MAX_TEXT_CHARS:
        return False
    return all(rule.tier in _HARMLESS for rule in matching_rules((caption,)))
