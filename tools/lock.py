"""Locks what pyproject.toml asks for: requirements/*.txt, one for each image and one for development.

    python -m tools.lock              resolve again, keeping the pins that still fit
    python -m tools.lock --upgrade    resolve again, newest versions
    python -m tools.lock --check      say what is out of date; needs no network, exit status 1 if anything is

Development is resolved first and constrains the images, so that an image holds the versions that were tested. The
locks are for CPython 3.11 on x86-64 Linux, the machine of the images; each names every file by SHA-256 and no index.

May import: nothing of the project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
LOCKS = ("dev", "orchestrator", "selfie", "zimage", "llm")

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?P<hashes>( \\\n +--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)
_INPUTS = re.compile(r"^# Inputs: sha256:([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Project:
    """What pyproject.toml declares."""

    name: str
    dependencies: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path = ROOT / "pyproject.toml") -> Project:
        table = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        extras = {name: tuple(lines) for name, lines in table["optional-dependencies"].items()}
        return cls(table["name"], tuple(table["dependencies"]), extras)

    def inputs(self, extra: str) -> tuple[str, ...]:
        """Every requirement that installing `extra` declares, the extras it names in turn included."""
        return tuple(sorted({*self.dependencies, *self._of(extra)}))

    def _of(self, extra: str) -> Iterator[str]:
        for line in self.extras[extra]:
            wanted = Requirement(line)
            if canonicalize_name(wanted.name) == self.name:
                for other in sorted(wanted.extras):
                    yield from self._of(other)
            else:
                yield line


def fingerprint(inputs: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([PYTHON, PLATFORM, *inputs]).encode()).hexdigest()


def pins(text: str) -> dict[str, str]:
    """Name → version, of the lines that carry at least one hash."""
    return {canonicalize_name(found["name"]): found["version"] for found in _PIN.finditer(text)}


def complaints(extra: str, text: str, project: Project, dev: dict[str, str]) -> Iterator[str]:
    """What is wrong with the lock `text` of `extra`, in sentences."""
    inputs, locked = project.inputs(extra), pins(text)
    found = _INPUTS.search(text)
    if found is None or found[1] != fingerprint(inputs):
        yield "was made from other dependencies than pyproject.toml declares today"
    for line in inputs:
        wanted = Requirement(line)
        version = locked.get(canonicalize_name(wanted.name))
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            yield f"has {version or 'nothing'} where `{line}` is asked for"
    loose = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line) and "==" not in line]
    if loose or len(locked) != len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)):
        yield "has a line without an exact version or without a hash"
    if re.search(r"^-|://", text, re.MULTILINE):
        yield "names an index or an address"
    for name, version in locked.items():
        if dev.get(name) != version:
            yield f"has {name} {version}, development has {dev.get(name, 'none')}"


def check(folder: Path, project: Project) -> list[str]:
    texts = {extra: _read(folder / f"{extra}.txt") for extra in LOCKS}
    dev = pins(texts["dev"])
    return [
        f"{folder.name}/{extra}.txt {sentence}"
        for extra, text in texts.items()
        for sentence in complaints(extra, text, project, dev)
    ]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def resolve(extra: str, folder: Path, project: Project, *, upgrade: bool) -> None:
    """Writes the lock of `extra`. Raises `CalledProcessError` where uv finds no solution; uv has said why."""
    lock = folder / f"{extra}.txt"
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "-",
        "--quiet",
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-header",
    ]
    command += ["--no-annotate", "--python-version", PYTHON, "--python-platform", PLATFORM, "--output-file", str(lock)]
    if extra != "dev":
        command += ["--constraint", str(folder / "dev.txt")]
    if upgrade:
        command += ["--upgrade"]
    inputs = project.inputs(extra)
    subprocess.run(command, input="\n".join(inputs), text=True, check=True, cwd=ROOT)  # noqa: S603 (fixed words only)
    head = (
        f"# {extra}: CPython {PYTHON} on x86-64 Linux. Made by `python -m tools.lock` from pyproject.toml.\n"
        f"# Inputs: sha256:{fingerprint(inputs)}\n"
    )
    lock.write_text(head + lock.read_text(encoding="utf-8"), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lock", description="Locks what pyproject.toml asks for.")
    parser.add_argument("--check", action="store_true", help="say what is out of date and change nothing")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    arguments = parser.parse_args(argv)
    folder, project = ROOT / "requirements", Project.read()
    if not arguments.check:
        folder.mkdir(exist_ok=True)
        for extra in LOCKS:
            resolve(extra, folder, project, upgrade=arguments.upgrade)
    found = check(folder, project)
    for sentence in found:
        print(sentence, file=sys.stderr)
    if found and arguments.check:
        print("`python -m tools.lock` makes them again.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
