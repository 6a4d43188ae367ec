"""Disguises of training texts: other letters, symbols, spaces and typing errors.

May import: the standard library.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

_INVISIBLE = "\u200b\u200c\u200d\u2060\u00ad"


_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "l": "1|", "b": "8"}
_HOMOGLYPHS = {"a": "аα", "e": "еε", "o": "оο", "p": "рρ", "c": "с", "x": "х", "y": "у", "i": "іι"}
_HOMOGLYPHS |= {"n": "ո", "d": "ԁ", "h": "һ", "k": "κ", "u": "υ"}


def _exchanged(table: Mapping[str, str]) -> Callable[[str, random.Random], str]:
    def disguise(text: str, rng: random.Random) -> str:
        share = rng.uniform(0.3, 1)
        return "".join(rng.choice(table[one]) if one in table and rng.random() < share else one for one in text.lower())

    return disguise


def _spread(text: str, rng: random.Random) -> str:
    return " ".join(rng.choice(" .-_*").join(word) if len(word) > 2 else word for word in text.split())


def _with_invisible(text: str, rng: random.Random) -> str:
    return "".join(letter + (rng.choice(_INVISIBLE) if rng.random() < 0.4 else "") for letter in text)


def _drawn_out(text: str, rng: random.Random) -> str:
    return "".join(letter * (rng.randint(2, 3) if rng.random() < 0.15 else 1) for letter in text)


def _in_capitals(text: str, rng: random.Random) -> str:
    return text.upper() if rng.random() < 0.5 else text.title()


def _interrupted(text: str, rng: random.Random) -> str:
    """Insert a symbol or a control character into the longer words."""
    inserted = rng.choice(["{}", "()", "\x00", "/", "|", "\u3164", "<>", "\\", "'"])
    return " ".join(
        word[: len(word) // 2] + inserted + word[len(word) // 2 :] if len(word) > 3 else word for word in text.split()
    )


def _run_together(text: str, rng: random.Random) -> str:
    return text.replace(" ", "") if len(text) < 20 else _in_capitals(text, rng)


def _with_slips(text: str, rng: random.Random) -> str:
    """Insert one or two typing errors: letters exchanged, omitted, doubled or replaced."""
    letters = list(text)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(1, max(2, len(letters) - 1))
        if at + 1 >= len(letters) or not letters[at].isalpha():
            continue
        pair = letters[at : at + 2]
        letters[at : at + 2] = rng.choice([pair[::-1], pair[1:], [pair[0], *pair], [rng.choice("aeiourstn"), pair[1]]])
    return "".join(letters)


_HEARD_ALIKE = (
    *(
        ("ee", "ea"),
        ("ie", "ei"),
        ("ph", "f"),
        ("ck", "k"),
        ("c", "k"),
        ("s", "z"),
        ("i", "y"),
        ("er", "ur"),
        ("oo", "u"),
    ),
    *(
        ("ou", "u"),
        ("gh", ""),
        ("igh", "y"),
        ("ai", "a"),
        ("ay", "ey"),
        ("ee", "i"),
        ("e", ""),
        ("tt", "t"),
        ("ll", "l"),
    ),
    *(
        ("dd", "d"),
        ("l", "ll"),
        ("t", "tt"),
        ("d", "dd"),
        ("a", "e"),
        ("th", "f"),
        ("wh", "w"),
        ("kn", "n"),
        ("j", "g"),
    ),
)


def _spelt_by_ear(text: str, rng: random.Random) -> str:
    for usual, heard in rng.sample(_HEARD_ALIKE, len(_HEARD_ALIKE))[: rng.randint(8, 20)]:
        text = text.replace(usual, heard, 1)
    return text


_DISGUISES = [_exchanged(_LEET), _exchanged(_HOMOGLYPHS), _spread, _with_invisible, _drawn_out, _in_capitals]
_DISGUISES += [_run_together, _interrupted, _with_slips, _with_slips, _spelt_by_ear]


def disguised(text: str, rng: random.Random) -> str:
    text = rng.choice(_DISGUISES)(text, rng)
    return rng.choice(_DISGUISES)(text, rng) if rng.random() < 0.2 else text
