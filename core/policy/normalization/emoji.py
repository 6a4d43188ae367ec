"""Emoji as words.

May import: nothing of core.
"""

from __future__ import annotations

import re

_WORDS = {
    "👶": "infant", "🧒": "child", "👧": "little girl", "👦": "boy", "🚸": "children", "🤱": "infant", "👼": "cherub",
    "🍼": "infant", "🔟": "10", "🏫": "high school",
    "👩": "woman", "👨": "man", "🧑": "adult", "👵": "old woman", "👴": "old man", "👯": "women",
    "🔞": "nsfw", "👙": "bikini", "🩲": "underwear", "🩱": "swimsuit", "🖕": "finger",
}  # fmt: skip
"""By the short names of the Unicode CLDR, in the lexicon's words."""
_SEXUAL = "🍆🍑💦👅🥵🍒🍌🌶😈"
"""Fruit, water and faces are everyday signs: they mean sex only where two different ones or a young person adjoin."""
_YOUNG = "👶🧒👧👦🍼"
_SKIN = "\U0001f3fb-\U0001f3ff\ufe0f\u200d"
_ANY = re.compile(f"[{''.join(_WORDS)}{_SEXUAL}]")
_RUN = re.compile(rf"[{''.join(_WORDS)}{_SEXUAL}][{''.join(_WORDS)}{_SEXUAL}{_SKIN}\s]*+")
_AS_WORDS = {ord(sign): f" {words} " for sign, words in _WORDS.items()} | dict.fromkeys(map(ord, _SEXUAL), " ")


def _spelled(run: str) -> str:
    signs = set(run) & set(_SEXUAL)
    explicit = (len(signs) > 1 and "🍆" in signs) or (len(signs) > 1 and {"🍑", "💦"} <= signs)
    young = not set(run).isdisjoint(_YOUNG) and bool(signs - set("🍒🍌🌶"))
    return run.translate(_AS_WORDS) + (" sexting " if explicit or young else " ")


def spelled_out(text: str) -> str:
    """The text with its emoji as words; the same text where it has none that matters."""
    if text.isascii() or not _ANY.search(text):
        return text
    return _RUN.sub(lambda found: _spelled(found[0]), text)
