"""Locate, fetch and verify the weights of a profile."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.weights.catalog import TABLE, Entry
from core.weights.manifest import HASHED_ON_LOAD_BYTES, check_files, write_manifest
from core.weights.models import MANIFEST, Facts, Located, Model, Profile, Progress, WeightsMissing
from core.weights.sources import Hub, Repository

PROJECT = Path(__file__).resolve().parents[2]


def default_root() -> Path:
    """`$XDG_CACHE_HOME/img-pod/weights`, else `~/.cache/img-pod/weights`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "img-pod" / "weights"


def locate(profile: str, model: Model, root: Path | None = None) -> Located:
    """Locate the model's weights and check all sizes, and the SHA-256 of all but the large files.

    Raises `WeightsMissing` if they are missing, incomplete, or of another revision; the message says what to do.
    """
    return _locate(entry_of(profile, model), Profile(profile), model, root or default_root())


def _locate(entry: Entry, profile: Profile, model: Model, root: Path) -> Located:
    folder = _folder(entry, profile, model, root)
    if not (folder / MANIFEST).is_file() and isinstance(entry.source, Hub):
        cached = entry.source.cached_by_runpod()
        if cached:
            return Located(cached, entry.name, entry.source.revision, profile, entry.facts)
    manifest = _read_manifest(folder, entry, profile, model)
    check_files(folder, manifest, HASHED_ON_LOAD_BYTES)
    facts = Facts(**{name: _lists_to_tuples(value) for name, value in manifest["facts"].items()})
    path = folder / entry.file if entry.file else folder
    return Located(path, manifest["name"], manifest["revision"], profile, facts)


def entry_of(profile: str, model: Model) -> Entry:
    try:
        return TABLE[Profile(profile)][model]
    except ValueError:
        raise WeightsMissing(f"There is no weights profile {profile!r}; choose `full` or `embedded`.") from None
    except KeyError:
        raise WeightsMissing(
            f"The profile `{profile}` has no {model} weights; do without them, or set WEIGHTS=full."
        ) from None


def _folder(entry: Entry, profile: Profile, model: Model, root: Path) -> Path:
    return PROJECT / entry.source.path if isinstance(entry.source, Repository) else root / profile / model


def _read_manifest(folder: Path, entry: Entry, profile: Profile, model: Model) -> dict[str, Any]:
    remedy = f"run `python -m core.weights fetch --profile {profile} --only {model}`."
    if isinstance(entry.source, Repository):
        remedy = f"restore {entry.source.path} from the repository."
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        raise WeightsMissing(f"The {profile} weights of {entry.name} are missing: {remedy}") from None
    if isinstance(entry.source, Repository) and hashlib.sha256(text).hexdigest() != entry.source.sha256:
        raise WeightsMissing(f"The manifest of {entry.name} belongs to another version of this code: {remedy}")
    if not isinstance(entry.source, Repository) and manifest.get("revision") != entry.source.revision:
        raise WeightsMissing(f"The {profile} weights of {entry.name} are of another revision: {remedy}")
    return manifest


def chosen_models(models: Iterable[Model] | None, profile: str) -> Iterable[Model]:
    return TABLE[Profile(profile)] if models is None else models


def _lists_to_tuples(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value


def fetch(
    profile: str, models: Iterable[Model] | None = None, root: Path | None = None, progress: Progress = print
) -> list[Located]:
    """Fetch the models that are missing; by default, all of the profile.

    Two processes may fetch at the same time; files of an interrupted call are used again. Raises `WeightsMissing`.
    """
    return [
        _fetch_one(Profile(profile), model, root or default_root(), progress)
        for model in chosen_models(models, profile)
    ]


def _fetch_one(profile: Profile, model: Model, root: Path, progress: Progress) -> Located:
    entry = entry_of(profile, model)
    try:
        return _locate(entry, profile, model, root)
    except WeightsMissing:
        if isinstance(entry.source, Repository):
            raise
    folder = root / profile / model
    with _locked(folder.with_suffix(".lock")):
        try:
            return _locate(entry, profile, model, root)
        except WeightsMissing:
            _fill(entry, folder, progress)
        return _locate(entry, profile, model, root)


def _fill(entry: Entry, folder: Path, progress: Progress) -> None:
    # A partial folder belongs to one revision, so that files of two revisions are not mixed.
    mark = hashlib.sha256(entry.source.revision.encode()).hexdigest()[:8]
    partial = folder.with_name(f".{folder.name}-{mark}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    entry.source.fill(partial, progress)
    write_manifest(partial, entry.name, entry.source.revision, entry.facts)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    progress(f"{entry.name}: ready")


def verify(profile: str, models: Iterable[Model] | None = None, root: Path | None = None) -> None:
    """Hash every file. Raises `WeightsMissing` at the first file that differs from the manifest."""
    for model in chosen_models(models, profile):
        entry = entry_of(profile, model)
        folder = _folder(entry, Profile(profile), model, root or default_root())
        check_files(folder, _read_manifest(folder, entry, Profile(profile), model), sys.maxsize)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
