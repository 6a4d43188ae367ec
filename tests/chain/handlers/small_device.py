"""The real zimage worker on embedded weights, on a device that runs out of memory above 128 x 128 px.

The limit applies after the warm-up; during the warm-up it would lower the largest side that is offered.
"""

from __future__ import annotations

from typing import Any

import torch

import core.backends.image
from core.backends.image import LoadedImage
from core.worker.entry import main
from handlers import zimage

LATENTS = (128 // 8) ** 2


def _limited(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
    if sum(latent[0].numel() for latent in args[0]) > LATENTS:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _warm_up_then_limit(backend: LoadedImage) -> None:
    backend.pipeline.transformer.register_forward_pre_hook(_limited)


if __name__ == "__main__":
    core.backends.image.warm_up = _warm_up_then_limit
    main(zimage.worker)
