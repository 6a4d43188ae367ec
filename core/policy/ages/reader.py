"""Find statements of an age in a stream, by patterns that are compiled into one trie.

In a pattern, `#` is a number, `&` an ordinal and `~` up to four words of any kind (not at its ends); `(a|b|)` is a
choice and `{name}` one of the file's `sets`.

May import: core.errors, core.policy.ages, core.policy.normalization, core.policy.phrases, core.policy.spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from core.errors import Misconfigured
from core.policy.ages.beginnings import GAP, NUMBERS, Beginnings, before_numbers
from core.policy.ages.dates import AFTER_WINDOW, BEFORE_WINDOW, BirthDates
from core.policy.ages.kinds import COMPUTED, KINDS, Range
from core.policy.ages.numbers import Number, NumberWords, follows
from core.policy.ages.relations import RELATIONS, Relation, related_ages
from core.policy.normalization import ADULT_AGE, Stream, Token, TokenCache
from core.policy.phrases import Phrase, PhraseNode, Segments, spelled_phrases, spellings
from core.policy.spelling import is_everyday

OLDEST = 150
_MAX_FILLERS = 3
_MAX_GAP = 4
_SHORTEST_MIXED = 4
"""Minimum length of a number word in a pattern of another language."""
_OPENING = 2
"""Number of words of a pattern's beginning that are distinguished."""
_FIRST, _LEADS, _FOLLOWS, _OPENS, _ALONE, _BIRTH, _NUMBER, _OPENS_GAP = (1 << bit for bit in range(8))


class Statement(NamedTuple):
    """An age of `low` to `high` years at tokens `start` to `end`."""

    low: float
    high: float
    start: int
    end: int
    certain: bool = True
    computed: bool = False
    """By arithmetic or from a date. Exceptions for lengths of time and ordinals don't apply to it."""

    @property
    def minor(self) -> bool:
        return self.low < ADULT_AGE


@dataclass(frozen=True, slots=True)
class _Form:
    kind: str
    fixed: Range | None
    certain: bool
    language: str
    relation: bool = False


_Node: TypeAlias = PhraseNode[_Form]
_NUMBER_EDGE, _ORDINAL_EDGE, _GAP_EDGE = "# number", "# ordinal", "# gap"
"""Edges of the trie for elements of a pattern that are not words."""
_EDGES = {"#": _NUMBER_EDGE, "&": _ORDINAL_EDGE, GAP: _GAP_EDGE}

_MARKS = {*NUMBERS, GAP}
_NUMBER_FIRST = {(number,) for number in NUMBERS}


_State: TypeAlias = tuple[_Node, int, tuple[Number, ...], int]
"""State of a walk: node, next token, numbers so far, and number of skipped fillers."""


@dataclass
class AgeReader:
    """The patterns of all languages. `read` is linear: the trie's depth and the numbers at a token are bounded."""

    words: NumberWords = field(default_factory=NumberWords)
    fillers: set[str] = field(default_factory=set)
    """Words that may precede a number of a pattern: `only`, `almost`."""
    birth_words: set[str] = field(default_factory=set)
    birth_words_possible: set[str] = field(default_factory=set)
    birth_phrases_after: dict[str, set[Phrase]] = field(default_factory=dict)
    """Phrases that follow a date of birth, by their first word: `doğumlu`, `г р`."""
    months: dict[str, int] = field(default_factory=dict)
    _root: _Node = field(default_factory=PhraseNode)
    _beginnings: Beginnings = field(default_factory=Beginnings)
    _reach: int = 0
    """Maximum number of tokens from the beginning of a pattern to its first number."""
    _roles: TokenCache[int] = field(init=False, repr=False, compare=False)
    _first_nodes: TokenCache[list[_Node]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._roles = TokenCache(self._role)
        self._first_nodes = TokenCache(self._root.step)

    def add(self, language: str, content: Mapping[str, Any]) -> None:
        """Add a language's `[ages]` table. Raises `Misconfigured` for an unknown kind or a pattern without a number."""
        self._roles.clear()
        self._first_nodes.clear()
        self._add_numbers(language, content)
        sets = content.get("sets", {})
        for certain, key in ((True, "stated"), (False, "possible")):
            for kind, patterns in content.get(key, {}).items():
                fixed = _fixed(kind)
                if fixed is None and kind not in KINDS:
                    raise Misconfigured(f"The `[ages]` of language {language!r} have the unknown kind {kind!r}.")
                for pattern in patterns:
                    if fixed is None and "#" not in pattern and "&" not in pattern:
                        raise Misconfigured(f"The pattern {pattern!r} of an age needs a number (`#` or `&`).")
                    self._add_form(_filled(pattern, sets), _Form(kind, fixed, certain, "" if fixed else language))
        for kind, patterns in content.get("relations", {}).items():
            if kind not in RELATIONS:
                raise Misconfigured(f"The `[ages]` of language {language!r} have the unknown relation {kind!r}.")
            relation = _Form(kind, None, certain=False, language=language, relation=True)
            for pattern in patterns:
                self._add_form(_filled(pattern, sets), relation)

    def _add_numbers(self, language: str, content: Mapping[str, Any]) -> None:
        for key, ordinal in (("numbers", False), ("ordinals", True)):
            words = {phrase: value for word, value in content.get(key, {}).items() for phrase in spelled_phrases(word)}
            self.words.add("" if content.get("any_language") else language, words, ordinal=ordinal)
        self.words.joiners[language] = _first_words(content, "joiners")
        months = content.get("months", {}).items()
        self.months |= {phrase[0]: value for word, value in months for phrase in spelled_phrases(word)}
        if content.get("units_first"):
            self.words.units_first.add(language)
        self.fillers |= {phrase[0] for phrase in _phrases(content, "fillers") if len(phrase) == 1}
        self.birth_words |= _first_words(content, "birth")
        self.birth_words_possible |= _first_words(content, "birth_possible")
        for phrase in _phrases(content, "birth_after"):
            self.birth_phrases_after.setdefault(phrase[0], set()).add(phrase)

    def _add_form(self, pattern: str, form: _Form) -> None:
        for segments in spellings(pattern):
            counted = any(not any(NUMBERS.isdisjoint(option) for option in options) for options in segments)
            for opening in _openings(segments):
                self._beginnings.add(opening, counted=counted)
            self._reach = max(
                self._reach, sum(max(map(len, options)) for options in segments) + _MAX_GAP + _MAX_FILLERS
            )
            edges = (tuple(map(_with_edges, options)) for options in segments)
            self._root.add(tuple(edges), form)

    def read(self, stream: Stream, today: date) -> list[Statement]:
        """Return the statements of an age, without those inside a longer one: `20 minus 6 years old` is only 14."""
        roles = [self._roles[token] for token in stream]
        if not any(roles):
            return []
        numbers = self.words.find(stream)
        found: list[Statement] = []
        relations: list[Relation] = []
        for start in self._starts(stream, numbers, roles):
            for form, (_, end, so_far, _) in self._read_at(stream, start, numbers):
                if form.relation:
                    relations += _relation(form, so_far, start, end)
                elif years := _years(form, so_far, today, stream):
                    certain = form.certain and _in_language_of(form, so_far)
                    found.append(Statement(*years, start, end, certain, form.kind in COMPUTED))
        for age, relation in related_ages(relations, numbers):
            found.append(Statement(age, age, relation.start, relation.end, certain=False, computed=True))
        births = [at for at, role in enumerate(roles) if role & _BIRTH]
        if births:
            found += self._births(stream, births, BirthDates(stream, numbers, self.months, today))
        return _outermost(found) if found else []

    def _role(self, token: Token) -> int:
        """Return the flags of the positions that a token can have in a pattern."""
        forms, filler = self._beginnings, not self.fillers.isdisjoint(token)
        return (
            _FIRST * forms.first.matches(token)
            | _LEADS * (filler or forms.before_number.matches(token))
            | _FOLLOWS * (filler or forms.any_follows() or forms.after_number.matches(token))
            | _OPENS * (not forms.seconds.keys().isdisjoint(token))
            | _OPENS_GAP * (not forms.before_gap.keys().isdisjoint(token))
            | _ALONE * forms.alone.matches(token)
            | _BIRTH * any(not words.isdisjoint(token) for words in (self.birth_words, self.birth_words_possible))
            | _BIRTH * (not self.birth_phrases_after.keys().isdisjoint(token))
            | _NUMBER * self.words.begins(token)
        )

    def _starts(self, stream: Stream, numbers: Mapping[int, list[Number]], roles: Sequence[int]) -> list[int]:
        """Return the tokens at which a pattern can begin."""
        starts: set[int] = set()
        if numbers:
            before = before_numbers(numbers, [role & _LEADS for role in roles], self._beginnings.longest + _MAX_FILLERS)
            starts |= {at for at in before if roles[at] & _FIRST}
            followed = [*(role & _FOLLOWS for role in roles), self._beginnings.any_follows()]
            starts |= {at for at, found in numbers.items() for number in found if followed[number.end]}
        starts.update(at for at, role in enumerate(roles) if role & _ALONE)
        pairs = ((at, token) for at, token in enumerate(stream[:-1]) if roles[at] & _OPENS)
        starts.update(at for at, token in pairs if self._beginnings.can_begin_at(token, stream[at + 1], self.fillers))
        starts.update(self._starts_before_gap(stream, numbers, roles))
        return sorted(starts)

    def _starts_before_gap(
        self, stream: Stream, numbers: Mapping[int, list[Number]], roles: Sequence[int]
    ) -> Iterator[int]:
        """Yield the tokens at which a pattern with its number after a gap can begin: a number must be near."""
        before = 0
        for number in numbers:
            for at in range(max(before, number - self._reach), number):
                if roles[at] & _OPENS_GAP and self._beginnings.can_begin_at(
                    stream[at], stream[at + 1], self.fillers, before_gap=True
                ):
                    yield at
            before = number

    def _read_at(
        self, stream: Stream, start: int, numbers: Mapping[int, list[Number]]
    ) -> Iterator[tuple[_Form, _State]]:
        states = self._steps((self._root, start, (), 0), stream, numbers)
        for state in states:
            node, end, *_ = state
            for form in node.ends:
                yield form, state
            if end < len(stream) and not node.is_leaf:
                states += self._steps(state, stream, numbers)

    def _steps(self, state: _State, stream: Stream, numbers: Mapping[int, list[Number]]) -> list[_State]:
        """Return the states after the next word or number, a filler before a number, or the words of a gap."""
        node, end, so_far, skipped = state
        token = stream[end]
        nodes = self._first_nodes[token] if node is self._root else node.step(token)
        after: list[_State] = [(reached, end + 1, so_far, 0) for reached in nodes] if nodes else []
        edges = node.edges
        if not edges:
            return after
        if end in numbers:
            after += _after_numbers(node, end, so_far, numbers)
        counts = skipped < _MAX_FILLERS and node is not self._root and (_NUMBER_EDGE in edges or _ORDINAL_EDGE in edges)
        if counts and not self.fillers.isdisjoint(token):
            after.append((node, end + 1, so_far, skipped + 1))
        if opened := edges.get(_GAP_EDGE):
            for at in range(end, min(end + _MAX_GAP + 1, len(stream))):
                if nodes := opened.step(stream[at]):
                    after += [(reached, at + 1, so_far, 0) for reached in nodes]
                if at in numbers:
                    after += _after_numbers(opened, at, so_far, numbers)
        return after

    def _births(self, stream: Stream, births: Iterable[int], dates: BirthDates) -> Iterator[Statement]:
        for at in births:
            token = stream[at]
            certain = not self.birth_words.isdisjoint(token)
            if certain or not self.birth_words_possible.isdisjoint(token):
                for one in dates.within(at + 1, at + 1 + AFTER_WINDOW):
                    yield Statement(*one.years, one.start, one.end, certain, computed=True)
            after = chain.from_iterable(self.birth_phrases_after.get(word, ()) for word in token)
            if any(follows(phrase, stream, at) for phrase in after):
                for one in dates.within(max(0, at - BEFORE_WINDOW), at):
                    yield Statement(*one.years, one.start, one.end, computed=True)


def _after_numbers(
    node: _Node, at: int, so_far: tuple[Number, ...], numbers: Mapping[int, list[Number]]
) -> Iterator[_State]:
    """Yield the states after the numbers that begin at a token."""
    for number in numbers[at]:
        counted = node.edges.get(_ORDINAL_EDGE if number.ordinal else _NUMBER_EDGE)
        if counted is not None:
            yield counted, number.end, (*so_far, number), 0


def _phrases(content: Mapping[str, Any], key: str) -> set[Phrase]:
    return {phrase for pattern in content.get(key, ()) for phrase in spelled_phrases(pattern)}


def _first_words(content: Mapping[str, Any], key: str) -> set[str]:
    return {phrase[0] for phrase in _phrases(content, key)}


def _with_edges(phrase: Phrase) -> Phrase:
    return phrase if _MARKS.isdisjoint(phrase) else tuple(_EDGES.get(word, word) for word in phrase)


def _openings(segments: Segments) -> set[Phrase]:
    """Return the beginnings of a pattern for `Beginnings`: the words before its number, else its first two words.

    Only the first `_OPENING` words are distinguished, so that a pattern with many choices has few beginnings.
    """
    found: set[Phrase] = set()
    before: set[str] = set()
    opened: set[Phrase] = {()}
    for options in segments:
        if not opened:
            break
        longer: set[Phrase] = set()
        short = [begun for begun in opened if len(begun) < _OPENING]
        for option in options:
            if _MARKS.isdisjoint(option):
                before.update(option)
                longer.update((*begun, *option)[:_OPENING] for begun in short)
                continue
            mark = next(at for at, word in enumerate(option) if word in _MARKS)
            before.update(option[:mark])
            for begun in opened:
                if (not begun and mark == 0) or begun[:1] in _NUMBER_FIRST:
                    longer.add((*begun, *option)[:_OPENING])
                elif option[mark] == GAP:
                    found.add((*(*begun, *option)[: min(_OPENING, len(begun) + mark)], GAP))
                else:
                    found.add(((*begun, *option)[0], option[mark]))
        if any(map(_MARKS.isdisjoint, options)):
            longer.update(begun for begun in opened if len(begun) == _OPENING)
        opened = longer
    numbered = next((phrase for phrase in found if phrase[-1] in NUMBERS), None)
    return found | opened | ({(*numbered[:1], *sorted(before), "#")} if numbered else set())


def _fixed(kind: str) -> Range | None:
    """Return the range of a kind such as `11-14`, else None."""
    low, dash, high = kind.partition("-")
    return (int(low), int(high)) if dash and low.isdecimal() and high.isdecimal() else None


def _filled(pattern: str, sets: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: f"({sets[found[1]]})", pattern)


def _relation(form: _Form, so_far: tuple[Number, ...], start: int, end: int) -> Iterator[Relation]:
    if _in_language_of(form, so_far):
        yield Relation(form.kind, tuple(number.value for number in so_far), start, end)


def _in_language_of(form: _Form, numbers: tuple[Number, ...]) -> bool:
    return form.fixed is not None or all(number.language in {"", form.language} for number in numbers)


def _only_a_number(number: Number, stream: Stream) -> bool:
    """Whether the word of a number has no other meaning in a text that mixes languages, as `once` and `ten` have.

    An ordinal is not read: `first class` is also that of a train.
    """
    word = stream[number.start][0]
    return not number.ordinal and len(word) >= _SHORTEST_MIXED and (number.language == "en" or not is_everyday(word))


def _years(form: _Form, numbers: tuple[Number, ...], today: date, stream: Stream) -> Range | None:
    """Return the years of a form; number words of another language are read in certain forms: `ist twelve Jahre`."""
    if form.fixed is not None:
        return form.fixed
    for number in numbers:
        if number.language not in {"", form.language} and not (form.certain and _only_a_number(number, stream)):
            return None
    years = KINDS[form.kind]([number.value for number in numbers], today)
    return years if years is not None and 0 <= years[1] <= OLDEST else None


def _outermost(found: list[Statement]) -> list[Statement]:
    """Return the statements that are not inside a longer, certain one."""
    ordered = sorted(set(found), key=lambda one: (one.start, -one.end))
    kept: list[Statement] = []
    widest: Statement | None = None
    for one in ordered:
        inside = widest is not None and one.end <= widest.end and one.end - one.start < widest.end - widest.start
        if not inside:
            kept.append(one)
            if one.certain and (widest is None or one.end > widest.end):
                widest = one
    return kept
