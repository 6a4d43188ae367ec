"""Puts a trained checkpoint into the repository, with the manifest that `core.weights` checks it by.

    python -m embedded.training.ship RUNS zimage
    python -m embedded.training.ship RUNS qwen2vl
    python -m embedded.training.ship RUNS classifier

Prints the manifest's SHA-256, which belongs into `core/weights/`. The model card beside the weights is kept.
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
    """The shipped manifest's SHA-256."""
    target, card = WEIGHTS / name, (WEIGHTS / name / _CARD)
    kept = card.read_text(encoding="utf-8") if card.exists() else ""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(runs / name, target)
    card.write_text(kept, encoding="utf-8")
    for config in target.rglob("config.json"):
        _forget_where_it_was_made(config)
    weights = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(target.rglob("*.safetensors"))))
    manifest = write_manifest(target, f"img-pod-tiny-{name}", f"sha256.{weights.hexdigest()[:12]}", FACTS[name])
    return hashlib.sha256(manifest.read_bytes()).hexdigest()


def _forget_where_it_was_made(config: Path) -> None:
    """The libraries write the path that a part was loaded from, which is nobody's business and changes the hash."""
    told = json.loads(config.read_text(encoding="utf-8"))
    told.pop("_name_or_path", None)
    config.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _main(runs: Path, name: str) -> None:
    """Ships one checkpoint."""
    typer.echo(ship(runs, name))


if __name__ == "__main__":
    typer.run(_main)
