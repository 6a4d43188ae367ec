"""8-bit linear layers: their distance to bf16, their memory, and which layers they replace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.backends import GeneratedImage, ImageRequest, NoCallbacks
from core.backends.image import ImageOptions, load_image
from core.backends.quantization import DynamicLinear, Format, WeightOnlyLinear, quantize_linears, quantize_rows
from core.errors import Misconfigured
from core.weights import Model, fetch

INSIDE, OUTSIDE = 2560, 1024
RELATIVE_ERROR = {"int8": 0.012, "fp8": 0.03}
"""Of normally distributed weights, by format; bf16 itself is at 0.0017."""


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(*, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(INSIDE, OUTSIDE, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(0.02 * normal(OUTSIDE, INSIDE, seed=1))
    return layer.to(torch.bfloat16)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


@pytest.mark.parametrize("form", ["int8", "fp8"])
@pytest.mark.parametrize("bias", [False, True])
def test_weight_only_layer_is_near_to_bf16(form: Format, *, bias: bool) -> None:
    plain = linear(bias=bias)
    x = normal(40, INSIDE, seed=2).to(torch.bfloat16)
    model = nn.Sequential(plain)
    with torch.inference_mode():
        wanted = plain(x)
        assert quantize_linears(model, form, WeightOnlyLinear) == 1
        found = model(x)
    assert found.dtype is torch.bfloat16
    assert relative_error(found, wanted) < RELATIVE_ERROR[form]


@pytest.mark.parametrize("form", ["int8", "fp8"])
@pytest.mark.parametrize("rows", [1, 17, 40])
def test_dynamic_layer_is_near_to_bf16(form: Format, rows: int) -> None:
    plain = linear(bias=True)
    x = normal(2, rows, INSIDE, seed=2).to(torch.bfloat16)
    x[0, 0] *= 100  # a token with much larger values has its own scale
    model = nn.Sequential(plain)
    with torch.inference_mode():
        wanted = plain(x)
        quantize_linears(model, form, DynamicLinear)
        found = model(x)
    assert found.shape == wanted.shape
    for token in ((0, 0), (1, rows - 1)):
        assert relative_error(found[token], wanted[token]) < 2 * RELATIVE_ERROR[form]


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantized_rows_keep_their_largest_value_and_zeros(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.0, 0.5, -2.0], [0.0, 0.0, 0.0]])
    quantized, scale = quantize_rows(x, dtype)
    back = quantized.float() * scale
    assert back[0, 2] == pytest.approx(-2.0)
    assert back[1].tolist() == [0, 0, 0]
    assert not torch.isnan(back).any()


def test_weights_take_half_the_memory() -> None:
    layer = WeightOnlyLinear(linear(), torch.int8)
    plain = linear()
    size = sum(buffer.numel() * buffer.element_size() for buffer in layer.buffers())
    assert size < 0.51 * plain.weight.numel() * plain.weight.element_size()


def test_odd_sides_and_unselected_layers_are_not_quantized() -> None:
    model = nn.ModuleDict({"odd": nn.Linear(30, 16), "kept": nn.Linear(32, 16), "taken": nn.Linear(32, 16)})
    assert quantize_linears(model, "int8", WeightOnlyLinear, lambda name: not name.endswith("kept")) == 1
    assert isinstance(model["taken"], WeightOnlyLinear)


@pytest.mark.parametrize("form", ["int8", "fp8"])
def test_quantised_image_model_generates_a_similar_picture(form: Format) -> None:
    (weights,) = fetch("embedded", [Model.IMAGE])
    request = ImageRequest("A young woman with red hair by the sea.", 5, 128, 128)
    options = [ImageOptions(), ImageOptions(encoder=form), ImageOptions(transformer=form, channels_last=True)]
    pictures = []
    for chosen in options:
        (outcome,) = load_image(weights, device="cpu", options=chosen).generate([request], NoCallbacks())
        assert isinstance(outcome, GeneratedImage)
        pictures.append(torch.frombuffer(bytearray(outcome.image.tobytes()), dtype=torch.uint8).float())
    for quantised in pictures[1:]:
        assert 0 < (quantised - pictures[0]).abs().mean() < 12


def test_compiling_without_a_compiler_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (weights,) = fetch("embedded", [Model.IMAGE])
    with pytest.raises(Misconfigured, match="COMPILER=true"):
        load_image(weights, device="cpu", options=ImageOptions(compiled=True))
