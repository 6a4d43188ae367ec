"""The classifier's training texts: labels by construction, every language, the same texts from the same seed."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import torch

from core.backends.ngrams import load_ngrams, tokens_of
from core.weights import Facts, Located
from embedded.training.classifier import accuracy, batch_of, save, train
from embedded.training.classifier_disguises import disguised
from embedded.training.classifier_texts import (
    ADULT_FROM,
    Words,
    age_statement,
    english,
    everyday_text,
    filled,
    in_words,
    labelled_text,
    lexicons,
    lookalike,
    phrases,
)
from embedded.training.classifier_texts import _relation as age_statement_by_relation

FOUR_KINDS = {"sexual", "minor", "adult", "age"}
EVERYDAY: Words = {"en": ["lighthouse", "harbour", "rain", "boat"], "de": ["leuchtturm", "hafen"]}


def test_every_language_has_all_four_kinds_of_words() -> None:
    for language, words in lexicons().items():
        assert FOUR_KINDS <= set(words) <= {*FOUR_KINDS, "born", "everyday"}, language
        assert all(words.values()), language
        assert all("{n}" in pattern for pattern in words["age"]), language
        assert all("{y}" in pattern for pattern in words.get("born", ())), language


def test_every_slot_of_an_english_phrase_has_words() -> None:
    known = {"n", "k", *english()["slots"]}
    for section, kinds in english().items():
        used = {slot for said in kinds.values() for phrase in said for slot in re.findall(r"\{(\w+)\}", phrase)}
        assert used <= known, section


def test_no_english_phrase_without_an_age_is_in_two_sections() -> None:
    sections = [
        {phrase for kind in english()[section].values() for phrase in kind if "{n}" not in phrase}
        for section in ("minor", "adult", "none", "scene")
    ]
    assert sum(map(len, sections)) == len(set().union(*sections))


@pytest.mark.parametrize("years", [(3,), (17,), (18,), (44,)])
def test_filled_phrase_has_no_slot_left_and_contains_the_requested_age(years: tuple[int, ...]) -> None:
    rng = random.Random(2)
    for phrase in [one for kind in english()["adult"].values() for one in kind] + ["{she} is {n}, {doing}"]:
        said = filled(phrase, years, "en", rng)
        assert "{" not in said
        if phrase == "{she} is {n}, {doing}":
            assert str(years[0]) in said or str(in_words(years[0], "en")) in said


def test_relation_to_another_age_gives_the_requested_one() -> None:
    rng = random.Random(3)
    for _ in range(200):
        years = rng.randint(8, 60)
        said = age_statement_by_relation(years, rng)
        found = re.search(r"was (\d+) (\d+) years ago", said)
        assert found is None or int(found[1]) + int(found[2]) == years


def test_no_word_of_the_training_texts_decides_two_labels() -> None:
    for language, words in lexicons().items():
        assert not set(words["minor"]) & set(words["adult"]), language
        assert not set(words["sexual"]) & {*words["minor"], *words["adult"]}, language


@pytest.mark.parametrize("language", list(lexicons()))
def test_drawn_age_is_on_the_requested_side_of_18(language: str) -> None:
    rng = random.Random(1)
    for years in (3, 17, 18, 44):
        patterns = [pattern for pattern in lexicons()[language]["age"] if "{m}" not in pattern]
        for pattern in patterns:
            number = int(re.findall(r"\d+", pattern.format(n=years, m=years))[0])
            assert (number < ADULT_FROM) == (years < ADULT_FROM)
        assert age_statement(language, years, rng)


def test_same_seed_gives_the_same_texts_of_all_four_labels() -> None:
    def texts() -> list[tuple[str, bool, bool]]:
        rng = random.Random("t")
        made = [labelled_text(rng, EVERYDAY) for _ in range(500)]
        return [(one.text, one.sexual, one.minor) for one in made]

    assert texts() == texts()
    assert len({(sexual, minor) for _, sexual, minor in texts()}) == 4


def test_everyday_texts_include_near_misses_and_have_no_label() -> None:
    rng = random.Random("e")
    made = [everyday_text(rng, EVERYDAY) for _ in range(100)]
    assert not any(one.sexual or one.minor for one in made)
    known = {word for kind in phrases()["lookalikes"].values() for said in kind for word in said.split()}
    assert any(known & set(one.text.split()) for one in made)
    assert lookalike(rng)


def test_disguised_training_text_is_mostly_restored_by_normalization() -> None:
    rng = random.Random("d")
    made = [disguised("lighthouse keeper", rng) for _ in range(300)]
    assert len(set(made)) > 100
    undone = [one for one in made if {"lighthouse", "keeper"} & set(tokens_of(one))]
    assert len(undone) > len(made) / 2


def test_training_lowers_the_error_and_the_backend_computes_what_was_trained(tmp_path: Path) -> None:
    folder = tmp_path / "classifier"
    untrained = train(EVERYDAY, steps=1, size=8, peak=1e-4, seed=0)
    model = train(EVERYDAY, steps=60, size=48, peak=0.02, seed=0)
    rng = random.Random("held out")
    held_out = [labelled_text(rng, EVERYDAY) for _ in range(300)]
    assert accuracy(model, held_out)["sexual"] > accuracy(untrained, held_out)["sexual"]
    save(model, folder, 0.5)
    loaded = load_ngrams(Located(folder, "trained", "0", "embedded", Facts()))
    for text in ("a lighthouse at dusk", "nude", "14 years old", ""):
        with torch.inference_mode():
            trained = torch.sigmoid(model(*batch_of([text])).min()).item()
        assert loaded.score(text) == pytest.approx(trained, abs=0.01), "fp16 tensors"
