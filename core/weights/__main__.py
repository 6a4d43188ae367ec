"""Fetch, check, list and split model weights: `python -m core.weights`.

    fetch --profile embedded                 fetch all models of the profile
    fetch --profile full --only text         fetch one model, as the build of an image does
    verify --profile full                    check every SHA-256 again
    list                                     list the profile's models and their folders
    layers --into /layers --count 6          move an image's weights into folders that become one layer each

The exit status is 1 after a failure, with one sentence on stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from core.weights.baking import split_into_layers
from core.weights.models import Model, Profile, Progress, WeightsMissing
from core.weights.store import chosen_models, default_root, entry_of, fetch, locate, verify

if TYPE_CHECKING:
    import argparse


def _list(profile: str, models: Iterable[Model] | None, root: Path, say: Progress) -> None:
    for model in chosen_models(models, profile):
        try:
            located = locate(profile, model, root)
            say(f"{profile:9} {model:8} {located.name} {located.revision} {located.path}")
        except WeightsMissing:
            say(f"{profile:9} {model:8} {entry_of(profile, model).name} (not fetched)")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m core.weights", description="Fetch, check and list model weights.")
    parser.add_argument("command", choices=["fetch", "verify", "list", "layers"])
    parser.add_argument("--profile", choices=list(Profile), default=Profile.EMBEDDED)
    parser.add_argument("--only", help="comma-separated: text, vision, face, image, checker, guard")
    parser.add_argument("--to", type=Path, default=None, help="folder of the profiles (default: user cache)")
    parser.add_argument("--into", type=Path, default=Path("/layers"), help="`layers`: where the folders are created")
    parser.add_argument("--count", type=int, default=6, help="`layers`: number of folders")
    return parser.parse_args(argv)


def _layers(chosen: argparse.Namespace, root: Path) -> None:
    for number, size in enumerate(split_into_layers(root, chosen.into, chosen.count)):
        print(f"layer {number}: {size / 1e9:.2f} GB")  # noqa: T201  (a command's output)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    chosen = _arguments(argv)
    root = chosen.to or Path(os.environ.get("WEIGHTS_DIR") or default_root())
    try:
        models = [Model(name) for name in chosen.only.split(",")] if chosen.only else None
        if chosen.command == "fetch":
            fetch(chosen.profile, models, root, lambda line: print(line, flush=True))  # noqa: T201  (a command's output)
        elif chosen.command == "verify":
            verify(chosen.profile, models, root)
        elif chosen.command == "layers":
            _layers(chosen, root)
        else:
            _list(chosen.profile, models, root, print)
    except (WeightsMissing, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (a command's output)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
