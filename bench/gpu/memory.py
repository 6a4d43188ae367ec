"""Memory computed on meta tensors, with the models' shapes and lifetimes, without calculation or allocation.

Counts the allocations of the modules. Attention (no matrix of scores) and RMSNorm are assumed to be fused. The kernels'
workspace, the CUDA context and fragmentation of the allocator are not included.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.gpu import configs
from core.backends.image.decoding import EXACT_TILE_PX, LATENT_PX
from core.backends.norms import fuse_rms_norms
from core.backends.text.decoder import SLOT_TOKENS

GIB = 2**30
META = torch.device("meta")
CAPTION_TOKENS = 512


class _Fused(TorchFunctionMode):
    """Attention and RMSNorm with the allocations of GPU kernels: only their output."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.nn.functional.scaled_dot_product_attention, torch.nn.functional.rms_norm):
            return torch.empty_like(args[0] if args else (kwargs or {})["query"])
        return func(*args, **(kwargs or {}))


class LiveBytes(TorchDispatchMode):
    """Sum of the storages alive that were allocated inside, and its `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and id(leaf.untyped_storage()) not in before:
                self._count(leaf.untyped_storage())
        return out

    def _count(self, storage: Any) -> None:
        if storage in self.seen:
            return
        self.seen.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.live -= size


def peak_of(run: Callable[[], Any]) -> int:
    """Peak of the bytes that `run` allocates, in addition to existing ones."""
    with torch.inference_mode(), _Fused(), LiveBytes() as live:
        run()
    peak: int = live.peak
    return peak


def weights_of(model: torch.nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


@cache
def _built(name: str, dtype: torch.dtype) -> Any:
    with configs.built_in(dtype, META):
        model = getattr(configs, name)(shrink=False).eval()
    fuse_rms_norms(model)
    return model


def transformer_peak(side_px: int, batch: int) -> int:
    """One forward in bf16 with captions of 512 tokens."""
    model = _built("transformer", torch.bfloat16)
    latent = side_px // LATENT_PX
    pictures = [torch.empty(16, 1, latent, latent, device=META, dtype=torch.bfloat16) for _ in range(batch)]
    captions = [torch.empty(CAPTION_TOKENS, 2560, device=META, dtype=torch.bfloat16) for _ in range(batch)]
    times = torch.empty(batch, device=META)
    return peak_of(lambda: model(pictures, times, captions, return_dict=False))


def vae_peak(side_px: int, dtype: torch.dtype) -> int:
    """One decode of a whole picture, or of a tile of that side."""
    latent = torch.empty(1, 16, side_px // LATENT_PX, side_px // LATENT_PX, device=META, dtype=dtype)
    model = _built("vae", dtype)
    return peak_of(lambda: model.decode(latent, return_dict=False))


def prefill_peak(rows: int, tokens: int) -> int:
    """One forward of Qwen2.5-7B over whole prompts, its KV cache included."""
    ids = torch.empty(rows, tokens, device=META, dtype=torch.long)
    model = _built("text_model", torch.bfloat16)
    return peak_of(lambda: model(ids, use_cache=True, logits_to_keep=1))


def encoder_bytes() -> int:
    """The text encoder without its last layer, which is dropped on loading."""
    encoder = _built("text_encoder", torch.bfloat16)
    return weights_of(encoder) - weights_of(encoder.layers[-1])


def tables() -> str:
    """Markdown for docs/models.md."""
    return f"{_weights_table()}\n\n{_image_table()}\n\n{_text_table()}"


def _weights_table() -> str:
    bf16 = torch.bfloat16
    rows = {
        "Z-Image Turbo, transformer": weights_of(_built("transformer", bf16)),
        "Z-Image Turbo, text encoder without its last layer": encoder_bytes(),
        "Z-Image Turbo, VAE": weights_of(_built("vae", bf16)),
        "Qwen2.5-7B": weights_of(_built("text_model", bf16)),
        "Qwen2-VL-7B": weights_of(_built("vision_model", bf16)),
    }
    lines = [f"| {name} | {size / GIB:.2f} |" for name, size in rows.items()]
    return "\n".join(["| weights in bf16 (computed) | GiB |", "|---|---|", *lines])


def _image_table() -> str:
    head = "| Z-Image, GiB besides the weights (computed) | 1024 px | 1280 px | 1536 px |"
    sides = (1024, 1280, 1536)
    tile = vae_peak(1024, torch.bfloat16)
    exact = vae_peak(EXACT_TILE_PX, torch.float32)
    rows = {
        "transformer, one picture": [transformer_peak(side, 1) for side in sides],
        "transformer, two pictures": [transformer_peak(side, 2) for side in sides],
        "VAE, whole, bf16": [vae_peak(side, torch.bfloat16) for side in sides],
        "VAE, whole, fp32": [vae_peak(side, torch.float32) for side in sides],
        "VAE as it is run, bf16 (tiles of 1024 px above 1024 px)": [tile for _ in sides],
        f"VAE as it is run, fp32 (tiles of {EXACT_TILE_PX} px)": [exact for _ in sides],
    }
    return "\n".join([head, "|---|---|---|---|", *(_row(name, sizes) for name, sizes in rows.items())])


def _text_table() -> str:
    counts = (1, 8, 16, 32)
    head = "| Qwen2.5-7B, GiB besides the weights (computed) | 1 row | 8 rows | 16 rows | 32 rows |"
    rows = {
        f"KV cache, {SLOT_TOKENS:,} tokens a row": [count * SLOT_TOKENS * kv_bytes_per_token() for count in counts],
        "largest step: 512 tokens of prompts besides the rows": [prefill_peak(1, 512 + count) for count in counts],
        "for comparison, prompts of 1,500 tokens in one step": [prefill_peak(count, 1500) for count in counts],
    }
    return "\n".join([head, "|---|---|---|---|---|", *(_row(name, sizes) for name, sizes in rows.items())])


def kv_bytes_per_token() -> int:
    config = _built("text_model", torch.bfloat16).config
    head = config.hidden_size // config.num_attention_heads
    size: int = 2 * config.num_hidden_layers * config.num_key_value_heads * head * torch.bfloat16.itemsize
    return size


def _row(name: str, sizes: list[int]) -> str:
    return f"| {name} | " + " | ".join(f"{size / GIB:.2f}" for size in sizes) + " |"
