"""Misspelt and disguised hard words are recognized, and everyday words are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import Route
from core.policy import Action, judge
from core.policy.loading import lexicon
from core.policy.spelling import enciphered, errors_between, is_everyday, sound

KNOWN = lexicon().spelling.hard_words


def reference_distance(one: str, other: str) -> int:
    """Return the optimal string alignment distance by the full table of dynamic programming."""
    table = [[i + j if 0 in {i, j} else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            same = one[i - 1] == other[j - 1]
            best = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (not same))
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                best = min(best, table[i - 2][j - 2] + 1)
            table[i][j] = best
    return table[-1][-1]


@given(st.text("abc", max_size=7), st.text("abc", max_size=7), st.sampled_from([1, 2]))
def test_bounded_distance_agrees_with_the_full_table(one: str, other: str, most: int) -> None:
    assert errors_between(one, other, most) == min(reference_distance(one, other), most + 1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("chidl", "child"),
        ("chiild", "child"),
        ("chyld", "child"),
        ("cihld", "child"),
        ("chlid", "child"),
        ("toddlr", "toddler"),
        ("todler", "toddler"),
        ("schoolgril", "schoolgirl"),
        ("shcoolgril", "schoolgirl"),
        ("nakid", "naked"),
        ("nood", "nude"),
        ("kidz", "kids"),
        ("chld", "child"),
        ("nkd", "naked"),
        ("puvyq", "child"),
        ("dlihc", "child"),
        ("xsrow", "child"),
        ("ildchay", "child"),
        ("gurl", "girl"),
    ],
)
def test_misspelt_hard_word_is_guessed(written: str, meant: str) -> None:
    assert meant in KNOWN.guesses(written)


@pytest.mark.parametrize(
    "word",
    [
        "mirror",
        "seen",
        "been",
        "chilled",
        "kit",
        "kite",
        "nudge",
        "node",
        "none",
        "mine",
        "miner",
        "teem",
        "kind",
        "toy",
        "kitchen",
        "chill",
        "chili",
        "dude",
        "rude",
        "boyd",
        "sussex",
        "hornby",
        "cook",
        "duck",
        "class",
        "baked",
        "pants",
        "pantry",
        "button",
        "bodega",
        "sixty",
        "sexton",
        "nudel",
        "tienen",
        "girder",
        "grill",
        "gild",
        "mild",
        "porch",
    ],
)
def test_everyday_word_or_name_is_not_guessed(word: str) -> None:
    assert not set(KNOWN.guesses(word)) & {
        "child",
        "kid",
        "kids",
        "teen",
        "nude",
        "naked",
        "sex",
        "sexy",
        "girl",
        "boy",
    }


@pytest.mark.parametrize(
    "text",
    [
        "a mirror in a minor hotel",
        "a teen has seen it before and been there",
        "a chilled drink beside a child",
        "a kid with a kit and a kite",
        "a child gets a nudge at the node",
        "kids in Sussex by the sea",
        "boys and Hornby trains",
        "Childe Harold and the young boy",
        "a girl grills chili",
        "a little boy in Essex",
        "a kid and a duck at the dock",
    ],
)
def test_everyday_words_about_a_young_person_are_not_refused(text: str) -> None:
    assert judge([text], Route.GENERAL).action is Action.ALLOW


@pytest.mark.parametrize("text", ["Sussex by the sea", "Hornby trains", "Childe Harold", "Lolli's diner", "mr Kidman"])
def test_single_guess_among_known_words_is_ignored(text: str) -> None:
    assert {judge([text], route).action for route in Route} == {Action.ALLOW}


@pytest.mark.parametrize("word", ["child", "teen", "naked"])
def test_each_cipher_is_decoded_to_the_word(word: str) -> None:
    guessed = [word in KNOWN.guesses(written) for written in enciphered(word) if not is_everyday(written)]
    assert len(guessed) >= 25
    assert all(guessed)


def test_words_that_sound_alike_have_the_same_key() -> None:
    assert sound("nood") == sound("nude")
    assert sound("yung") == sound("young")
    assert sound("child") != sound("chilled")


@given(st.text("abcdefghijklmnopqrstuvwxyz", max_size=24))
def test_guesses_are_always_indexed_words(word: str) -> None:
    assert KNOWN.words.issuperset(KNOWN.guesses(word))
