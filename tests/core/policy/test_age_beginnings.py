"""The tokens at which patterns of an age can begin, and the cache of these results."""

from __future__ import annotations

from core.policy.ages.beginnings import Beginnings, WordSet, before_numbers
from core.policy.normalization import Token, TokenCache
from core.policy.normalization.tokens import _MAX_CACHED


def test_word_set_matches_words_and_stem_prefixes() -> None:
    words = WordSet()
    words.add("aged")
    words.add("turn*")
    assert words.matches(("aged",))
    assert words.matches(("x", "turning"))
    assert not words.matches(("age",))
    assert not words.matches(("t",))


def test_only_tokens_that_lead_to_a_number_without_a_gap_can_begin_a_form() -> None:
    assert before_numbers([4, 6], [True, False, True, True, False, True, False], most=3) == {2, 3, 5}
    assert before_numbers([0], [True], most=3) == set()
    assert before_numbers([4], [True] * 5, most=2) == {2, 3}


def test_pattern_without_a_number_begins_with_its_first_two_words() -> None:
    forms = Beginnings()
    forms.add(("not", "adult"))
    assert forms.can_begin_at(("not",), ("adult",), set())
    assert forms.can_begin_at(("not",), ("almost",), {"almost"})
    assert not forms.can_begin_at(("not",), ("almost",), set())
    assert not forms.can_begin_at(("an",), ("adult",), {"adult"})


def test_pattern_with_its_number_after_a_gap_differs_from_one_without_a_number() -> None:
    forms = Beginnings()
    forms.add(("years", "until", "~", "#"))
    forms.add(("of", "age", "~", "soon"), counted=False)
    assert forms.can_begin_at(("years",), ("until",), set(), before_gap=True)
    assert not forms.can_begin_at(("years",), ("until",), set())
    assert forms.can_begin_at(("of",), ("age",), set())
    assert not forms.can_begin_at(("of",), ("age",), set(), before_gap=True)


def test_a_form_of_a_number_alone_can_be_followed_by_any_token() -> None:
    forms = Beginnings()
    forms.add(("#", "years"))
    assert not forms.any_follows()
    forms.add(("#",))
    assert forms.any_follows()


def test_a_token_is_computed_once_and_the_cache_stays_bounded() -> None:
    computed: list[Token] = []

    def first_reading(token: Token) -> str:
        computed.append(token)
        return token[0]

    cache = TokenCache(first_reading)
    assert [cache["a", "b"], cache["a", "b"]] == ["a", "a"]
    assert computed == [("a", "b")]
    for number in range(2 * _MAX_CACHED):
        cache[(str(number),)]
    assert len(cache) <= _MAX_CACHED
