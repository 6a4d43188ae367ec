"""Fused RMSNorm: which norms are replaced, and their numerical error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.normalization import RMSNorm
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from core.backends.image import load_image
from core.backends.image.options import ImageOptions
from core.backends.norms import fuse_rms_norms
from core.weights import Model, fetch

WIDTH = 3840


def with_random_weight(norm: Any) -> Any:
    with torch.no_grad():
        norm.weight.copy_(1 + 0.3 * torch.randn(norm.weight.shape, generator=torch.Generator().manual_seed(3)))
    return norm.to(torch.bfloat16)


def exact(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    wide = x.double()
    return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps) * weight.double()


@pytest.mark.parametrize("make", [lambda: RMSNorm(WIDTH, 1e-5), lambda: Qwen3RMSNorm(WIDTH, 1e-6)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_fused_norm_is_at_least_as_exact_as_the_librarys(make: Any, scale: float) -> None:
    norm = with_random_weight(make())
    eps = getattr(norm, "eps", None) or norm.variance_epsilon
    x = (scale * torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(1))).to(torch.bfloat16)
    with torch.inference_mode():
        before = norm(x)
        model = torch.nn.Sequential(norm)
        assert fuse_rms_norms(model) == 1
        after = model(x)
    truth = exact(x, norm.weight, eps)
    assert after.dtype is torch.bfloat16
    assert (after.double() - truth).abs().mean() <= (before.double() - truth).abs().mean()
    assert (after.double() - truth).abs().max() <= (before.double() - truth).abs().max()


def test_weights_keep_their_names_and_memory() -> None:
    model = torch.nn.ModuleDict({"a": Qwen2RMSNorm(8), "b": torch.nn.Sequential(RMSNorm(8, 1e-5))})
    weights = {name: value.data_ptr() for name, value in model.state_dict().items()}
    assert fuse_rms_norms(model) == 2
    assert {name: value.data_ptr() for name, value in model.state_dict().items()} == weights


def test_norms_with_another_formula_are_not_replaced() -> None:
    model = torch.nn.Sequential(
        GemmaRMSNorm(8), RMSNorm(8, 1e-5, bias=True), RMSNorm(8, 1e-5, elementwise_affine=False)
    )
    assert fuse_rms_norms(model) == 0


def test_loaded_image_model_has_only_fused_norms() -> None:
    (weights,) = fetch("embedded", [Model.IMAGE])
    plain = load_image(weights, device="cpu", options=ImageOptions(fused_norms=False))
    fused = load_image(weights, device="cpu")
    for backend, kind, count in ((plain, torch.nn.RMSNorm, 0), (fused, RMSNorm, 0), (fused, Qwen3RMSNorm, 0)):
        models = (backend.pipeline.transformer, backend.prompts.encoder)
        assert sum(isinstance(module, kind) for model in models for module in model.modules()) == count
