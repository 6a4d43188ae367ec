"""Conversion of fetched weights: bf16 in bounded files, and folders that become an image's layers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from core.weights import WeightsMissing
from core.weights.baking import convert_to_bf16, split_into_layers


def saved(path: Path, **tensors: torch.Tensor) -> Path:
    save_file(tensors, path, {"format": "pt"})
    return path


def test_floating_point_becomes_bf16_and_integers_keep_their_type(tmp_path: Path) -> None:
    shard = saved(tmp_path / "model.safetensors", weight=torch.full((2, 2), 1.00390625), ids=torch.arange(3))

    assert convert_to_bf16(shard) == [shard]

    converted = load_file(shard)
    assert converted["weight"].dtype is torch.bfloat16
    assert converted["weight"].float().tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert converted["ids"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_file_already_in_bf16_is_not_rewritten(tmp_path: Path) -> None:
    shard = saved(tmp_path / "model.safetensors", weight=torch.ones(2, dtype=torch.bfloat16))
    before = shard.stat().st_mtime_ns

    convert_to_bf16(shard)

    assert shard.stat().st_mtime_ns == before


def test_large_file_is_split_and_the_index_names_the_parts(tmp_path: Path) -> None:
    tensors = {f"layer.{number}": torch.randn(100, 10) for number in range(5)}
    shard = saved(tmp_path / "model-00001-of-00002.safetensors", **tensors)
    index = tmp_path / "model.safetensors.index.json"
    others = {"other": "model-00002-of-00002.safetensors"}
    index.write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, shard.name) | others})
    )

    parts = convert_to_bf16(shard, max_bytes=4_500)

    assert len(parts) == 3
    assert all(part.stat().st_size < 5_500 for part in parts)
    where = json.loads(index.read_text())["weight_map"]
    assert where["other"] == others["other"]
    for name, tensor in tensors.items():
        assert torch.equal(load_file(tmp_path / where[name])[name], tensor.to(torch.bfloat16))
    assert not shard.exists()


def test_single_large_file_gets_an_index_that_transformers_reads(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(tmp_path)

    parts = convert_to_bf16(tmp_path / "model.safetensors", max_bytes=4_000)

    loaded = Qwen2ForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert len(parts) > 1
    for name, tensor in model.to(torch.bfloat16).state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_conversion_keeps_one_part_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    original = save_file

    def measured(tensors: dict[str, torch.Tensor], *more: object) -> None:
        nonlocal largest
        largest = max(largest, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
        original(tensors, *more)

    shard = saved(tmp_path / "model.safetensors", **{f"layer.{n}": torch.randn(100, 100) for n in range(8)})
    monkeypatch.setattr("safetensors.torch.save_file", measured)

    convert_to_bf16(shard, max_bytes=45_000)

    assert largest <= 45_000


def test_layers_contain_every_file_once_at_its_path(tmp_path: Path) -> None:
    root, target = tmp_path / "weights", tmp_path / "layers"
    sizes = {f"full/image/transformer/part{n}.safetensors": size for n, size in enumerate((50, 40, 40, 30, 9))}
    for name, size in sizes.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)

    used = split_into_layers(root, target, count=4, max_bytes=60)

    assert all(size <= 60 for size in used)
    found = {
        str(file.relative_to(target / folder.name)): file.stat().st_size
        for folder in target.iterdir()
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert found == sizes
    assert len(list(target.iterdir())) == 4


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_no_layer_is_larger_than_allowed(sizes: list[int], seed: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "weights"
        root.mkdir()
        random.Random(seed).shuffle(sizes)
        for number, size in enumerate(sizes):
            (root / str(number)).write_bytes(b"x" * size)

        used = split_into_layers(root, Path(folder) / "layers", count=len(sizes), max_bytes=60)

        assert sum(used) == sum(sizes)
        assert max(used) <= 60


def test_weights_that_need_more_layers_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "weights"
    root.mkdir()
    for number in range(3):
        (root / f"{number}.safetensors").write_bytes(b"x" * 40)

    with pytest.raises(WeightsMissing, match="add a layer"):
        split_into_layers(root, tmp_path / "layers", count=2, max_bytes=60)
