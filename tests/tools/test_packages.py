"""The map of folders in CONTRIBUTING.md names every package and states its imports."""

from pathlib import Path

import pytest

from tools.docs import packages
from tools.docs.__main__ import ROOT


def test_every_package_of_the_source_folders_is_in_the_map() -> None:
    listed = {name for name, _, _ in packages.entries(ROOT)}
    existing = {
        f"{file.parent.relative_to(ROOT)}/" for top in packages.TOP for file in (ROOT / top).rglob("__init__.py")
    }

    assert existing
    assert existing <= listed


def test_every_entry_has_a_description_of_one_sentence() -> None:
    assert [name for name, contents, _ in packages.entries(ROOT) if not contents.endswith(".")] == []


def test_contents_and_imports_come_from_the_docstring(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text(
        '"""Shared\ncode.\n\nDetails.\n\nMay import: pydantic,\nhttpx. More.\n"""'
    )

    assert list(packages.entries(tmp_path)) == [("core/", "Shared code.", "pydantic, httpx")]


def test_page_without_the_marker_comments_is_refused() -> None:
    with pytest.raises(ValueError, match="comments"):
        packages.with_map("# Contributing", ROOT)


def test_text_around_the_map_is_kept() -> None:
    page = f"before\n{packages.BEGIN}\nold\n{packages.END}\nafter\n"

    made = packages.with_map(page, ROOT)

    assert made.startswith("before\n")
    assert made.endswith("\nafter\n")
    assert "\nold\n" not in made
