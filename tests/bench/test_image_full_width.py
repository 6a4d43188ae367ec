"""Z-Image at full width and vocabulary in bf16, with few layers and random weights, through the product's classes."""

from __future__ import annotations

import math

import pytest
import torch
from transformers.initialization import no_init_weights

from bench.gpu import configs
from bench.gpu.zimage import backend_of
from core.backends import GeneratedImage, ImageRequest, NoCallbacks
from core.backends.image.options import ImageOptions, apply_options
from core.weights import Facts

CPU = torch.device("cpu")


def filled(model: torch.nn.Module) -> torch.nn.Module:
    """Random weights from one repeated block: drawing a billion numbers takes most of a minute on a CPU."""
    block = 0.02 * torch.randn(2**20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            flat = parameter.view(-1)
            flat.copy_(block.repeat(math.ceil(len(flat) / len(block)))[: len(flat)] + ("norm" in name))
    return model.eval()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_full_width_picture_is_generated_in_bf16() -> None:
    with no_init_weights():
        with configs.built_in(torch.bfloat16, CPU):
            transformer = filled(configs.transformer(shrink=False, layers=1))
            encoder = filled(configs.text_encoder(shrink=False, layers=2))
        vae = filled(configs.vae(shrink=False))  # in fp32: convolutions in bf16 take minutes on a CPU
    backend = backend_of(transformer, encoder, vae, CPU, Facts(sides=(64, 1536)))
    apply_options(backend, ImageOptions())
    request = ImageRequest("A lighthouse on a cliff at dusk.", 1, 64, 64)
    (outcome,) = backend.generate([request], NoCallbacks(), steps=2)
    assert isinstance(outcome, GeneratedImage)
    assert outcome.image.size == (64, 64)
    assert backend.prompts.embed(request.prompt).dtype is torch.bfloat16
    assert backend.prompts.embed(request.prompt).shape[1] == 2560
    assert backend.pipeline.transformer.config.dim == 3840
    assert backend.pipeline.text_encoder.config.vocab_size == 151936
