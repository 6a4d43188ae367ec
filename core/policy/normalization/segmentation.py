"""Split words that are run together, such as `mylittlesisterisnine`, into everyday words.

May import: core.policy.spelling.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import log

from core.policy.spelling import english, is_everyday

_LONG_WORD = re.compile(r"(?<![^\W_])[a-z0-9]{10,64}(?![^\W_])")
_SHORT_WORDS = frozenset(
    re.findall(r"\w+", "a i am an as at be by do he hi im in is it me my no of on or so to up us we")
)
_ORDINAL_ENDINGS = frozenset(["st", "nd", "rd", "th"])
_SHORT = 2
_LONGEST_PIECE = 16
_MIN_PIECES = 3
_MIN_COUNTS = {3: 20_000, 4: 5_000}
"""Minimum count, in the corpus of subtitles, of a piece with three or four letters."""
_MIN_COUNT = 2_000
_ALL_WORDS = 1e9
_COST_OF_FIGURES = 9.0
_MAX_FIGURES = 4


def split_run_together(text: str) -> str:
    """Return a `native` text with spaces in its unknown long words, where these consist of three everyday words."""
    return _LONG_WORD.sub(lambda found: _split(found[0]) or found[0], text)


@lru_cache(maxsize=4_096)
def _split(word: str) -> str | None:
    """Return the most frequent words that a word consists of, with spaces; None if it can't be split so."""
    if is_everyday(word) or word.isdecimal():
        return None
    short = _SHORT_WORDS if word.isalpha() else _SHORT_WORDS | _ORDINAL_ENDINGS
    best: list[tuple[float, tuple[str, ...]] | None] = [(0.0, ())]
    for end in range(1, len(word) + 1):
        ways: list[tuple[float, tuple[str, ...]]] = []
        for start in range(max(0, end - _LONGEST_PIECE), end):
            before, cost = best[start], _cost(word[start:end], short)
            if before is not None and cost is not None:
                ways.append((before[0] + cost, (*before[1], word[start:end])))
        best.append(min(ways, default=None))
    whole = best[-1]
    return " ".join(whole[1]) if whole is not None and len(whole[1]) >= _MIN_PIECES else None


def _cost(piece: str, short: frozenset[str]) -> float | None:
    if piece.isdecimal():
        return _COST_OF_FIGURES if len(piece) <= _MAX_FIGURES else None
    count = english().get(piece, 0)
    least = _MIN_COUNTS.get(len(piece), _MIN_COUNT)
    known = piece in short if len(piece) <= _SHORT else count >= least
    return log(_ALL_WORDS / max(count, 1)) if known else None
