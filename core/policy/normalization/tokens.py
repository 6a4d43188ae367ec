"""Tokens, streams, and the part of the lexicon that normalization uses.

May import: core.policy.spelling.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Generic, TypeAlias, TypeVar

from core.policy.spelling import CONTEXT, DOUBTFUL, MIN_LETTERS, NUMBERS, HardWords

Token: TypeAlias = tuple[str, ...]
"""The strings that a token may mean; the first is the token as written."""
Stream: TypeAlias = tuple[Token, ...]
_Known = TypeVar("_Known")

MINOR_NUMBER = "#"
ADULT_AGE = 18
MAX_JOINED = 24
"""Maximum length of a word that is joined from pieces or split in two."""
UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
"""Letters of scripts without word breaks, as the inside of a character class."""
SPELT_WITH_MARKS = r"\u0900-\u0dff\u0e00-\u0eff"
NUMBER = r"\d++(?:[.,]\d++)*"
PLAIN_TOKEN = re.compile(rf"[{UNSPACED}]|{NUMBER}|(?:[^\W\d_{UNSPACED}]|[{SPELT_WITH_MARKS}])++")

_LONG_RUN = re.compile(r"(.)\1{2,}+")
_ARABIC_ARTICLE = re.compile(r"[وبفلكه]?(?:ال|لل)(?=.{2})")
_ARABIC_PREFIXES = "وبفلك"
_SHORTEST_PREFIXED = 5
_MAX_RUNS = 3
_MAX_CACHED = 20_000


@dataclass(frozen=True, eq=False)
class Spelling:
    """The part of the lexicon that normalization uses.

    `words` are its single words, and `in_pieces` those that are recognized in pieces. `whole_pieces` are pairs of
    words, with a space between, that are not joined. `beginnings` are all prefixes of words that can be joined, which
    limit the search.
    """

    words: Collection[str]
    in_pieces: Collection[str]
    whole_pieces: Collection[str]
    compounds: Collection[str]
    beginnings: frozenset[str]
    numbers: Mapping[str, int]
    tens: frozenset[str]

    @cached_property
    def hard_words(self) -> HardWords:
        """The index of hard words and their plurals."""
        words = {*self.compounds, *self.in_pieces, *CONTEXT} - set(self.numbers)
        words |= set(NUMBERS).intersection(self.numbers)
        plurals = {f"{word}s" for word in words if len(word) > MIN_LETTERS and not word.endswith("s")}
        return HardWords(words | plurals)

    @cached_property
    def doubtful_words(self) -> HardWords:
        """The index of words that are recognized with sexual content: the hard words and `DOUBTFUL`."""
        return HardWords(self.hard_words.words | set(DOUBTFUL))


class TokenCache(dict[Token, _Known], Generic[_Known]):
    """Cache of the results of `compute` by token: `cache[token]`. It is cleared when it is full."""

    def __init__(self, compute: Callable[[Token], _Known]) -> None:
        self._compute = compute

    def __missing__(self, token: Token) -> _Known:
        if len(self) >= _MAX_CACHED:
            self.clear()
        known = self[token] = self._compute(token)
        return known

    def __reduce__(self) -> tuple[type[TokenCache[_Known]], tuple[Callable[[Token], _Known]]]:
        """Pickle the cache without its content."""
        return type(self), (self._compute,)


def word_set(words: str) -> frozenset[str]:
    """Return the words of a list that is written as one text."""
    return frozenset(words.split())


def number_value(digits: str) -> float | None:
    """Return the value of a number token, or None for a date, a version and the like."""
    if digits.isdecimal():
        return int(digits[:9])
    whole, *parts = re.split("[.,]", digits)
    if "," in digits and "." not in digits and all(len(part) == 3 for part in parts):
        return int((whole + "".join(parts))[:9])
    return int(whole[:9]) + 0.5 if len(parts) == 1 else None


def _shortened_runs(word: str) -> Iterator[str]:
    """Yield `ten` and `teen` for `teeeen`: each run of three or more letters as one letter and as two."""
    letters = [found[1] for found in _LONG_RUN.finditer(word)]
    if not letters:
        return
    between = _LONG_RUN.split(word)[::2]
    for times in product((1, 2), repeat=min(len(letters), _MAX_RUNS)):
        runs = [letter * count for letter, count in zip(letters, (*times, *[1] * len(letters)), strict=False)]
        yield "".join(text + run for text, run in zip(between, (*runs, ""), strict=True))


@lru_cache(maxsize=32_768)
def readings(word: str, spelling: Spelling) -> Token:
    """Return a plain word or number with its other readings."""
    if word[0].isdigit():
        value = number_value(word)
        return (word, MINOR_NUMBER) if value is not None and value < ADULT_AGE else (word,)
    found = [word, *_shortened_runs(word)]
    if any(spelling.numbers.get(reading, ADULT_AGE) < ADULT_AGE for reading in found):
        found.append(MINOR_NUMBER)
    if "\u0600" <= word[0] <= "\u06ff":
        if article := _ARABIC_ARTICLE.match(word):
            found.append(word[article.end() :])
        elif word[0] in _ARABIC_PREFIXES and len(word) >= _SHORTEST_PREFIXED and word[1:] in spelling.words:
            found.append(word[1:])
    return tuple(found)


def _after_tens(tokens: list[Token], spelling: Spelling) -> bool:
    """Whether the tokens end with `twenty`, `hundred and` or `treinta y`, which the next number word continues."""
    if tokens and tokens[-1][0] in spelling.tens:
        return True
    return len(tokens) > 1 and tokens[-1][0] in {"and", "y", "e", "et", "i"} and tokens[-2][0] in spelling.tens


def without_number_tails(tokens: Iterable[Token], spelling: Spelling) -> Stream:
    """Return the tokens without the reading as a separate number of a word such as `five` in `twenty five`."""
    tokens = tuple(tokens)
    if spelling.tens.isdisjoint([token[0] for token in tokens]):
        return tokens
    kept: list[Token] = []
    for token in tokens:
        is_word = token[0] in spelling.numbers
        kept.append(token[:1] if is_word and _after_tens(kept, spelling) else token)
    return tuple(kept)


def plain_stream(text: str, spelling: Spelling) -> Stream:
    """Return `text`, in `native` letters, as a stream of tokens in its own script."""
    return without_number_tails([readings(word, spelling) for word in PLAIN_TOKEN.findall(text)], spelling)
