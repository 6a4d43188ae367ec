"""Adult ages stated for a person whom a noun calls young: `her daughter of 32`, `my little sister just turned 28`.

The age must follow the noun with only linking words between, and the words after it must not make it a count
(`schoolgirl, 30 photos`), a measure (`18 cm`), or the age of somebody else (`the daughter of 32-year-old Anna`).
Streams have no punctuation, so an unknown word after the number is read as a noun that it counts.

May import: core.policy.ages, core.policy.normalization, core.policy.sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from core.policy.ages import Number
from core.policy.normalization import ADULT_AGE, Stream, Token, word_set
from core.policy.sequences import Span

OLDEST_PERSON = 110
_MOST_LINKS = 7
_MOST_GAP = 3
_LOOKAHEAD = 3
_SHORTEST_PARTICIPLE = 5
_MEMORY_WINDOW = 4
"""Number of words after a memory from which the age of its person may be stated; more words could tell more of it."""


class Grown(NamedTuple):
    """How a stated age shows an adult: from which age on, and the concepts that its person then does not match."""

    least: int
    cancels: tuple[str, ...]
    memory: bool = False
    """Whether the phrases are memories, after which the age is stated of the same pronoun."""


_LINKS = word_set("""
    of aged age is s was are re now just turned turns who both already only today as a an adult grown up also recently m
    am nearly almost about
""")
"""Words between a person and an age."""
_HEDGES = word_set("nearly almost about")
_LEAST_HEDGED = 20
"""From which number on a hedged age is an adult's."""
_ARTICLES = word_set("a an the")
_SEVERAL = word_set("children together inseparable")
_SINGULAR = ("is", "ss")
_SPOUSES = word_set("husband wife fiance fiancee widow widower ex")
_PLACED = word_set("of at from in on")
"""Prepositions of a phrase between a person and the verb: `the new kid at the office is 25`."""
_VERBS = word_set("is are was now aged turned today both")
_DETERMINERS = word_set("the a an my our his her their")
_SHARED = word_set("both aged age")
"""Words before the age of several persons, for whom a number alone may be their count."""
_PROFESSIONS = ("er", "or", "ist", "ian", "eer", "eon", "ess", "man")
_MORE_PROFESSIONS = word_set(
    "nurse judge cook chef clerk vet monk nun priest coach lawyer pilot architect bass alto mechanic"
)
_NO_PROFESSION = word_set("""
    member number daughter sister brother mother father teenager toddler youngster carer player schooler
    preschooler highschooler teenybopper corner letter character order never other another either
""")

_ENGLISH = {"", "en"}
"""Languages of the numbers that are read; `on` is also the Turkish ten."""
_PRONOUNS = word_set("i he she we they")
_AM = word_set("m am s is re are")
_NOW = word_set("now today")
_AT = word_set("at aged")

_FOLLOWS = word_set("""
    and or but who whom whose which with in on at from by for as is was are were has have had now then she he they i
    we her his their my our the to into while when where after before during because so if that this today yesterday
    tonight already also not both each together lives works runs owns plays teaches studies wears says looks stands
    sits smiles laughs visits helps holds cooks paints drives flies came comes went goes got lived worked met left ran
    wore built bought sold won lost just still again too
    retires retired gives speaks talks reads writes sings waits rests leads takes makes can will would could likes loves
    wants owned
""")
"""Words that may follow an age, and that no number counts."""
_CONTENT = word_set("to into in on at from with by for her his their my our the a an and off out up back over as")
"""Words after a participle of a verb: `moved to Canada`, unlike `detailed photos`."""
_COUNTED = word_set("""
    photo photos photograph photographs pic pics picture pictures image images shot shots video videos clip clips pose
    poses scenes minute minutes hour hours day days week weeks month months seconds nude nudes times frame frames
    drawing drawings sketch sketches selfie selfies cm kg pages
""")
_JOINING = word_set("and or")
_FIGURATIVE = word_set("heart paper spirit soul mind dog cat dreams fantasy theory number all total inside")
_SHIRTS = word_set("shirt jersey vest bib back chest list board scoreboard ranking queue scale")
_LENGTHS = word_set("few several another some couple")
_TIMES = word_set("year decade month week day moment minute few couple while")
_OF_ONE = word_set("is s was has works lives of and")
"""Words after `one` as a pronoun: `our sons are 29 and 33, one is a chef`."""
_LATER = word_set("in on at by next this when as before after so if soon tomorrow come")
"""Words that may begin a later time: `18 in March`."""


def stated_adults(
    persons: Iterable[Span], least: int, stream: Stream, numbers: Mapping[int, list[Number]]
) -> list[Span]:
    """Return the persons for whom an age of `least` years or more is stated directly after them."""
    return [span for span in persons if any(_states_age(place, least) for place in _places(span, stream, numbers))]


def remembered_childhoods(
    memories: Iterable[Span], least: int, stream: Stream, numbers: Mapping[int, list[Number]]
) -> list[Span]:
    """Return the memories of persons whose adult age is stated later: `as a kid I hated olives, now, at 40, I …`."""
    return [span for span in memories if any(_states_age(place, least) for place in _later_ages(span, stream, numbers))]


def _later_ages(memory: Span, stream: Stream, numbers: Mapping[int, list[Number]]) -> Iterator[_Place]:
    """Yield the numbers that are stated of the same pronoun after a memory."""
    start, end = memory
    who = next((token[0] for token in reversed(stream[start:end]) if token[0] in _PRONOUNS), "")
    for at in range(end, min(end + _MEMORY_WINDOW, len(stream) - 1)):
        word, after = stream[at][0], stream[at + 1][0]
        if word == who and after in _AM:
            yield from _places((at, at + 1), stream, numbers)
        elif word in _NOW and after in _AT:
            for number in numbers.get(at + 2, ()):
                place = _Place((stream[at],), stream, stream[at : at + 2], number, numbers)
                if place.word(number.end) == who:
                    yield place


class _Place(NamedTuple):
    """A number after a person, and the words between them."""

    person: Stream
    stream: Stream
    links: tuple[Token, ...]
    number: Number
    numbers: Mapping[int, list[Number]]

    def word(self, at: int) -> str:
        return self.stream[at][0] if at < len(self.stream) else ""

    @property
    def of_several(self) -> bool:
        """Whether the person is a plural, for which the number may be a count: `his boys, 30 in the pool`."""
        words = [token[0] for token in self.person]
        return any(
            word in _SEVERAL or (word.endswith("s") and len(word) > 1 and not word.endswith(_SINGULAR))
            for word in words
        )

    def linked_by(self, words: frozenset[str]) -> bool:
        return any(not words.isdisjoint(token) for token in self.links)


def _places(span: Span, stream: Stream, numbers: Mapping[int, list[Number]]) -> Iterator[_Place]:
    """Yield the numbers that only linking words separate from a person."""
    person = stream[slice(*span)]
    for start in _link_starts(span[1], stream):
        for at in range(start, min(start + _MOST_LINKS + 1, len(stream))):
            if at in numbers:
                yield from (_Place(person, stream, stream[start:at], number, numbers) for number in numbers[at])
                break
            if _LINKS.isdisjoint(stream[at]) and not _is_profession(stream, at):
                break


def _link_starts(end: int, stream: Stream) -> Iterator[int]:
    """Yield the ends of a person, of the person's spouse, and of a phrase of place before a verb."""
    yield end
    words = [token[0] for token in stream[end : end + _MOST_GAP + 1]]
    if len(words) > 1 and words[0] == "s" and words[1] in _SPOUSES:
        yield end + 2
    noun = 2 if len(words) > 1 and words[1] in _DETERMINERS else 1
    placed = bool(words) and words[0] in _PLACED
    for at, word in enumerate(words):
        if at > 1 and word in _VERBS and (at == noun + 1 if placed else words[0] == "turned"):
            yield end + at


def _is_profession(stream: Stream, at: int) -> bool:
    """Whether `surgeon` in `now a surgeon of 50` is at the token."""
    word = stream[at][0]
    framed = 0 < at < len(stream) - 1 and stream[at - 1][0] in _ARTICLES and stream[at + 1][0] == "of"
    known = word in _MORE_PROFESSIONS or word.endswith(_PROFESSIONS)
    return framed and known and word not in _NO_PROFESSION


def _states_age(place: _Place, least: int) -> bool:
    if place.linked_by(_HEDGES):
        least = max(least, _LEAST_HEDGED)
    end = _after_unit(place)
    if end is None or not _is_adult_age(place.number, least):
        return False
    unit, joined = end > place.number.end, place.word(end) in _JOINING and end + 1 in place.numbers
    if place.of_several and not (unit or joined or place.linked_by(_SHARED)):
        return False
    return _ends(place, end, least)


def _is_adult_age(number: Number, least: int) -> bool:
    return not number.ordinal and number.language in _ENGLISH and least <= number.value <= OLDEST_PERSON


def _after_unit(place: _Place) -> int | None:
    """Return the token after the number and its unit, or None if the unit shows another person's age or a time."""
    end = place.number.end
    unit, old = place.word(end), place.word(end + 1) == "old"
    before = place.links[-1][0] if place.links else ""
    if unit in {"years", "yrs"}:
        return end + 1 + old if old or before in {"of", "aged"} else None
    if unit in {"year", "yr"}:
        child_of = any(token[0] == "of" for token in place.links)
        return end + 1 + old if old and place.links and not child_of else None
    return None if before in _ARTICLES else end


def _ends(place: _Place, end: int, least: int) -> bool:
    """Whether the words from `end` on leave the number an age, and not a count, a measure or a later time."""
    word, after = place.word(end), place.word(end + 1)
    if not word or (word == "last" and after in _TIMES):
        return True
    if second := [n for n in place.numbers.get(end + 1, ()) if n.language in _ENGLISH and not n.ordinal]:
        return word in _JOINING and all(_is_adult_age(n, least) and _ends(place, n.end, least) for n in second)
    if _counts(place, end) or (place.number.value <= ADULT_AGE and word in _LATER):
        return False
    follows = (
        word in _FOLLOWS or (word == "one" and after in _OF_ONE) or (place.word(end - 1) == "old" and word.isalpha())
    )
    participle = word.endswith("ing") and len(word) >= _SHORTEST_PARTICIPLE
    return follows or participle or (word.endswith("ed") and after in _CONTENT)


def _counts(place: _Place, end: int) -> bool:
    """Whether the words from `end` on show that the number is a count, a later time, or not meant of the body."""
    word, after, *_ = following = [place.word(at) for at in range(end, end + _LOOKAHEAD)]
    later = word == "in" and (after in _LENGTHS or (after in _ARTICLES and following[2] in _TIMES))
    figurative = word in _PLACED and not _FIGURATIVE.isdisjoint(following)
    shirt = word == "on" and not _SHIRTS.isdisjoint([*following, place.word(end + _LOOKAHEAD)])
    return later or figurative or shirt or not _COUNTED.isdisjoint(following)
