"""A process without the policy's files does not start."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from core.errors import Misconfigured
from core.policy import loading
from core.policy.compiled import kept
from core.policy.loading import HARD_CATEGORIES, lexicon, load_lexicon
from core.policy.rules import Lexicon
from core.policy.version import LEXICONS, rule_files


def test_missing_rule_files_are_a_start_up_failure(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no rules for animals, non_consent, real_person, sexual_minors"):
        load_lexicon(sorted(tmp_path.rglob("*.toml")))


@pytest.mark.parametrize("name", ["minors.toml", "consent.toml", "animals.toml", "people.toml", "sexual.toml"])
def test_a_missing_file_is_a_start_up_failure(name: str) -> None:
    with pytest.raises(Misconfigured):
        load_lexicon(file for file in rule_files() if file.name != name)


def test_file_with_invalid_toml_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[[rule", encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"broken\.toml"):
        load_lexicon([broken])


def test_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"gone\.toml"):
        load_lexicon([tmp_path / "gone.toml"])


def test_the_shipped_files_have_rules_for_every_hard_category() -> None:
    assert {rule.category for rule in lexicon().rules} >= HARD_CATEGORIES
    assert LEXICONS.is_dir()


def test_threads_that_ask_at_once_load_the_rules_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Lexicon] = []
    together = Barrier(4)

    def counted(compute: Callable[[], Lexicon]) -> Lexicon:
        loaded.append(kept(compute))
        return loaded[-1]

    def ask() -> Lexicon:
        together.wait()
        return lexicon()

    monkeypatch.setattr(loading, "kept", counted)
    loading._loaded.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        found = [asked.result() for asked in [pool.submit(ask) for _ in range(4)]]
    assert loaded == [found[0]]
    assert all(one is found[0] for one in found)
