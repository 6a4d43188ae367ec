"""Patterns of phrases, and a trie of them whose branches are built when a text first reaches them.

In a pattern, `(a|b|)` is a choice and `stem*` any word with that beginning. A pattern is stored as segments, each with
its options. The few thousand patterns represent more than a hundred thousand phrases; most texts contain none of them.

May import: core.errors, core.policy.normalization.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, product
from threading import Lock
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from core.errors import Misconfigured
from core.policy.normalization import Token, folded, native

Phrase: TypeAlias = tuple[str, ...]
"""Normalized words; a stem ends with `*`."""
Segments: TypeAlias = tuple[tuple[Phrase, ...], ...]
"""The parts of a pattern between spaces, each as its possible phrases; an empty phrase means that it is optional."""
_Value = TypeVar("_Value")

_LONGEST_STEM = 16
_SIGNS = re.compile("([()|])")
_UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])")
_LATIN = re.compile("[a-z]")
_CHOICE_END = re.compile(r"\)(?=[(#&~])")
_WORD = re.compile(r"[#&~]|\d+|(?:[^\W\d_]|[\u0900-\u0dff\u0e00-\u0eff])+\*?")


def phrases(pattern: str) -> list[str]:
    """Return all phrases of a pattern with choices. Raises `Misconfigured` for unbalanced brackets."""
    if "(" not in pattern and ")" not in pattern:
        return [pattern]
    outer: list[tuple[list[str], list[str]]] = []
    options: list[str] = []
    prefixes = [""]
    for part in _SIGNS.split(pattern):
        if part == "(":
            outer.append((options, prefixes))
            options, prefixes = [], [""]
        elif part == "|" and outer:
            options += prefixes
            prefixes = [""]
        elif part == ")" and outer:
            chosen = dict.fromkeys(options + prefixes)
            options, prefixes = outer.pop()
            prefixes = [before + option for before in prefixes for option in chosen]
        elif part == ")":
            raise _open_choice(pattern)
        elif part:
            prefixes = [before + part for before in prefixes]
    if outer:
        raise _open_choice(pattern)
    return prefixes


def _open_choice(pattern: str) -> Misconfigured:
    return Misconfigured(f"The policy's phrase {pattern!r} has unbalanced brackets: close each choice.")


def spellings(pattern: str, *, exact: bool = False) -> Iterator[Segments]:
    """Yield a pattern as normalization writes it: in its own script and, unless `exact`, folded.

    Raises `Misconfigured` for unbalanced brackets, and if all parts of the pattern are optional.
    """
    own = native(pattern)
    for letters in (own,) if exact or own.isascii() else dict.fromkeys((own, folded(own))):
        spaced = letters if letters.isascii() else _spaced(letters)
        segments = tuple(map(_options, _segments(spaced)))
        if all(() in options for options in segments):
            raise Misconfigured(f"The policy's phrase {pattern!r} may be empty: make one of its words required.")
        yield segments


def _spaced(letters: str) -> str:
    """Separate the letters of scripts without word breaks, and choices of such letters, so that each is a segment."""
    spaced = _UNSPACED.sub(r" \1 ", letters)
    return spaced if spaced == letters or _LATIN.search(letters) else _CHOICE_END.sub(") ", spaced)


def spelled_phrases(pattern: str) -> set[Phrase]:
    """Return all phrases of a pattern."""
    return {phrase for segments in spellings(pattern) for phrase in whole_phrases(segments)}


def whole_phrases(segments: Segments) -> Iterator[Phrase]:
    return (tuple(chain.from_iterable(parts)) for parts in product(*segments))


def single_words(segments: Segments) -> Iterator[str]:
    """Yield the phrases that are a single word."""
    needed = [options for options in segments if () not in options]
    if len(needed) <= 1:
        yield from (option[0] for options in needed or segments for option in options if len(option) == 1)


def _segments(pattern: str) -> list[str]:
    """Split the pattern at the spaces outside of choices."""
    found: list[str] = []
    depth = 0
    for part in pattern.split():
        if depth:
            found[-1] += f" {part}"
        else:
            found.append(part)
        depth += part.count("(") - part.count(")")
    return found


@lru_cache(maxsize=16_384)
def _options(segment: str) -> tuple[Phrase, ...]:
    if segment.isalpha() and segment.isascii():
        return ((segment,),)
    return tuple(dict.fromkeys(map(_words, phrases(segment))))


def _words(phrase: str) -> Phrase:
    words = phrase.split()
    return tuple(words if all(map(str.isalpha, words)) else _WORD.findall(phrase))


_BUILDING = Lock()


class _Rest(NamedTuple, Generic[_Value]):
    """A pattern from one of its segments on. `absent`: all of it is optional."""

    options: tuple[Phrase, ...]
    then: _Rest[_Value] | None
    absent: bool
    value: _Value


class PhraseNode(Generic[_Value]):
    """A node of a trie of words. Its branches are built at the first `step`, by one thread at a time."""

    __slots__ = ("_lengths", "_pending", "edges", "ends", "stems", "words")

    def __init__(self) -> None:
        self.words: dict[str, PhraseNode[_Value]] = {}
        self.stems: dict[str, PhraseNode[_Value]] = {}
        self.edges: dict[str, PhraseNode[_Value]] = {}
        """Children by a name that contains a space, which no token does."""
        self.ends: list[_Value] = []
        """The values of the patterns that have a phrase ending here."""
        self._lengths: set[int] = set()
        """Lengths of the stems."""
        self._pending: list[tuple[Phrase, _Rest[_Value]]] = []

    def add(self, segments: Segments, value: _Value) -> None:
        """Add a pattern."""
        rest = _Rest((), None, absent=True, value=value)
        for options in reversed(segments):
            rest = _Rest(options, rest, rest.absent and () in options, value)
        self._pending.append(((), rest))

    @property
    def is_leaf(self) -> bool:
        return not (self._pending or self.words or self.stems or self.edges)

    def step(self, readings: Token) -> list[PhraseNode[_Value]]:
        """Return the nodes that a token with these readings leads to."""
        if self._pending:
            self._build_branches()
        words, stems = self.words, self.stems
        if len(readings) == 1 and not stems:
            return [words[readings[0]]] if readings[0] in words else []
        after = [words[reading] for reading in readings if reading in words]
        if stems:
            cut = (reading[:length] for reading in readings for length in self._lengths if length <= len(reading))
            after += [stems[stem] for stem in cut if stem in stems]
        return after

    def _build_branches(self) -> None:
        with _BUILDING:
            for words_left, rest in self._pending:
                self._branch(words_left, rest)
            self._pending = []

    def _branch(self, words_left: Phrase, rest: _Rest[_Value]) -> None:
        if words_left:
            self._child(words_left[0]).reach(words_left[1:], rest)
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

    def reach(self, words_left: Phrase, rest: _Rest[_Value]) -> None:
        """Add the remaining part of a pattern: words of the current segment, and the segments after it."""
        if words_left or rest.options:
            self._pending.append((words_left, rest))
        if not words_left and rest.absent and rest.value not in self.ends:
            self.ends.append(rest.value)
