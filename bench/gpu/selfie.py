"""Qwen2-VL-7B: time to read all attributes of one picture, by number of visual tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from PIL import Image

from bench.gpu import configs
from bench.gpu.measure import Meter, Row, released
from bench.gpu.plan import Plan
from core.backends.vision import AttributeReader, limit_visual_tokens
from core.weights import Model, locate

Load = Callable[[], AttributeReader]
_PATCH_PX = 14
_PICTURE_PX = 900


def random_reader(device: torch.device, *, shrink: bool) -> AttributeReader:
    """The product's vision model with the full configuration with random weights."""
    from transformers import Qwen2VLProcessor

    torch.manual_seed(0)
    with configs.built_in(configs.dtype_on(device), device):
        model = configs.vision_model(shrink=shrink).eval()
    processor = Qwen2VLProcessor.from_pretrained(locate("embedded", Model.VISION).path)
    processor.image_processor.patch_size = _PATCH_PX
    return AttributeReader(model, processor)


def rows(load: Load, meter: Meter, plan: Plan) -> Iterator[Row]:
    picture = Image.effect_noise((_PICTURE_PX, _PICTURE_PX), 60).convert("RGB")
    with released(meter):
        reader = load()
        yield Row("selfie", "weights loaded", meter.allocated())
        for tokens in plan.visual_tokens:
            limit_visual_tokens(reader.processor, (tokens, tokens))
            yield meter.row("selfie", f"features, {tokens} visual tokens", lambda: reader.shares(picture))
