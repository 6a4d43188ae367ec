"""Decode latents with the VAE, whole or in tiles, and detect black pictures.

May import: torch, core.backends.devices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.backends.devices import DeviceMemory, is_out_of_memory
from core.logs import logger

if TYPE_CHECKING:
    from PIL.Image import Image

LATENT_PX = 8
"""Side of the square of pixels that one latent element decodes to."""
WHOLE_UP_TO_PX = 1024
"""Longest side that is decoded in one piece in bf16, because the VAE's peak memory grows with the area."""
TILES_PX = (1024, 768, 512)
"""Sides of tiles, largest first; the next one is tried after a failed allocation."""
EXACT_TILE_PX = 768
"""Largest tile of a decode in fp32, which takes twice the memory."""
OVERLAP = 0.25
"""Least overlap of neighbours as a share of a tile's side; the overlap is blended linearly."""
BLACK_BELOW = 8
"""A picture whose brightest channel value (0–255) is below this, or that is all one value, is black."""
log = logger()


class Decoder:
    """The VAE of a pipeline. `tiles_px` are sides in pixels, largest first."""

    def __init__(
        self,
        pipeline: Any,
        memory: DeviceMemory,
        *,
        whole_up_to_px: int = WHOLE_UP_TO_PX,
        tiles_px: tuple[int, ...] = TILES_PX,
        exact_tile_px: int = EXACT_TILE_PX,
    ) -> None:
        self.pipeline, self.memory = pipeline, memory
        self.whole_up_to_px, self.tiles_px, self.exact_tile_px = whole_up_to_px, tiles_px, exact_tile_px

    def picture(self, latent: torch.Tensor, *, exact: bool = False) -> Image:
        """Decode one latent `(1, 16, H/8, W/8)` to RGB; `exact` computes in fp32.

        One picture at a time: a batch would multiply the VAE's peak memory. If memory is short, the latent is decoded
        again in smaller tiles; raises `torch.OutOfMemoryError` if the smallest don't fit either.
        """
        vae = self.pipeline.vae
        usual = vae.dtype
        if exact:
            torch.nn.Module.to(vae, torch.float32)  # not diffusers' own, which logs a warning each time
        try:
            pixels = self._pixels(
                latent.to(vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor, exact=exact
            )
        finally:
            if exact:
                torch.nn.Module.to(vae, usual)
        [image] = self.pipeline.image_processor.postprocess(pixels, output_type="pil")
        picture: Image = image
        return picture

    def tile_sides(self, side_px: int, *, exact: bool) -> list[int | None]:
        """Tile sides to try in order, px; None is the whole picture at once."""
        first = self.exact_tile_px if exact else side_px
        tiles: list[int | None] = [tile for tile in self.tiles_px if tile < side_px and tile <= first]
        whole = side_px <= (self.exact_tile_px if exact else self.whole_up_to_px)
        return [None, *tiles] if whole or not tiles else tiles

    def _pixels(self, scaled: torch.Tensor, *, exact: bool) -> torch.Tensor:
        sides = self.tile_sides(LATENT_PX * max(scaled.shape[-2:]), exact=exact)
        for tile, smaller in itertools.pairwise(sides):
            with _failed_allocation_logged(smaller):
                return self._decode(scaled, tile)
            self.memory.reclaim()
        return self._decode(scaled, sides[-1])

    def _decode(self, scaled: torch.Tensor, tile_px: int | None) -> torch.Tensor:
        def decode(latent: torch.Tensor) -> torch.Tensor:
            pixels: torch.Tensor = self.pipeline.vae.decode(latent, return_dict=False)[0]
            return pixels

        return decode(scaled) if tile_px is None else decode_in_tiles(decode, scaled, tile_px // LATENT_PX)


@contextmanager
def _failed_allocation_logged(next_tile_px: int | None) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        log.warning("out of memory in the VAE", next_tile_px=next_tile_px)


def decode_in_tiles(decode: Callable[[torch.Tensor], torch.Tensor], latent: torch.Tensor, tile: int) -> torch.Tensor:
    """Decode `latent` `(1, C, h, w)` in overlapping tiles of `tile` latent elements a side, blended linearly.

    All tiles of a row or column have one size and are evenly spread. diffusers' own tiling
    leaves a remainder of any width at the edge, whose normalisation statistics differ from its neighbour's.
    """
    height, width = latent.shape[-2:]
    canvas = latent.new_zeros(1, 3, height * LATENT_PX, width * LATENT_PX, dtype=torch.float32)
    weights = torch.zeros_like(canvas[:, :1])
    for top, left in itertools.product(tile_starts(height, tile), tile_starts(width, tile)):
        pixels = decode(latent[..., top : top + tile, left : left + tile]).float()
        weight = _weights(pixels.shape[-2:], round(OVERLAP * tile) * LATENT_PX, pixels.device)
        y, x = top * LATENT_PX, left * LATENT_PX
        area = (..., slice(y, y + pixels.shape[-2]), slice(x, x + pixels.shape[-1]))
        canvas[area] += pixels * weight
        weights[area] += weight
    return (canvas / weights).to(latent.dtype)


def tile_starts(length: int, tile: int) -> list[int]:
    """First element of each tile along a side of `length`, evenly spread with an overlap of at least `OVERLAP`."""
    if length <= tile:
        return [0]
    overlap = round(OVERLAP * tile)
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(at * (length - tile) / (count - 1)) for at in range(count)]


def _weights(shape: torch.Size, ramp: int, device: torch.device) -> torch.Tensor:
    """`(H, W)`: 1 inside, falling linearly towards 0 over `ramp` px at each edge."""
    rows, columns = (
        ((torch.minimum(torch.arange(n), torch.arange(n).flip(0)) + 0.5) / ramp).clamp(max=1.0) for n in shape
    )
    return (rows[:, None] * columns[None, :]).to(device)


def is_black(image: Image) -> bool:
    """Whether `image` is near black everywhere, or has one value everywhere, which NaN becomes."""
    low, high = np.asarray(image).min(), np.asarray(image).max()
    return bool(high < BLACK_BELOW or low == high)
