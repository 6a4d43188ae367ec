"""A small language model of the production class with random weights: fast, and as sensitive to errors."""

from __future__ import annotations

from typing import Any

import torch

from core.backends.text import LoadedText
from core.contracts import ModelInfo
from core.weights import Model, fetch


def tiny_model(**config: Any) -> Any:
    """Qwen2 with groups of query heads; large weights, so that every token of the context changes the next one."""
    from transformers import Qwen2ForCausalLM

    torch.manual_seed(0)
    return Qwen2ForCausalLM(tiny_config(**config)).eval()


def wide_model(**config: Any) -> Any:
    """The same class of any size in bf16, its weights a repeated block of random numbers, which takes seconds."""
    from transformers import Qwen2ForCausalLM
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

    with torch.device("meta"):
        model = Qwen2ForCausalLM(tiny_config(**config)).to(torch.bfloat16)
    model = model.to_empty(device="cpu").eval()
    block = (0.02 * torch.randn(999_983, generator=torch.Generator().manual_seed(0))).bfloat16()
    for name, parameter in model.named_parameters():
        flat = parameter.data.view(-1)
        for start in range(0, len(flat), len(block)):
            flat[start : start + len(block)] = block[: len(flat) - start]
        if "norm" in name:
            parameter.data.fill_(1)
    model.model.rotary_emb = Qwen2RotaryEmbedding(model.config)
    return model


def tiny_config(**config: Any) -> Any:
    from transformers import Qwen2Config

    small: dict[str, Any] = {
        "vocab_size": 49_152,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8_192,
        "initializer_range": 0.5,
        "eos_token_id": None,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    return Qwen2Config(**small | config)


def tiny_text(*, max_batch: int = 8, slot_tokens: int | None = None) -> LoadedText:
    """Create a text backend over `tiny_model`; `slot_tokens` is the length of the decoder's slots."""
    from transformers import AutoTokenizer

    (weights,) = fetch("embedded", [Model.TEXT])
    info = ModelInfo(name="tiny", revision="0", profile="none")
    backend = LoadedText(info, tiny_model(), AutoTokenizer.from_pretrained(weights.path), max_batch=max_batch)
    backend.ends = set()
    if slot_tokens is not None:
        backend.decoder.cache.tokens = max_batch * slot_tokens
        backend.decoder.cache.arrange(max_batch, slot_tokens)
        backend.decoder.base_length = slot_tokens
    return backend
