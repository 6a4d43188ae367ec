"""Every scan of a caller's bytes or text that runs before a time limit applies takes linear time.

A quadratic scan of these inputs takes hours, a linear one less than a second: each runs in a process whose CPU time is
limited to many times that, so that no clock is compared.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import core

ROOT = Path(core.__file__).parent.parent
CPU_S = 20
PACKAGES = ("core.contracts", "core.images", "core.storage", "core.safe_http", "core.errors", "orchestrator")
RUN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({limit}, {limit}))
{code}
"""


def ends_in_time(code: str) -> bool:
    program = RUN.format(limit=CPU_S, code=code)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def modules() -> list[str]:
    names = []
    for package in PACKAGES:
        names.append(package)
        module = importlib.import_module(package)
        names += [found.name for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{package}.")]
    return [name for name in names if not name.endswith("__main__")]


def patterns() -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    return {
        f"{name}.{key}": value
        for name in modules()
        for key, value in vars(importlib.import_module(name)).items()
        if isinstance(value, re.Pattern)
    }


def hostile(pattern: str) -> list[str]:
    """Return long runs of the pattern's own characters, and of pairs of them."""
    letters = [*sorted(set(re.sub(r"[\\\[\]{}()?*+|^$]", "", pattern)) | set('aA0-_. /:;=,%"<&\n\t\xff')), "base64,"]
    return [letter * 200_000 for letter in letters] + [f"{letter}!" * 100_000 for letter in letters]


def methods(name: str) -> list[str]:
    """Return the methods by which the pattern's module uses it."""
    module, _, key = name.rpartition(".")
    source = inspect.getsource(importlib.import_module(module))
    return sorted(set(re.findall(rf"\b{key}\.(search|match|fullmatch|sub|findall|finditer)\(", source)))


@pytest.mark.parametrize("name", patterns())
def test_a_pattern_is_linear_on_growing_input(name: str) -> None:
    pattern = patterns()[name]
    assert methods(name)
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    texts = hostile(source)
    inputs = "texts" if isinstance(pattern.pattern, str) else "[text.encode('latin-1') for text in texts]"
    code = f"""
import re
pattern = re.compile({pattern.pattern!r}, {pattern.flags})
texts = {[(text[:2], len(text)) for text in texts]!r}
texts = [(head * length)[:length] for head, length in texts]
for text in {inputs}:
    for method in {methods(name)!r}:
        found = pattern.sub("", text) if method == "sub" else getattr(pattern, method)(text)
        if method == "finditer":
            list(found)
"""
    assert ends_in_time(code), pattern.pattern


@pytest.mark.parametrize(
    "data",
    [
        "b'\\xff' * 7_000_000",
        "b'\\xff\\xd8' * 3_500_000",
        "b'\\xff\\xe0\\x00\\x02' * 1_750_000",
        "b'\\xff\\x01' * 3_500_000",
        "b'\\xff\\xda\\x00\\x00' * 1_750_000",
        "b'\\xff\\x00' * 3_500_000",
    ],
)
def test_counting_scans_is_linear(data: str) -> None:
    code = f"""
from core.errors import BadPicture
from core.images.formats import count_scans
try:
    count_scans({data})
except BadPicture:
    pass
"""
    assert ends_in_time(code)


@pytest.mark.parametrize(
    "text",
    [
        "' ' * 11_000_000",
        "'A ' * 4_500_000",
        "'\\n' * 11_000_000",
        "'%2B' * 3_500_000",
        "'%' * 9_000_000",
        "chr(92) * 9_000_000",
        "'=' * 9_000_000",
        "'A' * 9_000_000 + '!'",
        "'data:' + 'a/;=' * 2_500_000",
        "chr(34) * 9_000_000",
        "('A' * 76 + ' ') * 110_000",
    ],
)
def test_reading_base64_is_linear(text: str) -> None:
    code = f"""
from core.errors import ImgPodError
from core.images.base64_text import decode_base64
from core.images.limits import DEFAULT_LIMITS
try:
    decode_base64({text}, DEFAULT_LIMITS)
except ImgPodError:
    pass
"""
    assert ends_in_time(code)
