"""Check that the installed runpod SDK has the names and parameters that `core/worker` uses.

    python -m tools.sdk_names      exit status 1, and one line per missing name, if the SDK differs

CI runs it with the newest pre-release of the SDK. The sources are read, not imported: `core/worker/sdk.py` refuses an
unknown release at import.

May import: runpod.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

WORKER = Path(__file__).resolve().parent.parent / "core" / "worker"
SOURCES = (WORKER / "sdk.py", WORKER / "stock.py")


@dataclass(frozen=True)
class Use:
    """A name of the SDK with its path, such as `("rp_job", "get_job")` of a module; for a call, its arguments."""

    module: str
    path: tuple[str, ...]
    line: int
    positional: int = 0
    keywords: tuple[str, ...] = ()
    called: bool = False

    @property
    def name(self) -> str:
        return ".".join((self.module, *self.path))


def uses(source: str) -> list[Use]:
    """The SDK's names that a module imports, and the attributes and calls of these."""
    tree = ast.parse(source)
    imported = dict(_imports(tree))
    found = [Use(module, path, line) for module, path, line in imported.values()]
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and (dotted := _dotted(node)) and dotted[0] in imported:
            module, path, _ = imported[dotted[0]]
            found.append(_use(module, (*path, *dotted[1:]), node.lineno, calls.get(id(node))))
    return found


def _imports(tree: ast.Module) -> Iterator[tuple[str, tuple[str, tuple[str, ...], int]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "runpod":
            for alias in node.names:
                yield alias.asname or alias.name, (str(node.module), (alias.name,), node.lineno)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "runpod":
                    yield alias.asname or "runpod", ("runpod", (), node.lineno)


def _dotted(node: ast.expr) -> list[str]:
    """`a.b.c` as its parts; empty for any other expression."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (parts := _dotted(node.value)):
        return [*parts, node.attr]
    return []


def _use(module: str, path: tuple[str, ...], line: int, call: ast.Call | None) -> Use:
    if call is None or any(isinstance(one, ast.Starred) for one in call.args):
        return Use(module, path, line)
    keywords = tuple(keyword.arg for keyword in call.keywords if keyword.arg)
    return Use(module, path, line, len(call.args), keywords, called=True)


def problem(use: Use) -> str | None:
    """Describe what the installed SDK lacks for a use; None if nothing is missing."""
    try:
        target = _resolve(use)
    except (ImportError, AttributeError) as error:
        return f"{use.name}: {error}"
    if use.called:
        try:
            inspect.signature(target).bind(*[None] * use.positional, **dict.fromkeys(use.keywords))
        except TypeError as error:
            return f"{use.name}: {error}"
        except ValueError:  # a builtin method of a constant, without a signature
            return None
    return None


def _resolve(use: Use) -> Any:
    found: Any = importlib.import_module(use.module)
    at = use.module
    for name in use.path:
        at = f"{at}.{name}"
        found = getattr(found, name, None) or importlib.import_module(at)
    return found


def main() -> int:
    missing = [text for path in SOURCES for use in uses(path.read_text(encoding="utf-8")) if (text := problem(use))]
    print(f"runpod {metadata.version('runpod')}: {len(missing)} of the names that core/worker uses are missing")
    for text in sorted(set(missing)):
        print(f"  {text}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
