"""Ages computed from another age in the text: `four years younger`, `half his age`, `had her at 27`.

A relation has its own numbers and refers to another number, the *reference*: another person's age, before or after it.
Relations count only with sexual content, because the reference may be ambiguous.

May import: core.policy.ages, core.policy.normalization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.policy.ages.numbers import Number
from core.policy.normalization import ADULT_AGE

_WINDOW = 14
_NEAR = 6
"""Number of tokens between a relation and its reference, for kinds with a short window."""
_OWN_AGE = 2
"""Number of tokens in front of a relation that may be the person's own age: `34, half his age`."""
_OLDEST = 120
_YOUNGEST_REFERENCE = 4


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation at tokens `start` to `end`; `kind` is a key of `RELATIONS`."""

    kind: str
    numbers: tuple[float, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of relation. `age` computes the age from the reference and the relation's numbers."""

    age: Callable[[float, Sequence[float]], float]
    before: bool = True
    after: bool = True
    window: int = _WINDOW
    adjacent: bool = False
    """Whether the reference may be next to the relation, where other kinds expect the person's own age."""


RELATIONS: Mapping[str, _Kind] = {
    "younger": _Kind(lambda age, n: age - n[0]),
    "younger_than_next": _Kind(lambda age, n: age - n[0], before=False),
    "younger_than_last": _Kind(lambda age, n: age - n[0], after=False),
    "after_last": _Kind(lambda age, n: age - n[0], after=False, adjacent=True),
    "years_off": _Kind(lambda age, n: age - n[0], adjacent=True),
    "times_younger": _Kind(lambda age, n: age / n[0] if n[0] else 0, adjacent=True),
    "older_than": _Kind(lambda age, n: age - n[0], after=False, adjacent=True),
    "fewer_than_last": _Kind(lambda age, n: age - n[0], after=False, adjacent=True),
    "years_until": _Kind(lambda age, n: age - n[0], before=False, window=_NEAR),
    "half": _Kind(lambda age, _: age / 2),
    "third": _Kind(lambda age, _: age / 3),
    "quarter": _Kind(lambda age, _: age / 4),
    "half_of_last": _Kind(lambda age, _: age / 2, after=False, adjacent=True, window=_NEAR),
    "third_of_last": _Kind(lambda age, _: age / 3, after=False, adjacent=True, window=_NEAR),
    "quarter_of_last": _Kind(lambda age, _: age / 4, after=False, adjacent=True, window=_NEAR),
    "fifth_of_last": _Kind(lambda age, _: age / 5, after=False, adjacent=True, window=_NEAR),
    "parent_at_birth": _Kind(lambda age, n: age - n[0], adjacent=True),
}
"""Kinds of relations by their name in a language's file."""


def related_ages(
    relations: Sequence[Relation], numbers: Mapping[int, list[Number]]
) -> Iterator[tuple[float, Relation]]:
    """Yield the ages below 18 computed from the nearest references on both sides of each relation."""
    longest = {relation.start: relation for relation in sorted(relations, key=lambda one: one.end)}
    for relation in longest.values():
        kind = RELATIONS[relation.kind]
        end = relation.start - (0 if kind.adjacent else _OWN_AGE)
        references = [
            *(_nearest_before(relation.start, end, kind.window, numbers) if kind.before else ()),
            *(_nearest_after(relation.end, kind.window, numbers) if kind.after else ()),
        ]
        for reference in references:
            age = kind.age(reference, relation.numbers)
            if 0 < age < ADULT_AGE:
                yield age, relation


def _nearest_before(start: int, end: int, window: int, numbers: Mapping[int, list[Number]]) -> Iterator[float]:
    for at in range(start - 1, max(-1, start - window - 1), -1):
        for number in numbers.get(at, ()):
            if _can_be_age(number) and number.end <= end:
                yield number.value
                return


def _nearest_after(end: int, window: int, numbers: Mapping[int, list[Number]]) -> Iterator[float]:
    for at in range(end, end + window):
        for number in numbers.get(at, ()):
            if _can_be_age(number):
                yield number.value
                return


def _can_be_age(number: Number) -> bool:
    return not number.ordinal and _YOUNGEST_REFERENCE <= number.value <= _OLDEST
