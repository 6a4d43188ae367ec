"""What needs torch about weights: re-saving in bf16, and a library that keeps to itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from core.settings import ROOT
from core.weights import _recast


def test_floating_point_is_re_saved_in_bf16_and_integers_are_left(tmp_path: Path) -> None:
    shard = tmp_path / "model.safetensors"
    save_file({"weight": torch.full((2, 2), 1.00390625), "ids": torch.arange(3)}, shard, {"format": "pt"})
    _recast(shard)
    recast = load_file(shard)
    assert recast["weight"].dtype is torch.bfloat16
    assert recast["weight"].float().tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert recast["ids"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_shard_in_bf16_already_is_not_written_again(tmp_path: Path) -> None:
    shard = tmp_path / "model.safetensors"
    save_file({"weight": torch.ones(2, dtype=torch.bfloat16)}, shard)
    before = shard.stat().st_mtime_ns
    _recast(shard)
    assert shard.stat().st_mtime_ns == before


_ASK_THE_LIBRARY = """
from core.backends.vision import _keep_to_itself
_keep_to_itself()
from ultralytics.utils import AUTOINSTALL, SAFE_LOAD
from ultralytics.utils.events import events
print(AUTOINSTALL, SAFE_LOAD, events.enabled)
"""


def test_the_detectors_library_sends_nothing_and_installs_nothing() -> None:
    # In a process of its own: the library reads its settings once, when it is first imported.
    said = subprocess.run(
        [sys.executable, "-c", _ASK_THE_LIBRARY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["False", "True", "False"]
