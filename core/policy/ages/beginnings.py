"""Where in a stream a form of an age can begin, so that forms are walked from these tokens alone.

May import: core.policy.normalization.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from core.policy.normalization import Token

NUMBERS = {"#", "&"}
GAP = "~"
_SHORTEST_STEM = 2


@dataclass(slots=True)
class WordSet:
    """Words, and stems (`word*`) of which only the first two letters count: it may meet more than the forms do."""

    words: set[str] = field(default_factory=set)
    stems: set[str] = field(default_factory=set)

    def add(self, word: str) -> None:
        if word.endswith("*"):
            self.stems.add(word[:_SHORTEST_STEM])
        else:
            self.words.add(word)

    def meets(self, token: Token) -> bool:
        if not self.words.isdisjoint(token):
            return True
        return bool(self.stems) and any(reading[:_SHORTEST_STEM] in self.stems for reading in token)


@dataclass(slots=True)
class Beginnings:
    """The first words of forms: those without a number by their first two, the others up to what follows a number."""

    first: WordSet = field(default_factory=WordSet)
    """Where a form that has its number later begins."""
    before_number: WordSet = field(default_factory=WordSet)
    longest: int = 0
    """Words, at most, before a form's first number."""
    after_number: WordSet = field(default_factory=WordSet)
    """Second words of the forms that begin with a number."""
    alone: WordSet = field(default_factory=WordSet)
    seconds: dict[str, WordSet] = field(default_factory=dict)
    """First word of a form without a number → the words after it."""
    before_gap: dict[str, WordSet] = field(default_factory=dict)
    """The same of forms that have their number behind a gap."""

    def add(self, form: Sequence[str], *, counted: bool = True) -> None:
        """Take a form; `counted` says that it has a number, in front of its gap or behind it."""
        seconds = self.before_gap if counted and GAP in form else self.seconds
        if GAP in form:
            form = form[: form.index(GAP)]
        number = next((at for at, word in enumerate(form) if word in NUMBERS), None)
        if number == 0:
            self.after_number.add(form[1] if len(form) > 1 else "")
        elif number is not None:
            self.first.add(form[0])
            self.longest = max(self.longest, number)
            for word in form[:number]:
                self.before_number.add(word)
        elif len(form) == 1 or form[0].endswith("*"):
            self.alone.add(form[0])
        else:
            seconds.setdefault(form[0], WordSet()).add(form[1])

    def any_follows(self) -> bool:
        """Whether a form is a number alone, or begins with two."""
        return not self.after_number.words.isdisjoint({"", *NUMBERS})

    def worded(self, token: Token, after: Token, fillers: Collection[str], *, before_gap: bool = False) -> bool:
        """Whether a form without a number, or with one behind a gap, can begin with the two tokens.

        Fillers are skipped between them.
        """
        known = self.before_gap if before_gap else self.seconds
        for reading in token:
            seconds = known.get(reading)
            if seconds is not None and (seconds.meets(after) or any(filler in fillers for filler in after)):
                return True
        return False


def before_numbers(numbers: Iterable[int], leads: Sequence[object], most: int) -> set[int]:
    """The tokens from which one of `numbers` (ascending) is reached over at most `most` that `leads` marks as true."""
    found: set[int] = set()
    for number in numbers:
        at = number - 1
        while at >= max(0, number - most) and leads[at] and at not in found:
            found.add(at)
            at -= 1
    return found
