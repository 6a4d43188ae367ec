"""`python -m tools.docs` makes the reference documents; `--check` says which are stale and changes nothing.

May import: tools.docs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.docs import api, errors, settings

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMAS = Path("docs/schema")


def documents() -> dict[Path, str]:
    """Every document by its path below the root."""
    pages = {Path("docs/api.md"): api.page(), Path("docs/settings.md"): settings.page()}
    schemas = {SCHEMAS / f"{name}.json": text for name, text in api.schemas().items()}
    return pages | {Path("docs/errors.md"): errors.page()} | schemas


def stale(root: Path = ROOT) -> list[Path]:
    """What is missing, differs from what the code says, or is a schema of a task that is no more."""
    wanted = documents()
    differing = [path for path, text in wanted.items() if not _is(root / path, text)]
    return differing + [path for path in _schemas_in(root) if path not in wanted]


def write(root: Path = ROOT) -> list[Path]:
    """Brings everything up to date; returns what had to change."""
    wanted, changed = documents(), stale(root)
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path in wanted:
            (root / path).write_text(wanted[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return changed


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _schemas_in(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in (root / SCHEMAS).glob("*.json"))


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description="Makes the reference documents.")
    parser.add_argument("--check", action="store_true", help="say which document is stale and change nothing")
    arguments = parser.parse_args(argv)
    if not arguments.check:
        for path in write(root):
            print(path)
        return 0
    found = stale(root)
    for path in found:
        print(f"{path} is stale", file=sys.stderr)
    if found:
        print("`python -m tools.docs` makes them again.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
