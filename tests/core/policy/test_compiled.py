"""A compiled value is read from its file only if nothing that it depends on has changed."""

from __future__ import annotations

import os
import pickle
import stat
import sys
from datetime import date
from pathlib import Path

import pytest

from core.policy import compiled
from core.policy.compiled import kept
from core.policy.loading import compiled_rules, lexicon
from core.policy.normalization import streams

TODAY = date(2026, 1, 1)


class Rules:
    """A value with the number of times that it was computed."""

    def __init__(self, folder: Path) -> None:
        self.sources, self.folder, self.computed = folder / "sources", folder / "kept", 0
        self.sources.mkdir()
        self.write("words = 1")

    def write(self, content: str) -> None:
        (self.sources / "rules.toml").write_text(content)
        compiled._digest.cache_clear()

    def read(self) -> str:
        def rules() -> str:
            self.computed += 1
            return (self.sources / "rules.toml").read_text()

        return kept(rules, sources=self.sources, folder=self.folder)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rules:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return Rules(tmp_path)


def test_a_value_is_computed_once(rules: Rules) -> None:
    assert [rules.read(), rules.read()] == ["words = 1", "words = 1"]
    assert rules.computed == 1


def test_a_changed_source_is_compiled_again_and_its_old_file_removed(rules: Rules) -> None:
    rules.read()
    before = rules.files
    rules.write("words = 2")
    assert rules.read() == "words = 2"
    assert len(rules.files) == 1
    assert rules.files != before


def test_a_new_or_renamed_source_is_noticed(rules: Rules) -> None:
    rules.read()
    (rules.sources / "more.py").write_text("")
    compiled._digest.cache_clear()
    rules.read()
    (rules.sources / "more.py").rename(rules.sources / "other.py")
    compiled._digest.cache_clear()
    rules.read()
    assert rules.computed == 3


@pytest.mark.parametrize("damaged", [b"", b"\0" * 31, b"\0" * 400, None])
def test_a_damaged_file_is_not_used(rules: Rules, damaged: bytes | None) -> None:
    rules.read()
    [file] = rules.files
    file.write_bytes(file.read_bytes()[:-1] if damaged is None else damaged)
    assert rules.read() == "words = 1"
    assert rules.read() == "words = 1"
    assert rules.computed == 2


def test_nothing_is_written_where_python_writes_no_bytecode(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rules.read() == "words = 1"
    assert rules.files == []


def test_a_folder_that_cannot_be_made_only_costs_time(rules: Rules) -> None:
    rules.folder.write_text("a file in the place of the folder")
    assert [rules.read(), rules.read()] == ["words = 1", "words = 1"]
    assert rules.computed == 2


def test_other_users_may_read_the_file(rules: Rules) -> None:
    before = os.umask(0o022)
    try:
        rules.read()
    finally:
        os.umask(before)
    [file] = rules.files
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_pickled_rules_find_what_compiled_rules_find() -> None:
    made = compiled_rules()
    text = "a 12 year old g1rl, twelv years, her daughter, nude, born in 2015, she took off her dress"
    expected = [made.find(stream, TODAY) for stream in streams(text, made.spelling)]
    restored = pickle.loads(pickle.dumps(made))
    for _ in range(2):  # the second time from the caches
        assert [restored.find(stream, TODAY) for stream in streams(text, restored.spelling)] == expected
    assert expected != [lexicon().find((), TODAY)]
