"""Fetching from a model hub, as the build of an image does: the command in its own process, a hub on localhost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.settings import ROOT
from core.weights import Model, WeightsMissing, locate, verify
from core.weights.sources import Url
from tests.core.weights.local_hub import local_hub

FETCH = [sys.executable, "-m", "core.weights", "fetch", "--profile", "full", "--only", "text"]
WEIGHT = torch.randn(64, 32)


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    folder = tmp_path / "hub" / "Qwen" / "Qwen2.5-7B-Instruct"
    folder.mkdir(parents=True)
    save_file({"first": WEIGHT}, folder / "model-00001-of-00002.safetensors", {"format": "pt"})
    save_file({"second": WEIGHT.bfloat16()}, folder / "model-00002-of-00002.safetensors", {"format": "pt"})
    for name in ("config.json", "LICENSE", "pytorch_model.bin", "modeling.py"):
        (folder / name).write_text("{}")
    return tmp_path / "hub"


def run_fetch(address: str, to: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(to / "hf"), "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [*FETCH, "--to", str(to)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_fetched_repository_is_in_bf16_without_pickles_or_code(repositories: Path, tmp_path: Path) -> None:
    with local_hub(repositories) as address:
        done = run_fetch(address, tmp_path)
    assert done.returncode == 0, done.stderr
    folder = locate("full", Model.TEXT, tmp_path).path
    verify("full", [Model.TEXT], tmp_path)
    shards = sorted(folder.glob("*.safetensors"))
    assert [list(load_file(shard)) for shard in shards] == [["first"], ["second"]]
    assert all(torch.equal(tensor, WEIGHT.bfloat16()) for shard in shards for tensor in load_file(shard).values())
    assert {file.name for file in folder.iterdir()} == {
        *(shard.name for shard in shards), "config.json", "LICENSE", "manifest.json"
    }  # fmt: skip


def test_hub_that_refuses_is_reported_in_one_sentence(repositories: Path, tmp_path: Path) -> None:
    with local_hub(repositories, status=401) as address:
        done = run_fetch(address, tmp_path)
    assert done.returncode == 1
    assert "401" in done.stderr
    assert "HF_TOKEN" in done.stderr
    assert done.stderr.count("\n") == 1


def test_unreachable_address_is_reported_as_missing_weights(tmp_path: Path) -> None:
    with local_hub(tmp_path) as address:
        pass  # its port is free again, so a connection is refused
    with pytest.raises(WeightsMissing, match=r"could not be fetched .*refused"):
        Url(f"{address}/face.onnx", "0" * 64, "face.onnx", "1", "UNSET").fill(tmp_path, lambda _: None)
