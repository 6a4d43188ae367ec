"""Options that make a loaded Z-Image pipeline faster or smaller.

May import: torch, diffusers, transformers.
"""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from core.backends.image.backend import LoadedImage
from core.backends.norms import fuse_rms_norms
from core.backends.quantization import DynamicLinear, WeightOnlyLinear, check_fp8, quantize_linears
from core.errors import Misconfigured
from core.logs import logger

Quantization = Literal["none", "int8", "fp8"]
log = logger()


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """Options of a pipeline. `encoder`: format of the text encoder's weights; `transformer`: of the DiT's blocks."""

    encoder: Quantization = "none"
    transformer: Quantization = "none"
    channels_last: bool = False
    compiled: bool = False
    fused_norms: bool = True


def apply_options(backend: LoadedImage, options: ImageOptions) -> None:
    """Change `backend`'s models in place. Raises `Misconfigured` if the device or image doesn't support an option."""
    transformer, encoder = backend.pipeline.transformer, backend.prompts.encoder
    if "fp8" in (options.encoder, options.transformer):
        check_fp8(backend.device)
    if options.fused_norms:
        fused = fuse_rms_norms(transformer) + fuse_rms_norms(encoder)
        log.debug("rms norms fused", count=fused)
    if options.encoder != "none":
        quantize_linears(encoder, options.encoder, WeightOnlyLinear)
    if options.transformer != "none":
        quantize_linears(transformer, options.transformer, DynamicLinear, _in_block)
    if options.channels_last:
        backend.pipeline.vae.to(memory_format=torch.channels_last)
    if options.compiled:
        check_compiler()
        transformer.compile_repeated_blocks(fullgraph=True)


def _in_block(name: str) -> bool:
    """Whether a layer is attention or feed-forward of the 30 main blocks: 97 % of the weights. Others stay in bf16."""
    return name.startswith("layers.") and (".attention." in name or ".feed_forward." in name)


def check_compiler() -> None:
    """Raise `Misconfigured` if Triton can't build its launcher, which needs a C compiler and Python's headers."""
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not (shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")) or not headers.is_file():
        raise Misconfigured(
            "ZIMAGE_COMPILE needs a C compiler and Python's headers; build the image with COMPILER=true."
        )
