"""The rules as data: `rules/*.toml` read, checked and compiled into one trie that is walked once per stream.

A file holds concepts (sets of phrases) and rules over concepts. In a phrase, `(a|b|)` is a choice, `stem*` any word
that begins so, `#` a number below 18. A language's file only adds phrases to concepts. A match that touches one of its
concept's `except` phrases is none, so that `naked eye` is no nudity.

May import: core.errors, core.policy.normalization.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Literal, TypeAlias

from core.errors import Misconfigured
from core.policy.normalization import Spelling, Stream, folded, native

Span: TypeAlias = tuple[int, int]
"""First token and the one after the last."""
Found: TypeAlias = dict[str, list[Span]]
How: TypeAlias = Literal["together", "linked", "near"]

_LONGEST_STEM = 16
_SHORTEST_PIECED = 5
"""Letters that a word needs to be put together from pieces, unless its concept names it: `lol i` is chat."""

# ── phrases ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_CHOICE = re.compile(r"\(([^()]*)\)")
_UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])")
_WORD = re.compile(r"#|\d+|(?:[^\W\d_]|[\u0900-\u0dff\u0e00-\u0eff])+\*?")


def phrases(pattern: str) -> Iterator[str]:
    """The phrases that a pattern with choices stands for. Raises `Misconfigured` where choices are nested."""
    parts = _CHOICE.split(pattern)
    if any("(" in part or ")" in part for part in parts):
        raise Misconfigured(f"The policy's phrase {pattern!r} nests its choices, or leaves one open.")
    for chosen in product(*(part.split("|") if at % 2 else [part] for at, part in enumerate(parts))):
        yield " ".join("".join(chosen).split())


def _spellings(pattern: str, *, exact: bool) -> Iterator[tuple[str, ...]]:
    """The token sequences of a pattern, as normalisation leaves them: in their own script, and folded."""
    own = native(pattern)
    for letters in (own,) if exact else dict.fromkeys((own, folded(own))):
        for phrase in phrases(_UNSPACED.sub(r" \1 ", letters)):
            yield tuple(_WORD.findall(phrase))


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rule:
    """When the concepts of `groups` (any one of each group) meet, the text is of `category`.

    `how` is `together` (anywhere in one request), `linked` (in this order, with linking words only between them) or
    `near` (in either order, with at most `within` tokens between). `refused` and `allowed` are its own test.
    """

    id: str
    category: str
    tier: str
    reason: str
    how: How
    groups: tuple[tuple[str, ...], ...]
    within: int
    refused: tuple[str, ...]
    allowed: tuple[str, ...]


def _rule(raw: Mapping[str, Any]) -> Rule:
    how: list[How] = [key for key in ("together", "linked", "near") if key in raw]
    if len(how) != 1:
        raise Misconfigured(f"Policy rule {raw.get('id')!r} needs one of `together`, `linked`, `near`.")
    return Rule(
        id=raw["id"],
        category=raw["category"],
        tier=raw["tier"],
        reason=raw["reason"],
        how=how[0],
        groups=tuple(map(tuple, raw[how[0]])),
        within=raw.get("within", 0),
        refused=tuple(raw["refused"]),
        allowed=tuple(raw["allowed"]),
    )


# ── the trie ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    stems: dict[str, _Node] = field(default_factory=dict)
    meets: set[tuple[str, bool]] = field(default_factory=set)
    """Concepts whose phrase ends here; True where it is an exception."""

    def child(self, token: str) -> _Node:
        branch, key = (self.stems, token[:-1]) if token.endswith("*") else (self.words, token)
        return branch.setdefault(key, _Node())

    def step(self, readings: Iterable[str]) -> Iterator[_Node]:
        for reading in readings:
            if reading in self.words:
                yield self.words[reading]
            if self.stems:
                stems = (reading[:length] for length in range(2, min(len(reading), _LONGEST_STEM) + 1))
                yield from (self.stems[stem] for stem in stems if stem in self.stems)


@dataclass
class Lexicon:
    """All concepts and rules. `add` takes the content of one file; `find` is linear in the stream's tokens."""

    rules: list[Rule] = field(default_factory=list)
    concepts: set[str] = field(default_factory=set)
    linking: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    in_pieces: set[str] = field(default_factory=set)
    whole_pieces: set[str] = field(default_factory=set)
    compounds: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)
    tens: set[str] = field(default_factory=set)
    _root: _Node = field(default_factory=_Node)

    def add(self, content: Mapping[str, Any]) -> None:
        for word, value in content.get("numbers", {}).items():
            self.numbers |= dict.fromkeys((native(word), folded(native(word))), value)
        self.tens |= {native(word) for word in content.get("tens", ())}
        self.linking |= {native(word) for word in content.get("linking", ())}
        self.rules += map(_rule, content.get("rule", ()))
        for concept, entry in content.get("concept", {}).items():
            self._add_concept(concept, entry)

    def _add_concept(self, concept: str, entry: Mapping[str, Any]) -> None:
        self.concepts.add(concept)
        single = set()
        for key, exact, exception in (("words", False, False), ("exact", True, False), ("except", False, True)):
            for pattern in entry.get(key, ()):
                for tokens in _spellings(pattern, exact=exact):
                    self._insert(tokens, concept, exception=exception)
                    if entry.get("run_together"):
                        self._insert(("".join(tokens),), concept, exception=exception)
                    if len(tokens) == 1 and not exception:
                        single.add(tokens[0].rstrip("*"))
        self.words |= single
        if entry.get("hard_in_pieces"):
            self.in_pieces |= {word for word in single if len(word) >= _SHORTEST_PIECED}
        self.in_pieces |= set(entry.get("in_pieces", ()))
        self.whole_pieces |= set(entry.get("whole_pieces", ()))
        self.compounds |= single if entry.get("compounds") else set()

    def _insert(self, tokens: tuple[str, ...], concept: str, *, exception: bool) -> None:
        if not tokens:
            raise Misconfigured(f"The policy's concept {concept!r} holds an empty phrase.")
        node = self._root
        for token in tokens:
            node = node.child(token)
        node.meets.add((concept, exception))

    @cached_property
    def spelling(self) -> Spelling:
        numbers = frozenset(self.numbers)
        in_pieces = self.in_pieces | {word for word in numbers if len(word) > _SHORTEST_PIECED}
        words = self.words | numbers
        beginnings = frozenset(word[:end] for word in words | in_pieces for end in range(1, len(word) + 1))
        return Spelling(words, in_pieces, self.whole_pieces, self.compounds, beginnings, self.numbers, self.tens)

    def checked(self) -> Lexicon:
        """Raises `Misconfigured` where a rule names a concept that no file holds."""
        for rule in self.rules:
            for concept in (concept for group in rule.groups for concept in group):
                if concept not in self.concepts:
                    raise Misconfigured(f"Policy rule {rule.id!r} names the concept {concept!r}, which no file holds.")
        return self

    def find(self, stream: Stream) -> Found:
        """Where each concept is met in the stream, its exceptions taken out."""
        met: Found = {}
        excepted: Found = {}
        for start in range(len(stream)):
            nodes, end = [self._root], start
            while nodes and end < len(stream):
                nodes = [child for node in nodes for child in node.step(stream[end])]
                end += 1
                for node in nodes:
                    for concept, exception in node.meets:
                        (excepted if exception else met).setdefault(concept, []).append((start, end))
        return {concept: spans for concept in met if (spans := _untouched(met[concept], excepted.get(concept, [])))}


def _untouched(spans: list[Span], exceptions: list[Span]) -> list[Span]:
    if not exceptions:
        return spans
    masked = {at for start, end in exceptions for at in range(start, end)}
    return [span for span in spans if masked.isdisjoint(range(*span))]
