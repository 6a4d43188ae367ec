"""Patterns of phrases, and the trie whose branches are built when a text reaches them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Barrier

import pytest

from core.errors import Misconfigured
from core.policy.phrases import PhraseNode, phrases, single_words, spelled_phrases, spellings, whole_phrases

PATTERNS = (
    "a plain phrase",
    "(a|an|) (very |)old (house|garden shed)",
    "((half|quite) |)new",
    "child(ren|)'s toy(s|)",
    "未成年(の|)人",
    "(one|two)-(three|)",
    "stem* (of|) word",
)


def _trie(*patterns: str) -> PhraseNode[str]:
    root: PhraseNode[str] = PhraseNode()
    for pattern in patterns:
        for segments in spellings(pattern):
            root.add(segments, pattern)
    return root


def _ends(root: PhraseNode[str], words: tuple[str, ...]) -> list[str]:
    nodes = [root]
    for word in words:
        nodes = [after for node in nodes for after in node.step((word,))]
    return [value for node in nodes for value in node.ends]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_segments_represent_all_phrases_of_a_pattern(pattern: str) -> None:
    """The reference is the expansion of the whole pattern, without segments."""
    [segments] = spellings(pattern, exact=True)
    found = {" ".join(phrase) for phrase in whole_phrases(segments)}
    assert found == {" ".join(next(whole_phrases(next(spellings(plain))))) for plain in phrases(pattern)}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_phrase_of_a_pattern_ends_in_the_trie_and_its_beginnings_do_not(pattern: str) -> None:
    root, whole = _trie(pattern), spelled_phrases(pattern)
    beginnings = {phrase[:end] for phrase in whole for end in range(len(phrase))} - whole
    assert all(_ends(root, tuple(word.rstrip("*") for word in phrase)) == [pattern] for phrase in whole)
    assert not any(_ends(root, tuple(word.rstrip("*") for word in phrase)) for phrase in beginnings)


def test_a_pattern_added_after_a_walk_is_found() -> None:
    root = _trie("old house")
    assert _ends(root, ("old", "house")) == ["old house"]
    for segments in spellings("old (house|shed)"):
        root.add(segments, "later")
    assert _ends(root, ("old", "house")) == ["old house", "later"]
    assert _ends(root, ("old", "shed")) == ["later"]


def test_threads_that_walk_a_new_trie_at_once_find_the_same() -> None:
    letters = "abcdef"
    root = _trie(*(f"({'|'.join(letters)}) ({'|'.join(letters)}) {last}" for last in letters))
    together = Barrier(8)

    def walk() -> list[list[str]]:
        together.wait()
        return [_ends(root, words) for words in product(letters, repeat=3)]

    with ThreadPoolExecutor(8) as pool:
        found = [future.result() for future in [pool.submit(walk) for _ in range(8)]]
    assert all(ends == found[0] and all(map(len, ends)) for ends in found)


def test_single_words_are_the_phrases_of_one_word() -> None:
    for pattern in (*PATTERNS, "(very|) (old|)er", "(a|) (b|) c", "(a b|c)"):
        for segments in spellings(pattern):
            assert set(single_words(segments)) == {p[0] for p in whole_phrases(segments) if len(p) == 1}


def test_stem_matches_words_that_begin_with_it() -> None:
    root = _trie("schul*")
    met = {word: _ends(root, (word,)) for word in ("schule", "schul", "schuh")}
    assert met == {"schule": ["schul*"], "schul": ["schul*"], "schuh": []}


def test_long_stem_matches_as_short_ones_do() -> None:
    root = _trie("donaudampfschifffahrt*")
    assert _ends(root, ("donaudampfschifffahrten",)) == ["donaudampfschifffahrt*"]
    assert _ends(root, ("donaudampfschifffahr",)) == []


@pytest.mark.parametrize("pattern", ["(a|b", "a|b)", "a (b (c) d", "(a) b)", "((a) b"])
def test_unbalanced_brackets_are_rejected(pattern: str) -> None:
    with pytest.raises(Misconfigured, match="has unbalanced brackets"):
        list(spellings(pattern))


@pytest.mark.parametrize("pattern", ["", "(a|)", "(a|) (b|)", "-"])
def test_a_pattern_that_may_be_empty_is_rejected(pattern: str) -> None:
    with pytest.raises(Misconfigured, match="may be empty"):
        list(spellings(pattern))
