"""Write and check manifests: the size and SHA-256 of every file of a model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.weights.models import MANIFEST, Facts, WeightsMissing

HASHED_ON_LOAD_BYTES = 64 * 2**20
"""Files up to this size are hashed whenever they are located; for larger ones only the size is compared."""
_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}


def write_manifest(folder: Path, name: str, revision: str, facts: Facts) -> Path:
    """Write the manifest of `folder` with every file's hash. Raises `WeightsMissing` if one of them is a pickle."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)
    if pickles := [file.name for file in files if file.suffix in _PICKLES]:
        raise WeightsMissing(
            f"{pickles[0]} is a pickle, which can run code when it is opened; use safetensors or ONNX."
        )
    listed = {
        file.relative_to(folder).as_posix(): {"sha256": sha256(file), "size": file.stat().st_size} for file in files
    }
    manifest = {"name": name, "revision": revision, "facts": asdict(facts), "files": listed}
    written = folder / MANIFEST
    written.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return written


def check_files(folder: Path, manifest: dict[str, Any], hashed_up_to: int) -> None:
    """Compare sizes, and the SHA-256 of files of at most `hashed_up_to` bytes. Raises `WeightsMissing`."""
    for name, known in manifest["files"].items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != known["size"]:
            raise WeightsMissing(f"{file} is missing or of another size; delete {folder} and fetch again.")
        if known["size"] <= hashed_up_to:
            check_sha256(file, known["sha256"])


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def check_sha256(file: Path, expected: str) -> None:
    if sha256(file) != expected:
        raise WeightsMissing(f"{file} has a wrong SHA-256; delete it and fetch again.")
