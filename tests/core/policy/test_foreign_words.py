"""Words of other languages do not match everyday English words, as the stem `соск*` once matched `cocktail`."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime

import pytest

from core.contracts import Route
from core.policy import Action, judge
from core.policy.loading import lexicon, load_lexicon, rule_files
from core.policy.phrases import single_words, spellings
from core.policy.rules import Lexicon
from core.policy.spelling import english

EVERYDAY = 300
"""How often a word occurs in the library's corpus of subtitles."""
LOANS = frozenset(["junior", "juniors", "menage", "neonatal", "nursery", "provocative"])
"""English words that mean the same in the language they were borrowed from, or that the other language borrowed."""
AMBIGUOUS = frozenset(["ado", "bimbo", "petting"])
"""Words that mean something else in English: read as the other language's, except in the phrases of `never`."""


@pytest.fixture(scope="module")
def words() -> Lexicon:
    return lexicon()


def _meant(words: Lexicon) -> set[str]:
    """Return the concepts of the rules about sexual content with a minor."""
    rules = [rule for rule in words.rules if "youth" in rule.groups[0]]
    return {concept for rule in rules for group in rule.groups for concept in group} | {"csam"}


def _foreign_words(concepts: set[str]) -> tuple[set[str], set[str]]:
    """Return the single words and stems of other languages' files, as written and folded."""
    whole, begun = set(), set()
    for file in rule_files():
        if file.parent.name != "languages" or file.stem == "en":
            continue
        for concept, entry in tomllib.loads(file.read_text(encoding="utf-8")).get("concept", {}).items():
            for pattern in entry.get("words", ()) if concept in concepts else ():
                for segments in spellings(pattern):
                    for word in single_words(segments):
                        (begun if word.endswith("*") else whole).add(word.rstrip("*"))
    return whole, begun


def test_no_everyday_english_word_is_found_through_a_word_of_another_language(words: Lexicon) -> None:
    whole, begun = _foreign_words(_meant(words))
    own = load_lexicon([file for file in rule_files() if file.parent.name != "languages" or file.stem == "en"])
    today = datetime.now(UTC).date()
    everyday = [word for word, times in english().items() if times >= EVERYDAY and word.isascii() and word.isalpha()]
    found = {word for word in everyday if word in whole or any(word[:end] in begun for end in range(3, len(word) + 1))}
    unexplained = {
        word for word in found - LOANS - AMBIGUOUS if _meant(words).isdisjoint(own.find(((word,),), today).suspicious)
    }
    assert sorted(unexplained) == []


@pytest.mark.parametrize(
    "text",
    ["a cocktail", "the cockpit", "a cockatoo", "a nude woman by a cockroach", "surf boards", "open minded",
     "primary colours", "much ado about nothing", "a scrappy boxer", "alfalfa sprouts", "ali baba"],
)  # fmt: skip
def test_an_everyday_word_beside_nudity_is_not_refused(text: str) -> None:
    assert judge([text, "nude"], Route.GENERAL).action is not Action.REFUSE


@pytest.mark.parametrize(
    "text",
    ["a child with a string of balloons", "children playing string instruments", "kids at the petting zoo",
     "a child and her doggy", "a child with packs of cards", "a dupe handbag, mother and child",
     "a child hugging her rabbit fondly", "kids and stockings hung by the fireplace", "a boy unzipped his jacket"],
)  # fmt: skip
def test_everyday_words_beside_a_child_are_not_refused(text: str) -> None:
    assert judge([text], Route.GENERAL).action is Action.ALLOW
