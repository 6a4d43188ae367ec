"""Replace emoji by words.

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
"""Emoji and their words: short names of the Unicode CLDR, in the lexicon's vocabulary."""
_SEXUAL = "🍆🍑💦👅🥵🍒🍌🌶😈"
"""Everyday emoji that are sexual only next to a different one of them, or to a young person."""
_YOUNG = "👶🧒👧👦🍼"
_SKIN = "\U0001f3fb-\U0001f3ff\ufe0f\u200d"
_ANY = re.compile(f"[{''.join(_WORDS)}{_SEXUAL}]")
_RUN = re.compile(rf"[{''.join(_WORDS)}{_SEXUAL}][{''.join(_WORDS)}{_SEXUAL}{_SKIN}\s]*+")
_AS_WORDS = {ord(sign): f" {words} " for sign, words in _WORDS.items()} | dict.fromkeys(map(ord, _SEXUAL), " ")

_FINGERS = {
    "🖐": 5,
    "✋": 5,
    "🤚": 5,
    "👋": 5,
    "🖖": 5,
    "🙌": 10,
    "👐": 10,
    "✌": 2,
    "🤘": 2,
    "🤞": 2,
    "🤟": 3,
    "☝": 1,
    "👆": 1,
    "👍": 1,
}
"""Emoji of hands by the number of fingers that they show."""
_HAND = f"[{''.join(_FINGERS)}]"
_SHOWN_AGE = re.compile(
    rf"((?i:\b(?:aged?|turn(?:s|ed|ing)?|is|am|i'?m|are|[a-z]+'s|just)\s+)?)({_HAND}[{''.join(_FINGERS)}{_SKIN}\s]*+)"
    r"((?i:years?|yrs?|yo\b|y/o|birthdays?|today\b)?)"
)


def _counted(found: re.Match[str]) -> str:
    """Return hands with the number that they show, if a word for an age is on one side."""
    if not (found[1] or found[3]):
        return found[0]
    return f"{found[1]}{sum(_FINGERS.get(sign, 0) for sign in found[2])} {found[3]}"


def _spelled(run: str) -> str:
    signs = set(run) & set(_SEXUAL)
    explicit = (len(signs) > 1 and "🍆" in signs) or (len(signs) > 1 and {"🍑", "💦"} <= signs)
    young = not set(run).isdisjoint(_YOUNG) and bool(signs - set("🍒🍌🌶"))
    return run.translate(_AS_WORDS) + (" sexting " if explicit or young else " ")


def emoji_to_words(text: str) -> str:
    """Return the text with relevant emoji replaced by words."""
    if text.isascii():
        return text
    text = _SHOWN_AGE.sub(_counted, text)
    if not _ANY.search(text):
        return text
    return _RUN.sub(lambda found: _spelled(found[0]), text)
