"""Find the tokens of a stream at which a pattern of an age can begin, so that others are not searched.

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
    """Words, and stems (`word*`), which are compared by two letters and so match more tokens than the patterns do."""

    words: set[str] = field(default_factory=set)
    stems: set[str] = field(default_factory=set)

    def add(self, word: str) -> None:
        if word.endswith("*"):
            self.stems.add(word[:_SHORTEST_STEM])
        else:
            self.words.add(word)

    def matches(self, token: Token) -> bool:
        if not self.words.isdisjoint(token):
            return True
        return bool(self.stems) and any(reading[:_SHORTEST_STEM] in self.stems for reading in token)


@dataclass(slots=True)
class Beginnings:
    """First words of patterns: two words of a pattern without a number, else the words before and after the number."""

    first: WordSet = field(default_factory=WordSet)
    """First words of patterns whose number comes later."""
    before_number: WordSet = field(default_factory=WordSet)
    longest: int = 0
    """Maximum number of words before a pattern's first number."""
    after_number: WordSet = field(default_factory=WordSet)
    """Second words of patterns that begin with a number."""
    alone: WordSet = field(default_factory=WordSet)
    seconds: dict[str, WordSet] = field(default_factory=dict)
    """Second words of patterns without a number, by the first word."""
    before_gap: dict[str, WordSet] = field(default_factory=dict)
    """The same for patterns whose number follows a gap."""

    def add(self, form: Sequence[str], *, counted: bool = True) -> None:
        """Add a pattern; `counted`: it has a number, before its gap or after it."""
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
        """Whether a pattern is only a number, or begins with two numbers."""
        return not self.after_number.words.isdisjoint({"", *NUMBERS})

    def can_begin_at(self, token: Token, after: Token, fillers: Collection[str], *, before_gap: bool = False) -> bool:
        """Whether a pattern without a number, or with one after a gap, can begin with the two tokens.

        Fillers between them are skipped.
        """
        known = self.before_gap if before_gap else self.seconds
        for reading in token:
            seconds = known.get(reading)
            if seconds is not None and (seconds.matches(after) or any(filler in fillers for filler in after)):
                return True
        return False


def before_numbers(numbers: Iterable[int], leads: Sequence[object], most: int) -> set[int]:
    """Return the tokens directly before each of `numbers` (ascending) while `leads` is true, at most `most`."""
    found: set[int] = set()
    for number in numbers:
        at = number - 1
        while at >= max(0, number - most) and leads[at] and at not in found:
            found.add(at)
            at -= 1
    return found
