"""The rules as data: `lexicons/*.toml`, checked and compiled into one trie that is walked once per stream.

A file contains concepts (sets of phrases) and rules over concepts. In a phrase, `(a|b|)` is a choice, `stem*` any word
with that beginning, and `#` a number below 18. A language's file adds phrases to concepts, and patterns of ages. A
match that overlaps a phrase of its concept's `never` list does not count; one that overlaps an `except` phrase does not
count in the everyday reading (see `core.policy.engine`). A concept also matches where the concepts of one of its
`sequences` follow each other, so that verbs and garments need not be listed in pairs (`~`: up to four words of any
kind). A concept with `near` matches where concepts of two groups are near each other in either order. A concept with
`aged` matches where one of these phrases has an adult's age after it; then the concepts of `cancels` do not match
there (`core.policy.adults`).

May import: core.errors, core.policy.adults, core.policy.ages, core.policy.normalization, core.policy.sequences,
core.policy.spelling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, TypeAlias

from core.errors import Misconfigured
from core.policy.adults import Grown, remembered_childhoods, stated_adults
from core.policy.ages import AgeReader, punctuated_ages
from core.policy.normalization import (
    ADULT_AGE,
    Spelling,
    Stream,
    Token,
    TokenCache,
    as_text,
    deciphered,
    doubtful_streams,
    native,
)
from core.policy.phrases import PhraseNode, single_words, spelled_phrases, spellings, whole_phrases
from core.policy.sequences import GAP, Found, Span, linked_spans, spans_of
from core.policy.spelling import DOUBTFUL

How: TypeAlias = Literal["together", "linked", "near"]


class Effect(StrEnum):
    """Effect of a phrase on its concept."""

    MATCH = "match"
    EXCEPT = "except"
    NEVER = "never"
    MENTION = "mention"
    AGED = "aged"


AGE = "minor_age"
POSSIBLE_AGE = "possible_minor_age"
"""Concepts of the age reader: certain statements of an age below 18, and those that count only with sexual content."""

_AGE_LINKS = {"as", "a", "an", "the", "now", "at", "aged", "age", "is", "s", "who", "grown", "up", "all", "of", "adult"}
_MOST_LINKS = 4
_TENS = 20
_SHORTEST_NUMBER = 3
_SHORTEST_PIECED = 5
"""Minimum length of a word that is joined from pieces, unless its concept names it: `lol i` is ordinary chat."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: a text with a concept of each of `groups` belongs to `category`.

    `how` is `together` (anywhere in one request), `linked` (in this order, with only linking words between them) or
    `near` (in either order, with at most `within` tokens between). `refused` and `allowed` are texts that test it.
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


_Node: TypeAlias = PhraseNode[tuple[str, Effect]]
"""Node of the trie; its ends are concepts with the effect of the phrase on each."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The spans of each concept in a stream.

    `everyday` excludes matches of `except` and `never` phrases, `suspicious` only those of `never` phrases. `shown` is
    `everyday` without persons who are only mentioned and not in the picture (`the kids are asleep`).
    """

    everyday: Found
    suspicious: Found
    shown: Found


@dataclass(frozen=True, slots=True)
class Combination:
    """A concept that matches where one of `first` and one of `second` have at most `within` tokens between them."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    within: int

    def spans(self, found: Found) -> list[Span]:
        first = spans_of(found, self.first)
        before = {at for start, _ in first for at in range(start - self.within - 1, start)}
        after = {at for _, end in first for at in range(end, end + self.within + 1)}
        return [(start, end) for start, end in spans_of(found, self.second) if start in after or end - 1 in before]


@dataclass
class Lexicon:
    """All concepts and rules. `add` takes the content of one file; `find` is linear in the stream's tokens."""

    rules: list[Rule] = field(default_factory=list)
    concepts: set[str] = field(default_factory=lambda: {AGE, POSSIBLE_AGE})
    sexual: set[str] = field(default_factory=set)
    linking: set[str] = field(default_factory=set)
    sequences: list[tuple[str, tuple[tuple[str, ...], ...]]] = field(default_factory=list)
    """A concept, and the concepts that have to follow each other for it to match."""
    combined: dict[str, Combination] = field(default_factory=dict)
    unless_aged: set[str] = field(default_factory=set)
    """Concepts that do not match if an adult's age is stated for the person: `Harry Potter as a 36-year-old`."""
    grown: dict[str, Grown] = field(default_factory=dict)
    """Concepts that match an `aged` phrase with an adult's age after it, and cancel others there."""
    words: dict[str, set[str]] = field(default_factory=dict)
    """The single words of each concept."""
    in_pieces: set[str] = field(default_factory=set)
    whole_pieces: set[str] = field(default_factory=set)
    compounds: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)
    tens: set[str] = field(default_factory=set)
    ages: AgeReader = field(default_factory=AgeReader)
    _root: _Node = field(default_factory=PhraseNode)
    _first_nodes: TokenCache[list[_Node]] = field(init=False, repr=False, compare=False)
    """The nodes that each first token leads to."""

    def __post_init__(self) -> None:
        self._first_nodes = TokenCache(self._root.step)

    def add(self, content: Mapping[str, Any], language: str = "en") -> None:
        """Add the content of one file. Raises `Misconfigured`."""
        self._first_nodes.clear()
        self.linking |= {native(word) for word in content.get("linking", ())}
        self.rules += map(_rule, content.get("rule", ()))
        for concept, entry in content.get("concept", {}).items():
            self._add_concept(concept, entry)
        if "ages" in content:
            self.ages.add(language, content["ages"])
            self._add_numbers(content["ages"].get("numbers", {}))

    def _add_numbers(self, numbers: Mapping[str, int]) -> None:
        """Add single number words for the normalization, which may join those below 18 from pieces."""
        for pattern, value in numbers.items():
            for spelled in map(" ".join, spelled_phrases(pattern)):
                if value >= _TENS:
                    self.tens.add(spelled)
                elif value < ADULT_AGE and len(spelled) >= _SHORTEST_NUMBER and spelled.isalpha():
                    self.numbers[spelled] = value

    def _add_concept(self, concept: str, entry: Mapping[str, Any]) -> None:
        self.concepts.add(concept)
        self.sexual |= {concept} if entry.get("sexual") else set()
        self.unless_aged |= {concept} if entry.get("unless_aged") else set()
        if "aged" in entry:
            self.grown[concept] = Grown(entry["adult_from"], tuple(entry["cancels"]), entry.get("memory", False))
        for sequence in entry.get("sequences", ()):
            self.sequences.append((concept, tuple((part,) for part in sequence)))
        if "near" in entry:
            first, second = map(tuple, entry["near"])
            self.combined[concept] = Combination(first, second, entry["within"])
        single = set()
        for key, exact, effect in _PHRASE_LISTS:
            for segments in (spelled for pattern in entry.get(key, ()) for spelled in spellings(pattern, exact=exact)):
                self._root.add(segments, (concept, effect))
                if entry.get("run_together"):
                    together = ("".join(phrase) for phrase in whole_phrases(segments))
                    self._root.add((tuple((word,) for word in together),), (concept, effect))
                if effect is Effect.MATCH:
                    single |= {word.rstrip("*") for word in single_words(segments)}
        self.words.setdefault(concept, set()).update(single)
        if entry.get("hard_in_pieces"):
            self.in_pieces |= {word for word in single if len(word) >= _SHORTEST_PIECED}
        self.in_pieces |= set(entry.get("in_pieces", ()))
        self.whole_pieces |= set(entry.get("whole_pieces", ()))
        self.compounds |= single if entry.get("compounds") else set()

    @cached_property
    def spelling(self) -> Spelling:
        numbers = frozenset(self.numbers)
        in_pieces = self.in_pieces | {word for word in numbers if len(word) > _SHORTEST_PIECED}
        parts = {concept for _, groups in self.sequences for group in groups for concept in group}
        parts.update(*(combination.first + combination.second for combination in self.combined.values()))
        words = numbers.union(*(single for concept, single in self.words.items() if concept not in parts))
        begun = (*words, *in_pieces, *DOUBTFUL)
        beginnings = frozenset(word[:end] for word in begun for end in range(1, len(word) + 1))
        tens = frozenset(self.tens)
        return Spelling(words, in_pieces, self.whole_pieces, self.compounds, beginnings, self.numbers, tens)

    def checked(self) -> Lexicon:
        """Return the lexicon. Raises `Misconfigured` if a rule or a sequence names a concept that no file defines."""
        named = [(f"rule {rule.id!r}", rule.groups) for rule in self.rules]
        named += [(f"concept {concept!r}", parts) for concept, parts in self.sequences]
        named += [(f"concept {name!r}", (near.first, near.second)) for name, near in self.combined.items()]
        for owner, groups in named:
            for concept in (concept for group in groups for concept in group):
                if concept not in self.concepts and concept != GAP:
                    raise Misconfigured(f"Policy {owner} names the concept {concept!r}, which no file defines.")
        return self

    def find(self, stream: Stream, today: date) -> Readings:
        """Find each concept in the stream."""
        found: dict[Effect, Found] = {effect: {} for effect in Effect}
        first_nodes, length = self._first_nodes, len(stream)
        for start, token in enumerate(stream):
            nodes, end = first_nodes[token], start + 1
            while nodes:
                for node in nodes:
                    for concept, effect in node.ends:
                        found[effect].setdefault(concept, []).append((start, end))
                if end == length:
                    break
                nodes = nodes[0].step(stream[end]) if len(nodes) == 1 else _steps(nodes, stream[end])
                end += 1
        matched = found[Effect.MATCH]
        self._add_sequences(matched, stream)
        computed = self._add_ages(found, stream, today)
        suspicious = _without(matched, found[Effect.NEVER])
        for concept, combination in self.combined.items():
            if spans := combination.spans(suspicious):
                suspicious[concept] = [*suspicious.get(concept, ()), *spans]
        everyday = _without(suspicious, found[Effect.EXCEPT])
        shown = _without(everyday, found[Effect.MENTION])
        return Readings(everyday | computed, suspicious | computed, shown | computed)

    def _add_sequences(self, matched: Found, stream: Stream) -> None:
        """Add the concepts that match by a sequence of concepts in `matched`."""
        for concept, parts in self.sequences:
            if spans := linked_spans(matched, parts, stream, self.linking):
                matched.setdefault(concept, []).extend(spans)

    def _add_ages(self, found: dict[Effect, Found], stream: Stream, today: date) -> Found:
        """Add the stated ages below 18; return the computed ones separately, because exceptions don't apply to them."""
        computed: Found = {}
        ages = self.ages.read(stream, today)
        for concept in self.unless_aged & found[Effect.MATCH].keys():
            adult_ages = [(stated.start, stated.end) for stated in ages if stated.certain and not stated.minor]
            aged = _next_to(adult_ages, found[Effect.MATCH][concept], stream)
            found[Effect.NEVER].setdefault(concept, []).extend(aged)
        self._cancel_youth_of_adults(found, stream)
        for stated in ages:
            if stated.minor:
                concept = AGE if stated.certain else POSSIBLE_AGE
                spans = computed if stated.computed else found[Effect.MATCH]
                spans.setdefault(concept, []).append((stated.start, stated.end))
        return computed

    def _cancel_youth_of_adults(self, found: dict[Effect, Found], stream: Stream) -> None:
        """Let the nouns of persons with a stated adult age match no concept that their age cancels."""
        if not found[Effect.AGED]:
            return
        numbers = self.ages.words.find(stream)
        for concept, persons in found[Effect.AGED].items():
            grown = self.grown[concept]
            find = remembered_childhoods if grown.memory else stated_adults
            if adults := find(persons, grown.least, stream, numbers):
                found[Effect.MATCH].setdefault(concept, []).extend(adults)
                kept = grown.memory and not self.sexual.isdisjoint(found[Effect.MATCH])
                for cancelled in () if kept else grown.cancels:
                    found[Effect.NEVER].setdefault(cancelled, []).extend(adults)

    def doubtful_concepts(self, text: str, today: date) -> set[str]:
        """Return concepts that count only with sexual content: misspelt words, and ages shown only by punctuation."""
        plain = dict.fromkeys((text, deciphered(text, self.spelling)))
        found = {POSSIBLE_AGE} if any(self.states_minor_by_punctuation(one, today) for one in plain) else set()
        for stream in doubtful_streams(text, self.spelling):
            found |= self.find(stream, today).suspicious.keys()
            if self.states_minor_by_punctuation(as_text(stream, self.spelling), today):
                found.add(POSSIBLE_AGE)
        return found

    def states_minor_by_punctuation(self, text: str, today: date) -> bool:
        """Whether punctuation shows a possible age below 18: `(13)`, `14f`."""
        return any(True for _ in punctuated_ages(text, self.ages.words, self.ages.fillers, today))


def _next_to(adult_ages: Iterable[Span], characters: Iterable[Span], stream: Stream) -> list[Span]:
    """Return the characters next to a statement of an adult's age: `Harry Potter as a 36-year-old`."""
    ends: set[int] = set()
    starts: set[int] = set()
    for start, end in adult_ages:
        ends.update(_across_link_words(stream, start, -1))
        starts.update(_across_link_words(stream, end, 1))
    return [span for span in characters if span[1] in ends or span[0] in starts]


def _across_link_words(stream: Stream, at: int, step: int) -> Iterator[int]:
    """Yield `at` and the positions that only link words separate from it."""
    for _ in range(_MOST_LINKS + 1):
        yield at
        passed = at if step > 0 else at - 1
        if not 0 <= passed < len(stream) or _AGE_LINKS.isdisjoint(stream[passed]):
            return
        at += step


def _steps(nodes: Iterable[_Node], token: Token) -> list[_Node]:
    return [after for node in nodes for after in node.step(token)]


_PHRASE_LISTS = (
    ("words", False, Effect.MATCH),
    ("exact", True, Effect.MATCH),
    ("except", False, Effect.EXCEPT),
    ("never", False, Effect.NEVER),
    ("mention", False, Effect.MENTION),
    ("aged", False, Effect.AGED),
)
_EXCEPTIONS_OF = {POSSIBLE_AGE: AGE}
"""Exceptions of a certain age also apply to a possible one."""


def _without(spans: Found, exceptions: Found) -> Found:
    left: Found = {}
    for concept in spans:
        kept = _not_overlapping(spans[concept], exceptions.get(_EXCEPTIONS_OF.get(concept, concept), []))
        if kept:
            left[concept] = kept
    return left


def _not_overlapping(spans: list[Span], exceptions: list[Span]) -> list[Span]:
    if not exceptions:
        return spans
    masked = {at for start, end in exceptions for at in range(start, end)}
    return [span for span in spans if masked.isdisjoint(range(*span))]
