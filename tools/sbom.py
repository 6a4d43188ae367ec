"""List the installed packages with their licences: a CycloneDX 1.6 document and a text table.

    python tools/sbom.py --name img-pod-llm --to /usr/share/img-pod

writes `sbom.cdx.json` and `licences.txt`. An image's build runs this file alone inside the image, so it needs the
standard library only. The document has no time and no random serial number, so the same packages give the same bytes.

Format: https://cyclonedx.org/docs/1.6/json/ and, for `purl`, https://github.com/package-url/purl-spec.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

_TROVE = "License :: "
_LONGEST_NAME = 80
"""Longest licence name; some packages have the whole text instead of the name."""


@dataclass(frozen=True, order=True)
class Package:
    name: str
    version: str
    licence: str
    """An SPDX expression, or the name that the package gives, or `unknown`."""
    is_expression: bool

    @classmethod
    def of(cls, distribution: Distribution) -> Package:
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        expression = _field(distribution, "License-Expression")
        return cls(name, distribution.version, expression or _named_licence(distribution), bool(expression))

    def component(self) -> dict[str, object]:
        licence = {"expression": self.licence} if self.is_expression else {"license": {"name": self.licence}}
        return {
            "type": "library",
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "licenses": [licence],
            "purl": self.purl,
        }

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version.replace('+', '%2B')}"


def _field(distribution: Distribution, name: str) -> str | None:
    return next(iter(distribution.metadata.get_all(name) or ()), None)


def _named_licence(distribution: Distribution) -> str:
    """The licence of older metadata: trove classifiers, else the first line of the free `License` field."""
    classifiers = distribution.metadata.get_all("Classifier") or ()
    troves = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith(_TROVE)]
    if named := [trove for trove in troves if trove != "OSI Approved"]:
        return " AND ".join(sorted(set(named)))
    free = (_field(distribution, "License") or "").strip().partition("\n")[0].strip()
    return free if 0 < len(free) <= _LONGEST_NAME else "unknown"


def packages(found: Iterable[Distribution]) -> list[Package]:
    """The packages, sorted and without the duplicates of a path that is listed twice."""
    return sorted({Package.of(distribution) for distribution in found})


def document(name: str, listed: Iterable[Package]) -> dict[str, object]:
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name}},
        "components": [package.component() for package in listed],
    }


def table(listed: Iterable[Package]) -> str:
    return "".join(f"{package.name} {package.version}\t{package.licence}\n" for package in listed)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="List the installed packages with their licences.")
    parser.add_argument("--name", required=True, help="name of the described image")
    parser.add_argument("--to", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args(argv)
    listed = packages(distributions())
    arguments.to.mkdir(parents=True, exist_ok=True)
    bom = json.dumps(document(arguments.name, listed), indent=1)
    (arguments.to / "sbom.cdx.json").write_text(bom + "\n", encoding="utf-8")
    (arguments.to / "licences.txt").write_text(table(listed), encoding="utf-8")
    print(f"{arguments.name}: {len(listed)} packages, {sum(p.licence == 'unknown' for p in listed)} of unknown licence")
    return 0


if __name__ == "__main__":
    sys.exit(main())
