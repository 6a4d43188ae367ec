"""The decoder at the full model's width and vocabulary: one layer of Qwen2.5-7B with random weights, bf16, on a CPU."""

from __future__ import annotations

import pytest
import torch

from core.backends import Completion, NoCallbacks, Turn
from core.backends.text import LoadedText
from core.contracts import ModelInfo
from core.weights import Model, fetch
from tests.core.backends.tiny_text import wide_model

WIDTH = {
    "vocab_size": 152_064,
    "hidden_size": 3_584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 1,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32_768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    "tie_word_embeddings": False,
}
"""config.json of Qwen/Qwen2.5-7B-Instruct, but for the number of layers. About 2.7 GB."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_full_width_decodes_greedy_and_sampled_rows_together() -> None:
    from transformers import AutoTokenizer

    (weights,) = fetch("embedded", [Model.TEXT])
    model = wide_model(**WIDTH)
    model.generation_config.repetition_penalty = 1.05
    info = ModelInfo(name="wide", revision="0", profile="none")
    backend = LoadedText(info, model, AutoTokenizer.from_pretrained(weights.path), max_batch=4)
    turns = (Turn("system", "You describe pictures."), Turn("user", "A fox in the snow."))
    asked = [
        Completion(turns, max_tokens=3),
        Completion(turns, max_tokens=3, temperature=0.7, seed=1),
        Completion(turns, max_tokens=3, temperature=0.7, seed=1),
        Completion(turns, max_tokens=2, temperature=5.0, seed=2),
    ]
    texts = backend.generate(asked, NoCallbacks())
    assert backend.model.dtype is torch.bfloat16
    assert all(isinstance(text, str) for text in texts)
    assert texts[1] == texts[2], "the same seed draws the same text"
    cache = backend.decoder.cache
    token_bytes = 2 * cache.heads * cache.head_size * 2
    assert token_bytes * 28 == 56 * 1_024, "56 KiB a token in all 28 layers, as docs/models.md computes"
