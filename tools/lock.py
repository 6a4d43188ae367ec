"""Lock the dependencies that pyproject.toml declares: requirements/*.txt, one per image and one for development.

    python -m tools.lock              resolve again, keeping the pins that still fit
    python -m tools.lock --upgrade    resolve again, newest versions
    python -m tools.lock --check      report what is out of date; needs no network, exit status 1 if anything is

Development is resolved first, for every platform in `ENVIRONMENTS`, and constrains the images, so that an image
contains the versions that were tested. The images' locks are for CPython 3.11 on x86-64 Linux. Each lock has the
SHA-256 of every file, and no index.

May import: nothing of the project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
LOCKS = ("dev", "orchestrator", "selfie", "zimage", "llm")
PYTHONS = ("3.11", "3.12")
PLATFORMS = {
    "x86_64-manylinux_2_28": ("linux", "x86_64"),
    "aarch64-manylinux_2_28": ("linux", "aarch64"),
    "aarch64-apple-darwin": ("darwin", "arm64"),
}
"""Platforms of the development lock: uv's name → `sys_platform` and `platform_machine`."""
MACOS = "14.0"
"""The oldest macOS for which every package has a wheel."""

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\\n]+?))?"
    r"(?P<hashes>( \\\n +--hash=sha256:[0-9a-f]{64})+)$\n?",
    re.MULTILINE,
)
_INPUTS = re.compile(r"^# Inputs: sha256:([0-9a-f]{64})$", re.MULTILINE)


def environment(platform: str, python: str) -> dict[str, str]:
    """The marker variables of CPython `python` on `platform`."""
    system, machine = PLATFORMS[platform]
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": system,
    }


ENVIRONMENTS = [environment(platform, python) for platform, python in product(PLATFORMS, PYTHONS)]
IMAGE = environment(PLATFORM, PYTHON)


@dataclass(frozen=True)
class Project:
    """The dependencies that pyproject.toml declares."""

    name: str
    dependencies: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path = ROOT / "pyproject.toml") -> Project:
        table = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        extras = {name: tuple(lines) for name, lines in table["optional-dependencies"].items()}
        return cls(table["name"], tuple(table["dependencies"]), extras)

    def inputs(self, extra: str) -> tuple[str, ...]:
        """Every requirement that installing `extra` declares, including the extras that it names."""
        return tuple(sorted({*self.dependencies, *self._of(extra)}))

    def _of(self, extra: str) -> Iterator[str]:
        for line in self.extras[extra]:
            required = Requirement(line)
            if canonicalize_name(required.name) == self.name:
                for other in sorted(required.extras):
                    yield from self._of(other)
            else:
                yield line


def fingerprint(inputs: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([PYTHON, PLATFORM, *inputs]).encode()).hexdigest()


def pins(text: str, env: dict[str, str] = IMAGE) -> dict[str, str]:
    """Name → version of the packages that are installed in `env`; only lines with at least one hash count."""
    return {
        canonicalize_name(found["name"]): found["version"]
        for found in _PIN.finditer(text)
        if _applies(found["marker"], env)
    }


def _applies(marker: str | None, env: dict[str, str]) -> bool:
    return marker is None or Marker(marker).evaluate(env)


def without_foreign_pins(text: str) -> str:
    """`text` without the packages that no environment of `ENVIRONMENTS` installs."""
    return _PIN.sub(lambda found: found[0] if any(_applies(found["marker"], env) for env in ENVIRONMENTS) else "", text)


def problems(extra: str, text: str, project: Project, dev: dict[str, str]) -> Iterator[str]:
    """Errors of the lock `text` of `extra`, as sentences. `dev` has the pins of development."""
    inputs = project.inputs(extra)
    found = _INPUTS.search(text)
    if found is None or found[1] != fingerprint(inputs):
        yield "was made from other dependencies than pyproject.toml declares"
    for env in ENVIRONMENTS if extra == "dev" else [IMAGE]:
        yield from _missing(inputs, pins(text, env), env)
    if len(list(_PIN.finditer(text))) != len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)):
        yield "has a line without an exact version or without a hash"
    if re.search(r"^-|://", text, re.MULTILINE):
        yield "names an index or an address"
    for name, version in pins(text).items():
        if dev.get(name) != version:
            yield f"has {name} {version}, development has {dev.get(name, 'none')}"


def _missing(inputs: tuple[str, ...], locked: dict[str, str], env: dict[str, str]) -> Iterator[str]:
    for line in inputs:
        required = Requirement(line)
        if required.marker is not None and not required.marker.evaluate(env):
            continue
        version = locked.get(canonicalize_name(required.name))
        if version is None or not required.specifier.contains(version, prereleases=True):
            yield f"has {version or 'nothing'} where `{line}` is asked for"


def check(folder: Path, project: Project) -> list[str]:
    texts = {extra: _read(folder / f"{extra}.txt") for extra in LOCKS}
    dev = pins(texts["dev"])
    return [
        f"{folder.name}/{extra}.txt {sentence}"
        for extra, text in texts.items()
        for sentence in problems(extra, text, project, dev)
    ]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def resolve(extra: str, folder: Path, project: Project, *, upgrade: bool) -> None:
    """Write the lock of `extra`. Raises `CalledProcessError` if uv finds no solution; uv has printed why."""
    lock = folder / f"{extra}.txt"
    where = ["--universal"]
    if extra != "dev":
        where = ["--python-platform", PLATFORM, "--constraint", str(folder / "dev.txt")]
    inputs = project.inputs(extra)
    options = ["--generate-hashes", "--python-version", PYTHON, "--output-file", str(lock), *where]
    _compile(["-", *options, *(["--upgrade"] if upgrade else [])], given="\n".join(inputs))
    kind = "every platform of tools/lock.py" if extra == "dev" else f"CPython {PYTHON} on x86-64 Linux"
    head = (
        f"# {extra}: {kind}. Made by `python -m tools.lock` from pyproject.toml.\n"
        f"# Inputs: sha256:{fingerprint(inputs)}\n"
    )
    lock.write_text(head + without_foreign_pins(lock.read_text(encoding="utf-8")), encoding="utf-8")


def require_wheels(lock: Path) -> None:
    """Raise `CalledProcessError` if a package of `lock` has no wheel for a platform; uv has printed which."""
    for platform, python in product(PLATFORMS, PYTHONS):
        where = ["--python-platform", platform, "--python-version", python]
        _compile([str(lock), *where, "--only-binary", ":all:", "--output-file", os.devnull])


def _compile(arguments: list[str], given: str | None = None) -> None:
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    subprocess.run(  # noqa: S603 (fixed words only)
        [*command, "--no-emit-index-url", *arguments],
        input=given,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS},
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lock", description="Lock the declared dependencies.")
    parser.add_argument("--check", action="store_true", help="report what is out of date and change nothing")
    parser.add_argument("--upgrade", action="store_true", help="use the newest compatible versions")
    arguments = parser.parse_args(argv)
    folder, project = ROOT / "requirements", Project.read()
    if not arguments.check:
        folder.mkdir(exist_ok=True)
        for extra in LOCKS:
            resolve(extra, folder, project, upgrade=arguments.upgrade)
        require_wheels(folder / "dev.txt")
    found = check(folder, project)
    for sentence in found:
        print(sentence, file=sys.stderr)
    if found and arguments.check:
        print("Run `python -m tools.lock` to write them again.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
