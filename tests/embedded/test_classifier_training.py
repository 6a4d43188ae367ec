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
from embedded.training.classifier_texts import (
    ADULT_FROM,
    Words,
    age_statement,
    disguised,
    everyday_text,
    labelled_text,
    lexicons,
    lookalike,
    phrases,
)

EVERYDAY: Words = {"en": ["lighthouse", "harbour", "rain", "boat"], "de": ["leuchtturm", "hafen"]}


def test_every_language_has_all_four_kinds_of_words() -> None:
    for language, words in lexicons().items():
        assert set(words) == {"sexual", "minor", "adult", "age"}, language
        assert all(words.values()), language
        assert all("{n}" in pattern for pattern in words["age"]), language


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
