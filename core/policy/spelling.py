"""Recognize hard words that are misspelt, masked, reversed or enciphered.

The hard words are a few hundred words for minors, nudity and sex, of the concepts that the lexicon marks with
`compounds` or `hard_in_pieces`. They are indexed by first letter and length, by consonants, by sound and with masked
letters. An everyday English word, or one of `near-words.txt`, is never a misspelling. A look-up takes a few
comparisons.

May import: nothing of core.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from string import ascii_lowercase

DATA = Path(__file__).resolve().parent / "data"
CONFUSABLES = DATA / "confusables.tsv"
NEAR_WORDS = DATA / "near-words.txt"

EVERYDAY = 80
"""Minimum count of an everyday word in the library's corpus of subtitles."""
_SHORTEST = 3
_BEGINNING_MATTERS = 5
"""Longest word that is not recognized without its first letter."""
MIN_LETTERS = 4
MAX_LETTERS = 20
TWO_ERRORS_FROM = 8
"""Length from which a word may have two errors."""
_ERRORS_OF_NUMBERS = 2
"""Maximum number of errors in a number word whose consonants sound right."""
MAX_MASKED = 2
_REMEMBERED = 16_384
"""Words whose guesses are cached, because prompts repeat words."""
CONTEXT = ("young", "little", "tiny", "school", "years", "daughter", "student")
"""Words that are relevant beside hard words, and indexed with them."""
NUMBERS = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen")
"""Number words below 18 that are recognized when misspelt; at least two errors separate them from adult ages."""
DOUBTFUL = (
    *("three", "four", "five", "seven", "eight", "nine", "third", "fourth", "fifth", "sixth", "seventh", "eighth"),
    *("ninth", "tenth", "eleventh", "twelfth", "grade", "grader", "graders", "freshman", "sophomore", "birthday"),
    *("kindergarten", "newborn", "baby", "infant", "minor", "year", "high", "highschool", "sister", "brother"),
    *("only", "turned", "aged", "younger", "middle", "primary", "elementary", "secondary", "junior", "nursery"),
    *("cheerleader", "teacher", "uniform", "toddler", "preschool"),
)
"""Words that are guessed only with sexual content, where a disguise is more likely than a name."""
_VOWELS = re.compile("[aeiou]")


@cache
def english() -> dict[str, int]:
    """Return English words with their counts in a corpus of subtitles, from `pyspellchecker`."""
    content = files("spellchecker").joinpath("resources", "en.json.gz").read_bytes()
    counts: dict[str, int] = json.loads(gzip.decompress(content))
    return counts


@cache
def _near_words() -> frozenset[str]:
    return frozenset(NEAR_WORDS.read_text(encoding="utf-8").split())


def is_everyday(word: str) -> bool:
    return english().get(word, 0) >= EVERYDAY or word in _near_words()


def errors_between(one: str, other: str, most: int) -> int:
    """Return the Damerau-Levenshtein distance (optimal string alignment), or `most + 1` if it is larger."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    one, other = _differing(one, other)
    if not one or not other:
        return min(len(one) + len(other), most + 1)
    if most <= 1:
        swapped = len(one) == 2 and one == other[::-1]
        return 1 if most and (swapped or len(one) == len(other) == 1) else most + 1
    return 1 + min(errors_between(*rest, most - 1) for rest in _after_an_error(one, other))


def _after_an_error(one: str, other: str) -> Iterator[tuple[str, str]]:
    """Yield what remains of two words after each kind of error at their beginning."""
    yield one[1:], other[1:]
    yield one[1:], other
    yield one, other[1:]
    if one[:2] == other[1::-1]:
        yield one[2:], other[2:]


def _differing(one: str, other: str) -> tuple[str, str]:
    """Return both words without their common prefix and suffix."""
    start, shortest = 0, min(len(one), len(other))
    while start < shortest and one[start] == other[start]:
        start += 1
    end = 0
    while end < shortest - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[start : len(one) - end], other[start : len(other) - end]


_SOUNDS = (
    ("sch", "sk"), ("ph", "f"), ("ck", "k"), ("qu", "k"), ("oo", "u"), ("ou", "u"), ("ew", "u"), ("ee", "i"),
    ("ea", "i"), ("ie", "i"), ("ai", "a"), ("ay", "a"), ("y", "i"), ("c", "k"), ("q", "k"), ("z", "s"), ("x", "ks"),
    ("w", "u"),
)  # fmt: skip
_DOUBLE = re.compile(r"(.)\1+")
_UNSTRESSED = re.compile(r"(?<=[a-z]{3})[aeo]r$")


def sound(word: str) -> str:
    """Return an approximate phonetic key: equal for `nood` and `nude`, `kidz` and `kids`, `yung` and `young`."""
    for written, heard in _SOUNDS:
        word = word.replace(written, heard)
    word = _UNSTRESSED.sub("r", _DOUBLE.sub(r"\1", word))
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def _consonants_heard(word: str) -> str:
    """Return the consonants of a word by sound, in which `v` is `f`: equal for `fiveteen` and `fifteen`."""
    return _VOWELS.sub("", _DOUBLE.sub(r"\1", sound(word).replace("v", "f")))


def _letters_of(word: str) -> int:
    """Return the set of a word's letters as bits; one error changes at most two of them."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) & 31)
    return bits


_ATBASH = str.maketrans(ascii_lowercase, ascii_lowercase[::-1])
SHIFTS = tuple(str.maketrans(ascii_lowercase, ascii_lowercase[by:] + ascii_lowercase[:by]) for by in range(1, 26))
_FIRST_CONSONANTS = re.compile(r"([^aeiou]*)(.*)")


def enciphered(word: str) -> Iterator[str]:
    """Yield a word of ASCII letters reversed, in all Caesar shifts, in Atbash and in pig Latin."""
    yield word[::-1]
    yield from (word.translate(shift) for shift in SHIFTS)
    yield word.translate(_ATBASH)
    start, rest = _FIRST_CONSONANTS.fullmatch(word).groups()  # type: ignore[union-attr]
    yield f"{rest}{start}ay" if start else f"{rest}way"


class HardWords:
    """An index of hard words. Look-ups take lower-case ASCII letters, in a time that does not depend on the word."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(word for word in words if word.isascii() and word.isalpha())
        self._written: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
        self._sounds: dict[str, list[str]] = defaultdict(list)
        self._consonants: dict[str, str] = {}
        self._number_sounds: dict[str, str] = {}
        self.masked: dict[str, str] = {}
        """Words by their form with one or two letters replaced by `?`."""
        self._ciphers: dict[str, str] = {}
        for word in sorted(self.words):
            self._add(word)

    def _add(self, word: str) -> None:
        if len(word) < _SHORTEST:
            return
        self._sounds[sound(word)].append(word)
        if word in NUMBERS:
            self._number_sounds[_consonants_heard(word)] = word
        for masked in _masked(word):
            self.masked.setdefault(masked, word)
        consonants = _VOWELS.sub("", word)
        if consonants != word and len(consonants) >= 2:
            self._consonants.setdefault(consonants, word)
        if len(word) >= MIN_LETTERS:
            self._written[word[0], len(word)].append((word, _letters_of(word)))
            beginning_lost = [word[1:]] if len(word) > _BEGINNING_MATTERS else []
            for written in (*enciphered(word), *beginning_lost):
                self._ciphers.setdefault(written, word)

    @lru_cache(maxsize=_REMEMBERED)  # noqa: B019  # indexes live as long as the process
    def guesses(self, word: str) -> tuple[str, ...]:
        """Return the indexed words that `word` may be a misspelling or a disguise of; none for an everyday word."""
        if not 3 <= len(word) <= MAX_LETTERS or is_everyday(word):
            return ()
        found = set(self._misspelt(word)) if len(word) >= MIN_LETTERS else set()
        found.update(self._sounds.get(sound(word), ()))
        number = self._number_sounds.get(_consonants_heard(word), "")
        if number[:1] == word[0] and errors_between(word, number, _ERRORS_OF_NUMBERS) <= _ERRORS_OF_NUMBERS:
            found.add(number)
        found.update(index[word] for index in (self._ciphers, self._consonants) if word in index)
        return tuple(sorted(found))

    def two_consonants(self, word: str) -> str | None:
        """Return `nude` for `nd`. So short a form counts only beside another guess such as `chld`."""
        return self._consonants.get(word) if len(word) == 2 else None

    def _misspelt(self, word: str) -> Iterator[str]:
        """Yield similar indexed words with the first letter of `word`, or with its first two letters exchanged."""
        most = _errors_allowed(word)
        letters = _letters_of(word)
        for length in range(len(word) - most, len(word) + most + 1):
            allowed = most if length >= TWO_ERRORS_FROM else 1
            for known, known_letters in self._written.get((word[0], length), ()):
                if (letters ^ known_letters).bit_count() <= 2 * allowed and errors_between(
                    word, known, allowed
                ) <= allowed:
                    yield known
            for known, _ in self._written.get((word[1], length), ()):
                if known[1] == word[0] != word[1] and errors_between(word, known, allowed) <= allowed:
                    yield known


def _errors_allowed(word: str) -> int:
    return 2 if len(word) >= TWO_ERRORS_FROM else 1


def _masked(word: str) -> Iterator[str]:
    most = min(MAX_MASKED, len(word) * 2 // 5)
    for first in range(len(word) if most else 0):
        one = f"{word[:first]}?{word[first + 1 :]}"
        yield one
        for second in range(first + 1, len(word) if most > 1 else 0):
            yield f"{one[:second]}?{one[second + 1 :]}"
