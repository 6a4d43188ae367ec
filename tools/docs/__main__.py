"""Generate the reference documents: `python -m tools.docs`. `--check` reports stale ones and changes nothing.

May import: tools.docs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.docs import api, errors, http_api, packages, settings

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMAS = Path("docs/schema")


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Every generated document by its path below the root."""
    pages = {Path("docs/api.md"): api.page(), Path("docs/settings.md"): settings.page()}
    pages[Path("docs/openapi.json")] = http_api.page()
    schemas = {SCHEMAS / f"{name}.json": text for name, text in api.schemas().items()}
    contributing = Path("CONTRIBUTING.md")
    if (root / contributing).is_file():
        pages[contributing] = packages.with_map((root / contributing).read_text(encoding="utf-8"), root)
    return pages | {Path("docs/errors.md"): errors.page()} | schemas


def stale(root: Path = ROOT) -> list[Path]:
    """Documents that are missing, differ from the code, or are schemas of a removed task."""
    expected = documents(root)
    differing = [path for path, text in expected.items() if not _is_current(root / path, text)]
    return differing + [path for path in _schemas_in(root) if path not in expected]


def write(root: Path = ROOT) -> list[Path]:
    """Write every stale document; return their paths."""
    expected, changed = documents(root), stale(root)
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path in expected:
            (root / path).write_text(expected[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return changed


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _schemas_in(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in (root / SCHEMAS).glob("*.json"))


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description="Generate the reference documents.")
    parser.add_argument("--check", action="store_true", help="report stale documents and change nothing")
    arguments = parser.parse_args(argv)
    if not arguments.check:
        for path in write(root):
            print(path)
        return 0
    found = stale(root)
    for path in found:
        print(f"{path} is stale", file=sys.stderr)
    if found:
        print("Run `python -m tools.docs` to write them again.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
