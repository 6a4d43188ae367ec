"""Z-Image at full width and vocabulary in bf16, with few layers and random weights, through the product's classes."""

from __future__ import annotations

import pytest
import torch

from bench.gpu import configs
from bench.gpu.zimage import backend_of
from core.backends import GeneratedImage, ImageRequest, NoCallbacks
from core.backends.image.options import ImageOptions, apply_options
from core.weights import Facts

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_full_width_pictures_are_generated_in_bf16() -> None:
    with configs.built_in(torch.bfloat16, CPU):
        transformer = configs.transformer(shrink=False, layers=1).eval()
        encoder = configs.text_encoder(shrink=False, layers=2).eval()
        vae = configs.vae(shrink=False).eval()
    backend = backend_of(transformer, encoder, vae, CPU, Facts(sides=(64, 1536)))
    apply_options(backend, ImageOptions())
    request = ImageRequest("A lighthouse on a cliff at dusk.", 1, 64, 64)
    (outcome,) = backend.generate([request], NoCallbacks(), steps=2)
    assert isinstance(outcome, GeneratedImage)
    assert outcome.image.size == (64, 64)
    assert backend.prompts.embed(request.prompt).dtype is torch.bfloat16
    assert backend.prompts.embed(request.prompt).shape[1] == 2560
    assert transformer.config.dim == 3840
    assert encoder.config.vocab_size == 151936
