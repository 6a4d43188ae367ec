"""Loading the image model: its size from the files' headers, and the check that it fits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.backends.image import WORKING_BYTES, load_image
from core.backends.image.loading import check_fit, checkpoint_bytes
from core.errors import Misconfigured
from core.weights import Model, fetch


def test_size_from_the_file_headers_equals_that_of_the_loaded_weights() -> None:
    (weights,) = fetch("embedded", [Model.IMAGE])
    backend = load_image(weights, device="cpu")
    models = (backend.pipeline.transformer, backend.pipeline.text_encoder, backend.pipeline.vae)
    loaded = sum(p.numel() * p.element_size() for model in models for p in model.parameters())
    from_headers = checkpoint_bytes(weights.path, 4)
    assert loaded < from_headers < 1.2 * loaded, "all but the encoder's last layer and norm are loaded"


def test_models_are_loaded_in_the_format_and_mode_of_inference() -> None:
    (weights,) = fetch("embedded", [Model.IMAGE])
    backend = load_image(weights, device="cpu")
    for model in (backend.pipeline.transformer, backend.prompts.encoder, backend.pipeline.vae):
        assert not model.training
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("free", "fits"), [(20 * 2**30 + WORKING_BYTES, True), (20 * 2**30, False)])
def test_device_too_small_is_refused_before_anything_is_loaded(
    free: int, *, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def memory(_: Any) -> tuple[int, int]:
        return free, free

    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    if fits:
        check_fit(20 * 2**30, torch.device("cuda"))
        return
    with pytest.raises(Misconfigured, match=r"23\.0 GiB of device memory and 20\.0 GiB are free"):
        check_fit(20 * 2**30, torch.device("cuda"))


def test_memory_check_is_skipped_on_cpu() -> None:
    check_fit(2**60, torch.device("cpu"))
