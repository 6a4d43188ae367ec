"""Quantize linear layers to 8 bits: weights only, or weights and activations. Needs no compiler or library but torch.

`int8` is symmetric, `fp8` is e4m3fn; both have one scale for each output feature. Both formats are exact in bf16, so
that weights need only a cast and the scale is applied to the output.

May import: torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import Misconfigured

Format = Literal["int8", "fp8"]
_DTYPES: dict[str, torch.dtype] = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
_LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
_SMALLEST_SCALE = 1e-12
_MULTIPLE = 16
"""The 8-bit matrix kernels need sides that are multiples of this."""
_ROWS_AT_LEAST = 17
"""Least number of rows for `torch._int_mm` on CUDA."""


def quantize_rows(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """`(q, scale)` with `x ≈ q · scale`, one scale in fp32 for each row of the last dimension."""
    largest = _LARGEST[dtype]
    scale = (x.abs().amax(-1, keepdim=True).float() / largest).clamp(min=_SMALLEST_SCALE)
    scaled = (x / scale).clamp(-largest, largest)
    return (scaled.round() if dtype is torch.int8 else scaled).to(dtype), scale


class _QuantizedLinear(nn.Module):
    """A linear layer whose weight `(out, in)` is 8 bits wide."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = quantize_rows(linear.weight.detach(), dtype)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.squeeze(-1))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def _finished(self, product: Tensor, dtype: torch.dtype) -> Tensor:
        out = (product * self.scale).to(dtype)
        return out if self.bias is None else out + self.bias


class WeightOnlyLinear(_QuantizedLinear):
    """A linear layer with 8-bit weights, half the memory of bf16; no faster, as it multiplies in bf16."""

    def forward(self, x: Tensor) -> Tensor:
        return self._finished(nn.functional.linear(x, self.weight.to(x.dtype)), x.dtype)


class DynamicLinear(_QuantizedLinear):
    """A W8A8 linear layer: activations are quantized per token at each call, and multiplied by 8-bit kernels."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features)
        padding = max(_ROWS_AT_LEAST, -(-len(rows) // _MULTIPLE) * _MULTIPLE) - len(rows)
        quantized, scale = quantize_rows(nn.functional.pad(rows, (0, 0, 0, padding)), self.weight.dtype)
        product = self._multiply(quantized)
        out = self._finished(product * scale, x.dtype)[: len(rows)]
        return out.reshape(*x.shape[:-1], self.out_features)

    def _multiply(self, rows: Tensor) -> Tensor:
        if self.weight.dtype is torch.int8:
            return torch._int_mm(rows, self.weight.t())  # noqa: SLF001  (torch has no public name for it)
        one = torch.ones((), device=rows.device)
        product: Tensor = torch._scaled_mm(  # noqa: SLF001  (as above)
            rows, self.weight.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16
        )
        return product


def quantize_linears(
    model: nn.Module, form: Format, kind: type[_QuantizedLinear], wanted: Callable[[str], bool] = lambda _: True
) -> int:
    """Replace each `nn.Linear` whose full name is `wanted`, one at a time; return how many.

    Layers whose sides are not multiples of 16 are not replaced.
    """
    replaced = 0
    for path, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and wanted(f"{path}.{name}") and _divides(child):
                setattr(parent, name, kind(child, _DTYPES[form]))
                replaced += 1
    return replaced


def _divides(linear: nn.Linear) -> bool:
    return linear.in_features % _MULTIPLE == 0 and linear.out_features % _MULTIPLE == 0


def check_fp8(device: torch.device) -> None:
    """Raise `Misconfigured` if `device` has no fp8 matrix kernels (compute capability below 8.9)."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        raise Misconfigured("fp8 needs a GPU of compute capability 8.9 or more (Ada, Hopper); use int8 or none.")
