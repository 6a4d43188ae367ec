"""Everything that the documents refer to exists: files, headings, modules, tasks, variables."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.docs.__main__ import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in {".git", ".venv", "out"}]
FILES = [str(path) for folder in FOLDERS for path in folder.rglob("*.*")]
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_MODULE = re.compile(r"python3? -m ([a-z_]+(?:\.[a-z_]+)*)")
_FILE = re.compile(r"`([\w.-]+/[\w./-]+\.(?:py|toml|yaml|json|txt|sh))`")
_FENCED = re.compile(r"```.*?```", re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documentation_pages_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "api.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_target_and_heading_exists(page: Path) -> None:
    for file, heading in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        target = page.parent / file if file else page
        assert target.exists(), f"{file} is linked and does not exist"
        assert not heading or heading in anchors(target), f"{file}#{heading} is no heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_named_module_and_file_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [module for module in _MODULE.findall(text) if find_spec(module) is None] == []
    assert [file for file in _FILE.findall(text) if not any(path.endswith(f"/{file}") for path in FILES)] == []
