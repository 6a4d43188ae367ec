"""The list of packages names what is installed, in a format that other tools read."""

import json
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from tools import sbom


def installed(folder: Path, *lines: str, name: str = "Some_Thing") -> Distribution:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines, ""]))
    return PathDistribution(info)


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (
            ["License-Expression: MIT OR Apache-2.0", "Classifier: License :: OSI Approved :: BSD License"],
            "MIT OR Apache-2.0",
        ),
        (["Classifier: License :: OSI Approved :: BSD License", "License: see file"], "BSD License"),
        (["License: ISC"], "ISC"),
        (["License: " + "Permission is hereby granted " * 9], "unknown"),
        ([], "unknown"),
    ],
)
def test_most_specific_licence_statement_is_used(tmp_path: Path, lines: list[str], licence: str) -> None:
    assert sbom.Package.of(installed(tmp_path, *lines)).licence == licence


def test_licence_expression_and_name_are_in_their_cyclonedx_fields(tmp_path: Path) -> None:
    expression = sbom.Package.of(installed(tmp_path, "License-Expression: MIT", name="a"))
    name = sbom.Package.of(installed(tmp_path, "License: ISC", name="b"))

    assert expression.component()["licenses"] == [{"expression": "MIT"}]
    assert name.component()["licenses"] == [{"license": {"name": "ISC"}}]


def test_package_names_are_normalised_and_duplicates_listed_once(tmp_path: Path) -> None:
    found = installed(tmp_path)

    [package] = sbom.packages([found, found])

    assert package.purl == "pkg:pypi/some-thing@1.0"


def test_sbom_is_reproducible_and_lists_the_installed_packages(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert sbom.main(["--name", "img-pod-llm", "--to", str(tmp_path / folder)]) == 0

    first, second = ((tmp_path / folder / "sbom.cdx.json").read_bytes() for folder in ("one", "two"))
    assert first == second
    assert "pydantic" in {component["name"] for component in json.loads(first)["components"]}
