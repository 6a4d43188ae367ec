"""The measured shapes: full ones for a GPU, small ones for shrunk models."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Shapes of one run; each row decodes `decoded_tokens` to measure the time of a step."""

    sides: tuple[int, ...] = (1024, 1280, 1536)
    batches: tuple[int, ...] = (1, 2)
    rows: tuple[int, ...] = (1, 8, 16, 32)
    tokens: tuple[int, ...] = (300, 1500, 5000)
    decoded_tokens: int = 32
    visual_tokens: tuple[int, ...] = (256, 768)
    copy_gib: float = 2.0
    tile_px: int = 512
    compiled: bool = True
    shrink: bool = False


FULL = Plan()
SHRUNK = Plan(
    sides=(64,),
    batches=(1, 2),
    rows=(1, 2),
    tokens=(20,),
    decoded_tokens=2,
    visual_tokens=(16,),
    copy_gib=0.002,
    tile_px=32,
    compiled=False,  # takes minutes on a CPU
    shrink=True,
)
