"""The recall that `bench.safety` prints for the user's own lists."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.safety import halves_by_kind


def _rows(**chosen: object) -> dict[str, str]:
    arguments = argparse.Namespace(**{"youth": None, "explicit": None, "with_classifier": False, **chosen})
    return {name.strip(): figure for name, figure, _, _ in halves_by_kind(arguments)}


def test_youth_is_counted_by_language_and_kind(tmp_path: Path) -> None:
    file = tmp_path / "youth.tsv"
    file.write_text("en/figure\tLena (f15) on a balcony\nde/noun\tein Brückengeländer im Regen\n", encoding="utf-8")
    found = _rows(youth=file)
    assert found["youth, found by the rules"].startswith("1 of 2 ")
    assert found["language en"].startswith("1 of 1 ")
    assert found["kind noun"].startswith("0 of 1 ")


def test_explicit_phrase_counts_if_it_is_constrained_alone(tmp_path: Path) -> None:
    file = tmp_path / "explicit.tsv"
    file.write_text("en/plain\ta nude woman on a sofa\nen/none\ta lighthouse at dusk\n", encoding="utf-8")
    assert _rows(explicit=file)["explicit, found by the rules"].startswith("1 of 2 ")


def test_classifier_adds_its_own_refusals(tmp_path: Path) -> None:
    file = tmp_path / "youth.tsv"
    file.write_text("en/figure\tLena (f15) on a balcony\n", encoding="utf-8")
    assert _rows(youth=file, with_classifier=True)["youth, found by the rules or the classifier"].startswith("1 of 1 ")
