"""Generator of the map of folders in CONTRIBUTING.md, from the docstrings of packages and modules.

May import: nothing of the project. Docstrings are read without importing anything.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

BEGIN = "<!-- The map is made by `python -m tools.docs` from the docstrings: change those and run it again. -->"
END = "<!-- End of the map. -->"
TOP = ("core", "handlers", "orchestrator", "http_api", "client", "localpod", "deploy", "embedded", "tools", "bench")
"""Top-level folders in the order in which the map lists them."""
_MAY_IMPORT = re.compile(r"May import:\s*(.+?)(?:\.(?:\s|$)|$)", re.DOTALL)


def with_map(page: str, root: Path) -> str:
    """`page` with the text between the two comments replaced. Raises `ValueError` if a comment is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("CONTRIBUTING.md must contain the two comments that enclose the map of folders")
    return f"{before}{BEGIN}\n\n{table(root)}\n{END}{after}"


def table(root: Path) -> str:
    rows = "\n".join(f"| `{name}` | {contents} | {imports} |" for name, contents, imports in entries(root))
    return f"| Folder or module | Contents | May import |\n|---|---|---|\n{rows}\n"


def entries(root: Path) -> Iterator[tuple[str, str, str]]:
    """Name, contents and allowed imports of each package, and of the modules directly in `core`."""
    for top in TOP:
        packages = sorted((root / top).rglob("__init__.py"))
        modules = sorted(file for file in (root / top).glob("*.py") if top == "core" and file.name != "__init__.py")
        for file in [*packages, *modules]:
            docstring = _docstring(file)
            if docstring:
                yield _name(file, root), _contents(docstring), _imports(docstring)


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def _name(file: Path, root: Path) -> str:
    path = file.relative_to(root)
    return f"{path.parent}/" if path.name == "__init__.py" else str(path)


def _contents(docstring: str) -> str:
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


def _imports(docstring: str) -> str:
    found = _MAY_IMPORT.search(docstring)
    return " ".join(found[1].split()).replace("|", "\\|") if found else ""
