"""Configurations of the full models, from their repositories' config.json, and small ones of the same classes.

Every size is given once for the full model and once for `shrink`, which runs on a CPU in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_BLOCKS = 4
_TOKENS = {"image_token_id": 1534, "video_token_id": 1535, "vision_start_token_id": 1532, "vision_end_token_id": 1533}
"""Vocabulary of the embedded tokenizer, whose prompts the benchmark uses; its ids are valid in both vocabularies."""


def dtype_on(device: torch.device) -> torch.dtype:
    """The dtype that the product uses on the device."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@contextmanager
def built_in(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Context in which new modules get random weights of `dtype` on `device`, without a copy in host memory."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(usual)


def transformer(*, shrink: bool, layers: int | None = None) -> Any:
    """The DiT of Z-Image Turbo: 6.155 B parameters in 30 blocks and 4 refiners, or `layers` blocks and 2 refiners."""
    from diffusers import ZImageTransformer2DModel

    small = {
        "dim": 192,
        "n_layers": 2,
        "n_refiner_layers": 1,
        "n_heads": 4,
        "n_kv_heads": 4,
        "cap_feat_dim": 192,
        "axes_dims": [16, 16, 16],
    }
    few = {} if layers is None else {"n_layers": layers, "n_refiner_layers": 1}
    return ZImageTransformer2DModel(axes_lens=[1536, 512, 512], **((small if shrink else {}) | few))


def text_encoder(*, shrink: bool, layers: int | None = None) -> Any:
    """Qwen3-4B without its head: 36 layers, or `layers`."""
    from transformers import Qwen3Config, Qwen3Model

    full = {
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }
    small = {
        "vocab_size": 1536,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 48,
    }
    few = {} if layers is None else {"num_hidden_layers": layers}
    return Qwen3Model(Qwen3Config(**((small if shrink else full) | few), max_position_embeddings=40960))


def vae(*, shrink: bool) -> Any:
    """The VAE of Flux: 16 channels, eight times smaller sides."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=[16, 16, 32, 32] if shrink else [128, 256, 512, 512],
        norm_num_groups=4 if shrink else 32,
        down_block_types=["DownEncoderBlock2D"] * _BLOCKS,
        up_block_types=["UpDecoderBlock2D"] * _BLOCKS,
        layers_per_block=2,
        latent_channels=16,
        sample_size=1024,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )


def scheduler() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0)


def text_model(*, shrink: bool) -> Any:
    """Qwen2.5-7B-Instruct."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    full = {"vocab_size": 152064, "num_hidden_layers": 28}
    small = {"vocab_size": 49152, "num_hidden_layers": 2}
    config = Qwen2Config(**_qwen2(shrink=shrink), **(small if shrink else full), rope_theta=1e6)
    return Qwen2ForCausalLM(config)


def vision_model(*, shrink: bool) -> Any:
    """Qwen2-VL-7B-Instruct."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    text = {
        **_qwen2(shrink=shrink),
        "vocab_size": 1536 if shrink else 152064,
        "num_hidden_layers": 2 if shrink else 28,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [4, 6, 6] if shrink else [16, 24, 24],
        },
    }
    seeing = {
        "depth": 2 if shrink else 32,
        "embed_dim": 128 if shrink else 1280,
        "hidden_size": text["hidden_size"],
        "num_heads": 4 if shrink else 16,
        "patch_size": 14,
    }
    return Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=text, vision_config=seeing, **_TOKENS))


def _qwen2(*, shrink: bool) -> dict[str, Any]:
    full = (3584, 18944, 28, 4)
    width, inner, heads, kv_heads = (128, 384, 4, 4) if shrink else full
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
    }
