"""Forms of stating an age, compiled into one trie; a walk over a stream returns every statement.

In a form, `#` is a number, `&` an ordinal and `~` up to four words of any kind (not at its ends); `(a|b|)` is a choice
and `{name}` one of the file's `sets`.

May import: core.errors, core.policy.ages, core.policy.normalization, core.policy.phrases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, TypeAlias

from core.errors import Misconfigured
from core.policy.ages.beginnings import GAP, NUMBERS, Beginnings, before_numbers
from core.policy.ages.numbers import Number, NumberWords
from core.policy.normalization import ADULT_AGE, Stream, Token, TokenCache
from core.policy.phrases import Phrase, PhraseNode, Segments, spelled_phrases, spellings

Range: TypeAlias = tuple[float, float]

OLDEST = 150
_BIRTH_WINDOW = 6
"""Tokens after a word for birth in which the year is looked for: `born on the 4th of May 2014`."""
_YEAR_FIRST_WINDOW = 3
_MAX_FILLERS = 3
_MAX_GAP = 4
_OLDEST_BIRTH_YEAR = 1900
_FIRST, _LEADS, _FOLLOWS, _OPENS, _ALONE, _BIRTH, _NUMBER = (1 << bit for bit in range(7))
_DATE = re.compile(r"\d{1,2}\.\d{1,2}\.((?:19|20)\d\d)|((?:19|20)\d\d)\.\d{1,2}\.\d{1,2}")


@dataclass(frozen=True, slots=True)
class Statement:
    """An age of `low` to `high` years at tokens `start` to `end`."""

    low: float
    high: float
    start: int
    end: int
    certain: bool = True
    computed: bool = False
    """By arithmetic: a length of time is a part of it, and no reason to doubt it."""

    @property
    def minor(self) -> bool:
        return self.low < ADULT_AGE


# ── what a form computes from its numbers ────────────────────────────────────────────────────────────────────────────


def _exactly(value: float) -> Range:
    return value, value


def _years_from(least: int) -> Callable[[list[float], date], Range | None]:
    return lambda n, _: _exactly(n[0]) if n[0] >= least else None


def _under(numbers: list[float], _: date) -> Range:
    """Below 18 a minor; a limit above it says nothing of minors."""
    limit = numbers[0]
    return (0, limit - 1) if limit <= ADULT_AGE else (ADULT_AGE, limit - 1)


def _born(numbers: list[float], today: date) -> Range | None:
    year = numbers[0]
    return (today.year - year - 1, today.year - year) if _OLDEST_BIRTH_YEAR <= year <= today.year + 1 else None


def _born_since(epoch: int) -> Callable[[list[float], date], Range | None]:
    """A birth year that is counted from `epoch`, as the years of Heisei are from 1988."""
    return lambda n, today: _born([epoch + n[0]], today)


def _born_short(numbers: list[float], today: date) -> Range | None:
    year = numbers[0]
    return _born([year + (2000 if year <= today.year % 100 else 1900)], today) if year < 100 else None


def _class_of(numbers: list[float], today: date) -> Range | None:
    """School leavers are 18 in the year of their class."""
    years = numbers[0] - today.year
    return _exactly(ADULT_AGE - years) if -80 < years <= 18 else None


def _grade(first_age: int, last: int) -> Callable[[list[float], date], Range | None]:
    return lambda n, _: (n[0] + first_age - 1, n[0] + first_age) if n[0] <= last else None


KINDS: Mapping[str, Callable[[list[float], date], Range | None]] = {
    "years": lambda n, _: _exactly(n[0]),
    "years_from_2": _years_from(2),
    "years_from_5": _years_from(5),
    "years_from_13": _years_from(13),
    "at_most": lambda n, _: _exactly(n[0]),
    "range": lambda n, _: (min(n), max(n)),
    "months": lambda n, _: _exactly(n[0] // 12),
    "weeks": lambda n, _: _exactly(n[0] // 52),
    "days": lambda n, _: _exactly(n[0] // 365),
    "decades": lambda n, _: _exactly(10 * n[0]),
    "dozens": lambda n, _: _exactly(12 * n[0]),
    "nth_year": lambda n, _: _exactly(n[0] - 1),
    "decade_of_life": lambda n, _: (n[0], n[0] + 9),
    "before_adulthood": lambda n, _: _exactly(ADULT_AGE - n[0]),
    "months_before_adulthood": lambda n, _: _exactly(ADULT_AGE - max(1, n[0] / 12)),
    "years_before_age": lambda n, _: _exactly(n[1] - n[0]),
    "age_in_years": lambda n, _: _exactly(n[0] - n[1]),
    "product": lambda n, _: _exactly(n[0] * n[1]),
    "sum": lambda n, _: _exactly(n[0] + n[1]),
    "double": lambda n, _: _exactly(2 * n[0]),
    "half": lambda n, _: _exactly(n[0] / 2),
    "third": lambda n, _: _exactly(n[0] / 3),
    "quarter": lambda n, _: _exactly(n[0] / 4),
    "fifth": lambda n, _: _exactly(n[0] / 5),
    "square": lambda n, _: _exactly(n[0] ** 2),
    "square_root": lambda n, _: _exactly(n[0] ** 0.5),
    "quotient": lambda n, _: _exactly(n[0] / n[1]) if n[1] else None,
    "under": _under,
    "birth_year": _born,
    "birth_year_short": _born_short,
    "birth_year_heisei": _born_since(1988),
    "birth_year_reiwa": _born_since(2018),
    "birth_year_minguo": _born_since(1911),
    "class_of": _class_of,
    "grade": _grade(6, 12),
    "grade_uk": _grade(5, 13),
    "grade_from_11": _grade(11, 6),
    "grade_from_12": _grade(12, 6),
    "grade_from_15": _grade(15, 3),
}
"""Name in a language's file → the range of years, or None where the numbers are no age."""
_COMPUTED = {
    "before_adulthood",
    "months_before_adulthood",
    "years_before_age",
    "age_in_years",
    "product",
    "quotient",
    "sum",
    "at_most",
    "square",
    "square_root",
    "fifth",
}


# ── the trie ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Form:
    kind: str
    fixed: Range | None
    certain: bool
    language: str


_Node: TypeAlias = PhraseNode[_Form]
_NUMBER_EDGE, _ORDINAL_EDGE, _GAP_EDGE = "# number", "# ordinal", "# gap"
"""Words of the trie for what is no word of a text. No token holds a space, so that none is taken for them."""
_EDGES = {"#": _NUMBER_EDGE, "&": _ORDINAL_EDGE, GAP: _GAP_EDGE}


@dataclass(slots=True)
class _State:
    node: _Node
    end: int
    numbers: tuple[Number, ...] = ()
    skipped: int = 0
    gap: int = 0


@dataclass
class AgeReader:
    """All languages' forms. `read` is linear: the trie's depth and the numbers at a token are bounded."""

    words: NumberWords = field(default_factory=NumberWords)
    fillers: set[str] = field(default_factory=set)
    """Words that may stand before a number of a form: `only`, `almost`."""
    birth_words: set[str] = field(default_factory=set)
    birth_words_possible: set[str] = field(default_factory=set)
    birth_words_after: set[str] = field(default_factory=set)
    _root: _Node = field(default_factory=PhraseNode)
    _beginnings: Beginnings = field(default_factory=Beginnings)
    _roles: TokenCache[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._roles = TokenCache(self._role)

    def add(self, language: str, content: Mapping[str, Any]) -> None:
        """Take one language's `[ages]` table. Raises `Misconfigured` for a kind that does not exist."""
        self._roles.clear()
        self._add_numbers(language, content)
        sets = content.get("sets", {})
        for certain, key in ((True, "stated"), (False, "possible")):
            for kind, patterns in content.get(key, {}).items():
                fixed = _fixed(kind)
                if fixed is None and kind not in KINDS:
                    raise Misconfigured(f"The ages of language {language!r} name the unknown kind {kind!r}.")
                for pattern in patterns:
                    if fixed is None and "#" not in pattern and "&" not in pattern:
                        raise Misconfigured(f"The form {pattern!r} of an age needs a number (`#` or `&`).")
                    self._add_form(_filled(pattern, sets), _Form(kind, fixed, certain, language))

    def _add_numbers(self, language: str, content: Mapping[str, Any]) -> None:
        for key, ordinal in (("numbers", False), ("ordinals", True)):
            words = {phrase: value for word, value in content.get(key, {}).items() for phrase in spelled_phrases(word)}
            self.words.add("" if content.get("any_language") else language, words, ordinal=ordinal)
        self.words.joiners[language] = _first_words(content, "joiners")
        if content.get("units_first"):
            self.words.units_first.add(language)
        self.fillers |= {phrase[0] for phrase in _phrases(content, "fillers") if len(phrase) == 1}
        self.birth_words |= _first_words(content, "birth")
        self.birth_words_possible |= _first_words(content, "birth_possible")
        self.birth_words_after |= _first_words(content, "birth_after")

    def _add_form(self, pattern: str, form: _Form) -> None:
        for segments in spellings(pattern):
            for opening in _openings(segments):
                self._beginnings.add(opening)
            edges = (tuple(tuple(_EDGES.get(word, word) for word in option) for option in parts) for parts in segments)
            self._root.add(tuple(edges), form)

    def read(self, stream: Stream, today: date) -> list[Statement]:
        """Every statement of an age; one inside of a longer one is left out: `20 minus 6 years old` is 14."""
        roles = [self._roles[token] for token in stream]
        if not any(roles):
            return []
        numbers = self.words.find(stream)
        found: list[Statement] = []
        for start in self._starts(stream, numbers, roles):
            found += self._read_at(stream, start, numbers, today)
        found += self._birth_years(stream, numbers, (at for at, role in enumerate(roles) if role & _BIRTH), today)
        return _outermost(found) if found else []

    def _role(self, token: Token) -> int:
        """Flags of where a token can stand in a form."""
        forms, filler = self._beginnings, not self.fillers.isdisjoint(token)
        return (
            _FIRST * forms.first.meets(token)
            | _LEADS * (filler or forms.before_number.meets(token))
            | _FOLLOWS * (filler or forms.any_follows() or forms.after_number.meets(token))
            | _OPENS * (not forms.seconds.keys().isdisjoint(token))
            | _ALONE * forms.alone.meets(token)
            | _BIRTH * any(not words.isdisjoint(token) for words in self._birth_words)
            | _NUMBER * self.words.begins(token)
        )

    @property
    def _birth_words(self) -> tuple[set[str], ...]:
        return self.birth_words, self.birth_words_possible, self.birth_words_after

    def _starts(self, stream: Stream, numbers: Mapping[int, list[Number]], roles: Sequence[int]) -> list[int]:
        """The tokens where a form can begin."""
        starts: set[int] = set()
        if numbers:
            before = before_numbers(numbers, [role & _LEADS for role in roles])
            starts |= {at for at in before if roles[at] & _FIRST}
            followed = [*(role & _FOLLOWS for role in roles), self._beginnings.any_follows()]
            starts |= {at for at, found in numbers.items() for number in found if followed[number.end]}
        starts.update(at for at, role in enumerate(roles) if role & _ALONE)
        pairs = ((at, token) for at, token in enumerate(stream[:-1]) if roles[at] & _OPENS)
        starts.update(at for at, token in pairs if self._beginnings.worded(token, stream[at + 1], self.fillers))
        return sorted(starts)

    def _read_at(
        self, stream: Stream, start: int, numbers: Mapping[int, list[Number]], today: date
    ) -> Iterator[Statement]:
        states = self._steps(_State(self._root, start), stream, numbers)
        while states:
            for state in states:
                for form in state.node.ends:
                    if years := _years(form, state.numbers, today):
                        computed = form.kind in _COMPUTED
                        yield Statement(*years, start, state.end, form.certain, computed)
            states = [after for state in states for after in self._steps(state, stream, numbers)]

    def _steps(self, state: _State, stream: Stream, numbers: Mapping[int, list[Number]]) -> list[_State]:
        if state.end >= len(stream):
            return []
        after = self._steps_of(state, stream, numbers)
        if gap := state.node.after(_GAP_EDGE):
            opened = _State(gap, state.end, state.numbers, _MAX_FILLERS, _MAX_GAP)
            after += self._steps(opened, stream, numbers)
        elif state.gap:
            after.append(_State(state.node, state.end + 1, state.numbers, _MAX_FILLERS, state.gap - 1))
        return after

    def _steps_of(self, state: _State, stream: Stream, numbers: Mapping[int, list[Number]]) -> list[_State]:
        """The states behind the next word or number, or filler before a number."""
        node, token = state.node, stream[state.end]
        after = [_State(next_node, state.end + 1, state.numbers) for next_node in node.step(token)]
        for number in numbers.get(state.end, ()):
            counted = node.after(_ORDINAL_EDGE if number.ordinal else _NUMBER_EDGE)
            if counted is not None:
                after.append(_State(counted, number.end, (*state.numbers, number)))
        counts = node.after(_NUMBER_EDGE) or node.after(_ORDINAL_EDGE)
        if counts and node is not self._root and state.skipped < _MAX_FILLERS and not self.fillers.isdisjoint(token):
            after.append(_State(node, state.end + 1, state.numbers, state.skipped + 1))
        return after

    def _birth_years(
        self, stream: Stream, numbers: Mapping[int, list[Number]], births: Iterable[int], today: date
    ) -> Iterator[Statement]:
        for at in births:
            token = stream[at]
            if not self.birth_words.isdisjoint(token):
                yield from _years_within(stream, numbers, at + 1, at + 1 + _BIRTH_WINDOW, today)
            if not self.birth_words_possible.isdisjoint(token):
                within = _years_within(stream, numbers, at + 1, at + 1 + _BIRTH_WINDOW, today)
                yield from (replace(stated, certain=False) for stated in within)
            if not self.birth_words_after.isdisjoint(token):
                yield from _years_within(stream, numbers, max(0, at - _YEAR_FIRST_WINDOW), at, today)


def _phrases(content: Mapping[str, Any], key: str) -> set[Phrase]:
    return {phrase for pattern in content.get(key, ()) for phrase in spelled_phrases(pattern)}


def _first_words(content: Mapping[str, Any], key: str) -> set[str]:
    return {phrase[0] for phrase in _phrases(content, key)}


def _openings(segments: Segments) -> set[Phrase]:
    """Each phrase up to its first number or gap, and at least its first two words: what `Beginnings` asks for."""
    marks = {*NUMBERS, GAP}
    found: set[Phrase] = set()
    opened: set[Phrase] = {()}
    for at, options in enumerate(segments):
        marked = any(not marks.isdisjoint(option) for later in segments[at + 1 :] for option in later)
        longer = {(*begun, *option) for begun in opened for option in options}
        complete = {phrase for phrase in longer if len(phrase) > 1 and not (marked and marks.isdisjoint(phrase))}
        found |= complete
        opened = longer - complete
    return found | opened


def _fixed(kind: str) -> Range | None:
    """The range in a kind such as `11-14`."""
    low, dash, high = kind.partition("-")
    return (int(low), int(high)) if dash and low.isdecimal() and high.isdecimal() else None


def _filled(pattern: str, sets: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: f"({sets[found[1]]})", pattern)


def _years(form: _Form, numbers: tuple[Number, ...], today: date) -> Range | None:
    if form.fixed is not None:
        return form.fixed
    if any(number.language not in {"", form.language} for number in numbers):
        return None
    years = KINDS[form.kind]([number.value for number in numbers], today)
    return years if years is not None and 0 <= years[1] <= OLDEST else None


def _years_within(
    stream: Stream, numbers: Mapping[int, list[Number]], start: int, end: int, today: date
) -> Iterator[Statement]:
    for at in range(start, min(end, len(stream))):
        said = [(number.value, number.end) for number in numbers.get(at, ())]
        for year, year_end in [(_calendar_year(stream[at][0]) or 0, at + 1), *said]:
            years = _born([year], today)
            if years is not None:
                yield Statement(*years, min(start, at), year_end)
                return


def _calendar_year(token: str) -> int | None:
    if token.isdecimal() and len(token) == 4:
        return int(token)
    dated = _DATE.fullmatch(token)
    return int(dated[1] or dated[2]) if dated else None


def _outermost(found: list[Statement]) -> list[Statement]:
    """Statements that lie in no longer one. A statement that may mean a minor is only hidden by a certain one."""
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
