"""Replace the libraries' RMSNorms, which read and write the activations several times, by one fused kernel.

May import: torch, diffusers, transformers.
"""

from __future__ import annotations

import sys

import torch

_KINDS = (
    ("diffusers.models.normalization", "RMSNorm", "eps"),
    ("transformers.models.qwen2.modeling_qwen2", "Qwen2RMSNorm", "variance_epsilon"),
    ("transformers.models.qwen2_vl.modeling_qwen2_vl", "Qwen2RMSNorm", "variance_epsilon"),
    ("transformers.models.qwen3.modeling_qwen3", "Qwen3RMSNorm", "variance_epsilon"),
)
"""Module, class and attribute of epsilon of the norms that compute `weight · x / rms(x)` and nothing else."""


def fuse_rms_norms(model: torch.nn.Module) -> int:
    """Replace each known RMSNorm in `model` by `torch.nn.RMSNorm` with the same weight; return how many.

    Parameters keep their names. torch rounds once and the libraries after each operation, so results are closer to
    fp32.
    """
    replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if (eps := _epsilon(child)) is not None:
                setattr(parent, name, _fused(child, eps))
                replaced += 1
    return replaced


def _epsilon(module: torch.nn.Module) -> float | None:
    for where, name, attribute in _KINDS:
        kind = getattr(sys.modules.get(where), name, None)
        if kind is not None and type(module) is kind:
            plain = module.weight is not None and getattr(module, "bias", None) is None
            return float(getattr(module, attribute)) if plain else None
    return None


def _fused(norm: torch.nn.Module, eps: float) -> torch.nn.RMSNorm:
    weight = norm.weight
    assert isinstance(weight, torch.nn.Parameter)
    fused = torch.nn.RMSNorm(weight.shape, eps=eps, device="meta", dtype=weight.dtype)
    fused.weight = weight
    return fused.train(norm.training)
