"""Measure the embedded text classifier: `python -m bench.classifier [--sexual-minors FILE …] [--benign FILE …]`.

Without files it uses the texts of the policy's tests. Each FILE has one text per line in the last of its tab-separated
columns, or is PartiPrompts.tsv (first column) or xstest_prompts.csv (its safe half).
For each threshold: the share of texts refused by the classifier alone, and with the rules before it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.texts import ADULTS, HARD, LOOKALIKES
from core.backends.ngrams import NgramClassifier, load_ngrams
from core.contracts import Route
from core.policy import Action, judge
from core.weights import Model, locate

THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)


def texts_of(path: Path) -> list[str]:
    """Read the texts of one file; from XSTest only those labelled `safe`."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            return [row["prompt"] for row in csv.DictReader(file) if row["label"] == "safe"]
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row]
    if rows[0][0] == "Prompt":
        return [row[0] for row in rows[1:]]
    return [row[-1] for row in rows]


def add_rows(table: Table, name: str, texts: Sequence[str], classifier: NgramClassifier) -> None:
    scores = [classifier.score(text) for text in texts]
    ruled = [judge([text], Route.GENERAL).action is Action.REFUSE for text in texts]
    alone = [sum(score >= threshold for score in scores) for threshold in THRESHOLDS]
    joined = [sum(r or s >= threshold for r, s in zip(ruled, scores, strict=True)) for threshold in THRESHOLDS]
    table.add_row(name, str(len(texts)), "–", *(f"{count} ({count / len(texts):.1%})" for count in alone))
    table.add_row("  with the rules", "", str(sum(ruled)), *(f"{count / len(texts):.1%}" for count in joined))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] if __doc__ else None)
    parser.add_argument("--sexual-minors", type=Path, nargs="*", default=[], help="texts that have to be refused")
    parser.add_argument("--benign", type=Path, nargs="*", default=[], help="texts that may not be refused")
    chosen = parser.parse_args()
    classifier = load_ngrams(locate("embedded", Model.GUARD))
    title = f"{classifier.info.name} {classifier.info.revision}, refused; threshold in use {classifier.threshold}"
    table = Table("texts", "number", "rules", *map(str, THRESHOLDS), title=title)
    add_rows(table, "hard, about minors", [text for kind, text in HARD if kind == "sexual_minors"], classifier)
    add_rows(table, "look-alikes", LOOKALIKES, classifier)
    add_rows(table, "about adults", ADULTS, classifier)
    for path in (*chosen.sexual_minors, *chosen.benign):
        add_rows(table, path.name, texts_of(path), classifier)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
