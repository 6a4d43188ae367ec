"""Mutation testing of the policy: `python -m bench.mutants [--sample 200] [--seed 1]`.

Each mutant is one changed operator, condition, number or return in a copy of the repository's Python; it is killed if
the tests of the policy fail with it. Survivors are printed with their line for a manual review, because some mutants
don't change the behaviour.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import shutil
import subprocess
import sys
import tempfile
from copy import copy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = "tests/core/policy"
LIMIT_S = 600
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def change(node: ast.AST) -> bool:
    """Change a node in place; False if it can't be changed."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARED:
            node.ops = [_COMPARED[type(op)]()]
        case ast.BoolOp(op=op):
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.BinOp(op=op) if type(op) in _COMPUTED:
            node.op = _COMPUTED[type(op)]()
        case ast.UnaryOp(op=ast.Not()):
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            node.test = ast.UnaryOp(ast.Not(), test)
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=int(value)):
            node.value = value + 1
        case ast.Return(value=ast.expr()) if ast.unparse(node) != "return None":
            node.value = ast.Constant(None)
        case _:
            return False
    return True


def places(file: Path) -> list[int]:
    """Return the nodes of a file that can be changed, by their number; not annotations and decorators of classes."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unchanged = _annotations(tree)
    return [at for at, node in enumerate(ast.walk(tree)) if id(node) not in unchanged and change(copy(node))]


def mutant(file: Path, place: int) -> tuple[str, str]:
    """Return the description and the source of a mutant."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    node = list(ast.walk(tree))[place]
    before, line = ast.unparse(node).splitlines()[:1], getattr(node, "lineno", 0)
    change(node)
    after = ast.unparse(node).splitlines()[:1]
    source = ast.unparse(ast.fix_missing_locations(tree))
    return f"{file.name}:{line}: {''.join(before)} -> {''.join(after)}", source


def _annotations(tree: ast.AST) -> set[int]:
    notes: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            notes.append(node.annotation)
        if isinstance(node, ast.FunctionDef) and node.returns:
            notes.append(node.returns)
        if isinstance(node, ast.ClassDef):
            notes += node.decorator_list
    return {id(inner) for note in notes for inner in ast.walk(note)}


def survives(file: Path, source: str, copied: Path) -> bool:
    """Run the tests that import the mutated module, and if they pass, all tests."""
    target = copied / file.relative_to(ROOT)
    original = target.read_text(encoding="utf-8")
    target.write_text(source, encoding="utf-8")
    name = re.compile(rf"^from core\.policy(\.\w+)*\.{file.stem} import", re.MULTILINE)
    nearest = sorted(str(test) for test in (copied / TESTS).glob("test_*.py") if name.search(test.read_text("utf-8")))
    try:
        return (not nearest or _passes(copied, *nearest)) and _passes(copied, "-n", "2", TESTS)
    finally:
        target.write_text(original, encoding="utf-8")


def _passes(copied: Path, *arguments: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    try:
        return subprocess.run(command, cwd=copied, capture_output=True, timeout=LIMIT_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of core/policy.")
    parser.add_argument("--sample", type=int, default=200, help="number of random mutants; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    files = sorted((ROOT / "core" / "policy").rglob("*.py"))
    every = [(file, place) for file in files for place in places(file)]
    drawn = random.Random(arguments.seed).sample(every, min(arguments.sample or len(every), len(every)))
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "project"
        for part in ("core", "bench", TESTS):
            shutil.copytree(ROOT / part, copied / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copied)
        for number, (file, place) in enumerate(drawn, 1):
            what, source = mutant(file, place)
            if survives(file, source, copied):
                survivors.append(what)
                print(f"survived  {what}", flush=True)
            print(f"{number - len(survivors)} of {number} killed", end="\r", file=sys.stderr, flush=True)
    killed = len(drawn) - len(survivors)
    print(f"{killed} of {len(drawn)} mutants killed ({killed / len(drawn):.0%}); {len(every)} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
