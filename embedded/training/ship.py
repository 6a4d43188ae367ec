"""Copy a trained checkpoint into the repository, with the manifest that `core.weights` checks.

    python -m embedded.training.ship RUNS zimage
    python -m embedded.training.ship RUNS qwen2vl
    python -m embedded.training.ship RUNS classifier

Prints the manifest's SHA-256, which has to be entered in `core/weights/`. The model card is not overwritten.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import typer

from core.weights import Facts, write_manifest
from embedded.training.zimage import SIDE

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
FACTS = {"zimage": Facts(sides=(64, 256), default_side=SIDE), "qwen2vl": Facts(), "classifier": Facts()}
_CARD = "README.md"


def ship(runs: Path, name: str) -> str:
    """Copy the checkpoint and return its manifest's SHA-256."""
    target, card = WEIGHTS / name, (WEIGHTS / name / _CARD)
    kept = card.read_text(encoding="utf-8") if card.exists() else ""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(runs / name, target)
    card.write_text(kept, encoding="utf-8")
    for config in target.rglob("config.json"):
        _remove_load_path(config)
    weights = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(target.rglob("*.safetensors"))))
    manifest = write_manifest(target, f"img-pod-tiny-{name}", f"sha256.{weights.hexdigest()[:12]}", FACTS[name])
    return hashlib.sha256(manifest.read_bytes()).hexdigest()


def _remove_load_path(config: Path) -> None:
    """Remove the load path that the libraries write: it is private, and it changes the hash."""
    content = json.loads(config.read_text(encoding="utf-8"))
    content.pop("_name_or_path", None)
    config.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _main(runs: Path, name: str) -> None:
    """Ship one checkpoint."""
    typer.echo(ship(runs, name))


if __name__ == "__main__":
    typer.run(_main)
