"""Load weights from disk as a warmed-up `LoadedImage`.

May import: torch, diffusers, transformers, safetensors, core.backends, core.errors, core.weights.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.backends import GeneratedImage, ImageRequest, NoCallbacks, Outcome
from core.backends.devices import choose_device, device_errors, without_progress_bars
from core.backends.image.backend import WORKING_BYTES, LoadedImage
from core.backends.image.decoding import LATENT_PX
from core.backends.image.options import ImageOptions, apply_options
from core.backends.image.prompts import MAX_PROMPT_TOKENS
from core.errors import BlackPicture, ImgPodError, Misconfigured, TooLarge
from core.logs import logger

if TYPE_CHECKING:
    from core.weights import Located

_SIDE_STEP = 256
"""Step in px by which the largest supported side is lowered while it doesn't fit."""
log = logger()


def load_image(located: Located, *, device: str | None = None, options: ImageOptions | None = None) -> LoadedImage:
    """Load the image model to the device, in bf16 on a GPU (fp16 would overflow) and in fp32 on a CPU.

    Raises `Misconfigured` if the device doesn't exist or can't hold the model.
    """
    on = choose_device(device)
    dtype = torch.bfloat16 if on.type == "cuda" else torch.float32
    check_fit(checkpoint_bytes(located.path, dtype.itemsize), on)
    with device_errors("loading the image model"):
        backend = LoadedImage(located, _pipeline(located.path, on, dtype), on)
        apply_options(backend, options or ImageOptions())
    return backend


def _pipeline(path: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The pipeline with its three models placed as they are read, without a copy in host memory."""
    from diffusers import AutoencoderKL, ZImagePipeline, ZImageTransformer2DModel
    from diffusers.utils import logging as diffusers_logging
    from transformers import AutoModel

    without_progress_bars()
    diffusers_logging.disable_progress_bar()
    placed = {"dtype": dtype, "device_map": {"": device}, "local_files_only": True}
    pipeline = ZImagePipeline.from_pretrained(
        path,
        local_files_only=True,
        text_encoder=AutoModel.from_pretrained(path / "text_encoder", **placed).eval(),
        transformer=ZImageTransformer2DModel.from_pretrained(path / "transformer", **placed).eval(),
        vae=AutoencoderKL.from_pretrained(path / "vae", **placed).eval(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def checkpoint_bytes(path: Path, bytes_each: int) -> int:
    """Size of all weights below `path` once loaded, computed from the files' headers."""
    from safetensors import safe_open

    elements = 0
    for shard in sorted(path.rglob("*.safetensors")):
        with safe_open(shard, framework="pt") as opened:
            elements += sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118  (not a dict)
    return elements * bytes_each


def check_fit(weights: int, device: torch.device) -> None:
    """Raise `Misconfigured` if there is no memory for `weights` and `WORKING_BYTES`, enough for the largest side."""
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    if weights + WORKING_BYTES > free:
        raise Misconfigured(
            f"The image model needs {(weights + WORKING_BYTES) / 2**30:.1f} GiB of device memory and "
            f"{free / 2**30:.1f} GiB are free; use a GPU of 24 GB or more with nothing else on it."
        )


def warm_up(backend: LoadedImage) -> None:
    """Run one whole picture of the default side, then the largest shapes with the longest prompt.

    The first job then needs no compilation or allocation. The largest side is lowered until it fits, and becomes the
    worker's limit. Raises `Misconfigured` if the default side doesn't fit.
    """
    side = backend.default_side
    _raise_failure(backend, backend.generate([ImageRequest("A plain portrait.", 0, side, side)], NoCallbacks()))
    low, high = backend.sides
    while not _fits(backend, high):
        if high <= side:
            raise _too_small(high)
        high = max(high - _SIDE_STEP, side)
        backend.sides = (low, high)
        log.warning("largest side lowered", largest_side=high)


def _fits(backend: LoadedImage, side: int) -> bool:
    """Whether one step, a decode and a decode in fp32 of a picture of `side` px fit into the device's memory."""
    longest = ImageRequest("portrait " * MAX_PROMPT_TOKENS, 0, side, side)
    channels = backend.pipeline.transformer.config.in_channels
    noise = torch.zeros(1, channels, side // LATENT_PX, side // LATENT_PX, device=backend.device)
    try:
        _raise_failure(backend, backend.generate([longest], NoCallbacks(), steps=1))
        with device_errors("decoding a picture", backend.memory), torch.inference_mode():
            backend.decoder.picture(noise, exact=True)
    except (TooLarge, Misconfigured):
        return False
    return True


def _raise_failure(backend: LoadedImage, outcomes: list[Outcome[GeneratedImage]]) -> None:
    """Raise the first failure. Black pictures are accepted, because one step or random weights may give one."""
    for outcome in outcomes:
        if isinstance(outcome, TooLarge):
            raise _too_small(backend.default_side)
        if isinstance(outcome, ImgPodError) and not isinstance(outcome, BlackPicture):
            raise outcome


def _too_small(side: int) -> Misconfigured:
    return Misconfigured(f"A picture of {side} px doesn't fit into the device's memory; use a larger GPU.")
