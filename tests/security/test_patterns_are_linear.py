"""Every regular expression over a caller's text or bytes takes time that grows no faster than its input.

The patterns are collected from the source, so that a new one is tested without being listed. Each is run on
growing repetitions of its own characters. The CPU time at one length is compared with that at a quarter of the length:
a linear search takes about four times as long, a quadratic one sixteen times.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("policy", "text", "images", "contracts")
FUNCTIONS = {"compile", "sub", "subn", "split", "search", "match", "fullmatch", "findall", "finditer"}
LENGTHS = (500, 2_000, 8_000, 32_000, 128_000)
MEASURABLE_S = 0.01
MOST_TIMES = 9
SAMPLES = 5


def modules() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / "core" / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in FUNCTIONS and ast.unparse(called.value) == "re":
            yield node


def flags_of(call: ast.Call) -> int:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    expression = ast.Expression(given[0]) if given else None
    return int(eval(compile(expression, "flags", "eval"), {"re": re})) if expression else 0


def compiled(value: object) -> Iterator[re.Pattern[Any]]:
    """Return the patterns in a module's attribute."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from compiled(one)


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Return all patterns: those at module level, and those inside functions."""
    for path in modules():
        found: dict[Any, re.Pattern[Any]] = {}
        for value in vars(importlib.import_module(name_of(path))).values():
            found |= {(pattern.pattern, pattern.flags): pattern for pattern in compiled(value)}
        for call in calls(path):
            if isinstance(call.args[0], ast.Constant):
                pattern = re.compile(call.args[0].value, flags_of(call))
                found[pattern.pattern, pattern.flags] = pattern
        yield from ((f"{name_of(path)}: {pattern.pattern!r:.60}", pattern) for pattern in found.values())


PATTERNS = list(patterns())
CATEGORIES = {"DIGIT": "1", "NOT_DIGIT": "a", "SPACE": " ", "NOT_SPACE": "a", "WORD": "a", "NOT_WORD": "-"}


def samples(parsed: Any) -> Iterator[str]:
    """Return a character for each literal, range and class of a parsed pattern, in order."""
    for operation, value in parsed:
        kind = str(operation)
        if kind in {"LITERAL", "NOT_LITERAL"}:
            yield chr(value) if kind == "LITERAL" else chr(value + 1)
        elif kind == "RANGE":
            yield chr(value[0])
        elif kind == "CATEGORY":
            yield CATEGORIES[str(value).removeprefix("CATEGORY_")]
        elif kind == "ANY":
            yield "x"
        elif kind in {"IN", "SUBPATTERN", "MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT", "ATOMIC_GROUP", "ASSERT"}:
            inner = value if kind in {"IN", "ATOMIC_GROUP"} else value[-1]
            negated = kind == "IN" and str(value[0][0]) == "NEGATE"
            yield from ["a", " ", "-"] if negated else samples(inner)
        elif kind == "BRANCH":
            for branch in value[1]:
                yield from samples(branch)


def hostile(pattern: re.Pattern[Any]) -> Iterator[str]:
    """Return strings whose repetition may be slow to search: the pattern's own characters, alone and in pairs."""
    own = list(dict.fromkeys(samples(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))))
    spread = own[:: max(1, len(own) // SAMPLES)][:SAMPLES]
    yield from spread
    yield from map("".join, permutations(spread, 2))
    yield "".join(own[:40])


def seconds(pattern: re.Pattern[Any], unit: str, length: int) -> float:
    text: Any = (unit * length)[:length] + "\x01"
    if isinstance(pattern.pattern, bytes):
        text = text.encode("latin-1", "replace")
    start = time.process_time()
    for _ in pattern.finditer(text):
        pass
    return time.process_time() - start


def growth(pattern: re.Pattern[Any], unit: str) -> float:
    """Return how many times longer the search takes for four times the input; 0 if it is too short to measure."""
    before = 0.0
    for length in LENGTHS:
        now = min(seconds(pattern, unit, length) for _ in range(2))
        if now > MEASURABLE_S:
            return now / max(before, 1e-6) if before > MEASURABLE_S / MOST_TIMES / 2 else 0.0
        before = now
    return 0.0


@pytest.mark.parametrize("pattern", [pattern for _, pattern in PATTERNS], ids=[name for name, _ in PATTERNS])
def test_time_grows_no_faster_than_the_input(pattern: re.Pattern[Any]) -> None:
    slow = {unit: times for unit in hostile(pattern) if (times := growth(pattern, unit)) > MOST_TIMES}
    # On a busy machine one measurement may be wrong; three rarely are.
    again = {unit for unit in slow if min(growth(pattern, unit) for _ in range(3)) > MOST_TIMES}
    assert not again


def test_regular_expressions_of_the_code_are_found() -> None:
    assert len(PATTERNS) > 40
    assert {name.split(":")[0].split(".")[1] for name, _ in PATTERNS} >= {"policy", "text"}


@pytest.mark.parametrize("quadratic", [r"a+$", r"\s+\Z", r"x*y", r"\xff+[\xc0-\xcf]"])
def test_measurement_detects_a_slow_pattern(quadratic: str) -> None:
    pattern = re.compile(quadratic)
    assert max(growth(pattern, unit) for unit in hostile(pattern)) > MOST_TIMES
