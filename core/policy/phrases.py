"""Patterns of phrases, and a trie of them whose branches are made when a text first reaches them.

In a pattern, `(a|b|)` is a choice and `stem*` any word with that beginning. A pattern is kept as segments, each with
its options; the few thousand patterns stand for more than a hundred thousand phrases, of which most texts meet none.

May import: core.errors, core.policy.normalization.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, product
from threading import Lock
from typing import Generic, TypeAlias, TypeVar

from core.errors import Misconfigured
from core.policy.normalization import Token, folded, native

Phrase: TypeAlias = tuple[str, ...]
"""Words as normalization leaves them; the last letter of a stem is `*`."""
Segments: TypeAlias = tuple[tuple[Phrase, ...], ...]
"""The parts of a pattern between its spaces, each with the phrases it may be; one is empty where it may be absent."""
_Value = TypeVar("_Value")

_LONGEST_STEM = 16
_SIGNS = re.compile("([()|])")
_UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])")
_WORD = re.compile(r"[#&~]|\d+|(?:[^\W\d_]|[\u0900-\u0dff\u0e00-\u0eff])+\*?")
_PARTS = re.compile(r"\s+|[()]|[^\s()]+")

# ── patterns ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def phrases(pattern: str) -> Iterator[str]:
    """The phrases that a pattern with choices stands for. Raises `Misconfigured` where a choice is left open."""
    outer: list[tuple[list[str], list[str]]] = []
    options: list[str] = []
    begun = [""]
    for part in _SIGNS.split(pattern):
        if part == "(":
            outer.append((options, begun))
            options, begun = [], [""]
        elif part == "|" and outer:
            options += begun
            begun = [""]
        elif part == ")" and outer:
            chosen = dict.fromkeys(options + begun)
            options, begun = outer.pop()
            begun = [before + option for before in begun for option in chosen]
        elif part == ")":
            raise _open_choice(pattern)
        elif part:
            begun = [before + part for before in begun]
    if outer:
        raise _open_choice(pattern)
    return (" ".join(phrase.split()) for phrase in begun)


def _open_choice(pattern: str) -> Misconfigured:
    return Misconfigured(f"The policy's phrase {pattern!r} leaves a choice open.")


def spellings(pattern: str, *, exact: bool = False) -> Iterator[Segments]:
    """A pattern as normalization leaves its texts: in its own script and, unless `exact`, folded.

    Raises `Misconfigured` where a choice is left open, and where all of the pattern may be absent.
    """
    own = native(pattern)
    for letters in (own,) if exact or own.isascii() else dict.fromkeys((own, folded(own))):
        spaced = letters if letters.isascii() else _UNSPACED.sub(r" \1 ", letters)
        segments = tuple(map(_options, _segments(spaced)))
        if all(() in options for options in segments):
            raise Misconfigured(f"The policy's phrase {pattern!r} may be empty.")
        yield segments


def spelled_phrases(pattern: str) -> set[Phrase]:
    """All phrases of a pattern."""
    return {phrase for segments in spellings(pattern) for phrase in whole_phrases(segments)}


def whole_phrases(segments: Segments) -> Iterator[Phrase]:
    return (tuple(chain.from_iterable(parts)) for parts in product(*segments))


def single_words(segments: Segments) -> Iterator[str]:
    """The phrases of one word."""
    needed = [options for options in segments if () not in options]
    if len(needed) <= 1:
        yield from (option[0] for options in needed or segments for option in options if len(option) == 1)


def _segments(pattern: str) -> list[str]:
    """The pattern cut at the spaces that are in no choice."""
    if "(" not in pattern and ")" not in pattern:
        return pattern.split()
    found, depth = [""], 0
    for part in _PARTS.findall(pattern):
        depth += (part == "(") - (part == ")")
        if part.isspace() and not depth:
            found.append("")
        else:
            found[-1] += part
    return [segment for segment in found if segment]


@lru_cache(maxsize=16_384)
def _options(segment: str) -> tuple[Phrase, ...]:
    if segment.isalpha() and segment.isascii():
        return ((segment,),)
    return tuple(dict.fromkeys(tuple(_WORD.findall(phrase)) for phrase in phrases(segment)))


# ── the trie ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_GROWING = Lock()


@dataclass(frozen=True, slots=True)
class _Rest(Generic[_Value]):
    """A pattern from one of its segments on. `absent`: it may be nothing."""

    options: tuple[Phrase, ...]
    then: _Rest[_Value] | None
    absent: bool
    value: _Value


class PhraseNode(Generic[_Value]):
    """A node of a trie of words. Its branches are made at the first `step`, one thread at a time."""

    __slots__ = ("_ahead", "_lengths", "edges", "ends", "stems", "words")

    def __init__(self) -> None:
        self.words: dict[str, PhraseNode[_Value]] = {}
        self.stems: dict[str, PhraseNode[_Value]] = {}
        self.edges: dict[str, PhraseNode[_Value]] = {}
        """By words with a space inside, which no token is taken for."""
        self.ends: list[_Value] = []
        """The values of the patterns with a phrase that ends here."""
        self._lengths: set[int] = set()
        """Of the stems."""
        self._ahead: list[tuple[Phrase, _Rest[_Value]]] = []

    def add(self, segments: Segments, value: _Value) -> None:
        """Take a pattern."""
        rest = _Rest((), None, absent=True, value=value)
        for options in reversed(segments):
            rest = _Rest(options, rest, rest.absent and () in options, value)
        self._ahead.append(((), rest))

    @property
    def is_leaf(self) -> bool:
        return not (self._ahead or self.words or self.stems or self.edges)

    def step(self, readings: Token) -> list[PhraseNode[_Value]]:
        """The nodes that a token with these readings leads to."""
        if self._ahead:
            self._grow()
        words, stems = self.words, self.stems
        if len(readings) == 1 and not stems:
            return [words[readings[0]]] if readings[0] in words else []
        after = [words[reading] for reading in readings if reading in words]
        if stems:
            cut = (reading[:length] for reading in readings for length in self._lengths if length <= len(reading))
            after += [stems[stem] for stem in cut if stem in stems]
        return after

    def _grow(self) -> None:
        with _GROWING:
            for left, rest in self._ahead:
                self._branch(left, rest)
            self._ahead = []

    def _branch(self, left: Phrase, rest: _Rest[_Value]) -> None:
        if left:
            self._child(left[0]).reach(left[1:], rest)
        elif rest.then is not None:
            for option in rest.options:
                self._branch(option, rest.then)

    def _child(self, word: str) -> PhraseNode[_Value]:
        branch, key = (self.edges if " " in word else self.words), word
        if word.endswith("*"):
            branch, key = self.stems, word[:-1]
            self._lengths.add(len(key))
        child = branch.get(key)
        if child is None:
            child = branch[key] = PhraseNode()
        return child

    def reach(self, left: Phrase, rest: _Rest[_Value]) -> None:
        """Take what is left of a pattern: words of the segment that was begun, and the segments after it."""
        if left or rest.options:
            self._ahead.append((left, rest))
        if not left and rest.absent and rest.value not in self.ends:
            self.ends.append(rest.value)
