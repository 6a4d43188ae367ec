"""Convert fetched weights once, while an image is built, and split them into layers.

Tensors are converted one file at a time, so that building needs little memory, and no file is larger than
`MAX_FILE_BYTES`, so that a registry takes every layer.

May import: torch, transformers and safetensors, inside the functions that need them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.weights.models import Progress, WeightsMissing

MAX_FILE_BYTES = 4_000_000_000
"""Largest file of converted weights, so that a layer with a few small files stays below 5 GB."""
MAX_LAYER_BYTES = 5_000_000_000
"""Largest layer. Registries accept up to 10 GB per layer, and one thread unpacks each layer."""
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Floating-point types that are converted to bf16: safetensors' name of the type → bytes of an element."""


def convert_gguf(folder: Path, progress: Progress) -> None:
    """Replace a GGUF by safetensors, which transformers opens in one second instead of twenty."""
    progress("converting GGUF to safetensors (once)")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    [gguf] = folder.glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    # With greedy decoding a model of this size repeats itself endlessly.
    model.generation_config.repetition_penalty = 1.15
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name).save_pretrained(folder)
    gguf.unlink()


def convert_to_bf16(shard: Path, max_bytes: int = MAX_FILE_BYTES) -> list[Path]:
    """Rewrite one safetensors file in bf16, in parts of at most `max_bytes`; return the new files.

    Integers keep their type. A file that is in bf16 and small enough is not changed. Peak memory is one part.
    """
    from safetensors import safe_open

    with safe_open(shard, framework="pt") as opened:
        sizes = {name: _bf16_bytes(opened.get_slice(name)) for name in opened.keys()}  # noqa: SIM118 (no mapping)
        types = {opened.get_slice(name).get_dtype() for name in sizes}
        if not types & (set(_FLOATS) - {"BF16"}) and shard.stat().st_size <= max_bytes:
            return [shard]
        parts = _in_parts(sizes, max_bytes)
        metadata = opened.metadata() or {"format": "pt"}
        converting = [shard.with_name(f"{shard.stem}.part{number}.converting") for number in range(len(parts))]
        for names, target in zip(parts, converting, strict=True):
            _save_part(opened, names, metadata, target)
    shard.unlink()
    if len(parts) == 1:
        return [converting[0].rename(shard)]
    written = [part.rename(part.with_suffix(".safetensors")) for part in converting]
    _write_index(shard, dict(zip(written, parts, strict=True)))
    return written


def _bf16_bytes(tensor: Any) -> int:
    elements: int = math.prod(tensor.get_shape())
    kind: str = tensor.get_dtype()
    return elements * (2 if kind in _FLOATS else 8 if kind.endswith("64") else 4)


def _in_parts(sizes: dict[str, int], max_bytes: int) -> list[list[str]]:
    """Groups of consecutive names with at most `max_bytes` in total; a larger tensor is a group of one."""
    parts: list[list[str]] = [[]]
    room = max_bytes
    for name, size in sizes.items():
        if size > room and parts[-1]:
            parts.append([])
            room = max_bytes
        parts[-1].append(name)
        room -= size
    return parts


def _save_part(opened: Any, names: list[str], metadata: dict[str, str], target: Path) -> None:
    import torch
    from safetensors.torch import save_file

    kept: dict[str, Any] = {}
    for name in names:
        tensor = opened.get_tensor(name)
        kept[name] = tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
    save_file(kept, target, metadata)


def _write_index(shard: Path, parts: dict[Path, list[str]]) -> None:
    """Point the folder's index at the parts that replaced `shard`; create the index of a single file."""
    index = next(iter(shard.parent.glob("*.safetensors.index.json")), shard.with_name(f"{shard.name}.index.json"))
    content = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {"metadata": {}, "weight_map": {}}
    content["weight_map"] |= {name: part.name for part, names in parts.items() for name in names}
    index.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@dataclass(slots=True)
class _Layer:
    room: int
    files: list[Path] = field(default_factory=list)


def split_into_layers(root: Path, target: Path, count: int, max_bytes: int = MAX_LAYER_BYTES) -> list[int]:
    """Move every file below `root` into `target`/0 … `target`/`count` - 1; return the bytes of each folder.

    Paths below a folder are those below `root`, so that a Dockerfile can copy each folder to the same path as one
    layer. Raises `WeightsMissing` if a file is larger than `max_bytes` or the files need more folders.
    """
    layers = [_Layer(max_bytes) for _ in range(count)]
    for size, file in _largest_first(root):
        layer = next((layer for layer in layers if layer.room >= size), None)
        if layer is None:
            raise WeightsMissing(f"{file.name} does not fit into {count} layers of {max_bytes:,} bytes: add a layer.")
        layer.room -= size
        layer.files.append(file)
    for number, layer in enumerate(layers):
        folder = target / str(number)
        folder.mkdir(parents=True)
        for file in layer.files:
            moved = folder / file.relative_to(root)
            moved.parent.mkdir(parents=True, exist_ok=True)
            file.rename(moved)
    return [max_bytes - layer.room for layer in layers]


def _largest_first(root: Path) -> Iterator[tuple[int, Path]]:
    files = ((file.stat().st_size, file) for file in root.rglob("*") if file.is_file())
    yield from sorted(files, key=lambda found: (-found[0], found[1]))
