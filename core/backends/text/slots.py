"""Fixed memory for the keys and values of many rows, and attention over it.

One forward pass has tokens of several rows, packed into one sequence: one token of each decoding row, and a piece of
the prompt of each row that is being prefilled. Linear layers get `(1, tokens, width)`; attention maps each row's tokens
to its own slot. Position in the slot and position in the text are the same number, so there is no padding.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

ATTENTION = "img_pod_slots"
"""Name of `slot_attention` in transformers' registry; without a mask function there, transformers builds no mask."""
_STEP = 64
"""Attention uses the slots up to a multiple of this, so that few different shapes occur."""

KeyValues = list[tuple[torch.Tensor, torch.Tensor]]
"""Per layer, `(heads, tokens, head size)` each."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one prompt: `count` of them from position `start`, in the packed sequence from `offset`."""

    slot: int
    start: int
    count: int
    offset: int
    mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """Rows of the tokens in a packed sequence: one token for each of the slots below `decoding`, then pieces."""

    slots: torch.Tensor
    positions: torch.Tensor
    decoding: int
    length: int
    mask: torch.Tensor
    pieces: Sequence[Piece] = ()


def decode_step(positions: torch.Tensor, length: int, dtype: torch.dtype) -> Step:
    """A step that only decodes; slot `n` is at `positions[n]` and sees at most `length` keys."""
    keys = torch.arange(length, device=positions.device)
    mask = _additive(keys <= positions[:, None], dtype)[:, None, None]
    slots = torch.arange(len(positions), device=positions.device)
    return Step(slots, positions, len(positions), length, mask)


def mixed_step(
    decoding: Sequence[int], pieces: Sequence[tuple[int, int, int]], cache: SlotCache, dtype: torch.dtype
) -> Step:
    """A step of rows that decode at the given positions, and pieces `(slot, start, count)` of prompts."""
    slots, positions = list(range(len(decoding))), list(decoding)
    packed = []
    for slot, start, count in pieces:
        mask = _causal(start, count, cache, dtype)
        packed.append(Piece(slot, start, count, len(slots), mask))
        slots += [slot] * count
        positions += range(start, start + count)
    at = torch.tensor(positions, device=cache.device)
    length = cache.rounded(max(decoding, default=0) + 1)
    rows = decode_step(at[: len(decoding)], length, dtype)
    return Step(torch.tensor(slots, device=cache.device), at, len(decoding), length, rows.mask, packed)


def _causal(start: int, count: int, cache: SlotCache, dtype: torch.dtype) -> torch.Tensor:
    """`(1, 1, groups × count, start + count)`: the query heads that share a key head are adjacent."""
    keys = torch.arange(start + count, device=cache.device)
    seen = keys <= torch.arange(start, start + count, device=cache.device)[:, None]
    return _additive(seen, dtype).repeat(cache.groups, 1)[None, None]


def _additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))


def _zeros(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A zero-filled buffer. The value of a masked key is multiplied by 0, and 0 × NaN is NaN.

    On a CPU memory is committed at the first write, and most slots are never full.
    """
    if device.type == "cpu":
        pages = mmap.mmap(-1, size * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return torch.frombuffer(pages, dtype=dtype)
    return torch.zeros(size, dtype=dtype, device=device)


class SlotCache:
    """Keys and values of all layers in two buffers a layer, seen as `slots` rows of `length` tokens.

    `arrange` divides the same memory into another number of rows. `tokens` bounds slots × length.
    """

    def __init__(self, config: Any, *, slots: int, tokens: int, dtype: torch.dtype, device: torch.device) -> None:
        self.device, self.tokens, self.most_slots = device, tokens, slots
        heads = config.num_attention_heads
        self.heads: int = getattr(config, "num_key_value_heads", None) or heads
        self.groups = heads // self.heads
        self.head_size: int = getattr(config, "head_dim", None) or config.hidden_size // heads
        size = tokens * self.heads * self.head_size
        layers = range(config.num_hidden_layers)
        self._buffers = [tuple(_zeros(size, dtype, device) for _ in range(2)) for _ in layers]
        self.arrange(slots, tokens // slots)

    def arrange(self, slots: int, length: int, kept: Sequence[int] = ()) -> None:
        """Resize the slots. Slot `n` keeps its first `kept[n]` tokens."""
        saved = [self.read(slot, count) for slot, count in enumerate(kept)]
        self.slots, self.length = slots, length
        shape = (slots, self.heads, length, self.head_size)
        used = slots * self.heads * length * self.head_size
        self.layers = [tuple(buffer[:used].view(shape) for buffer in layer) for layer in self._buffers]
        for slot, values in enumerate(saved):
            self.write(slot, values)

    def rounded(self, length: int) -> int:
        return min(self.length, -(-length // _STEP) * _STEP)

    def read(self, slot: int, count: int) -> KeyValues:
        """A copy of the first `count` tokens of a slot."""
        return [(keys[slot, :, :count].clone(), values[slot, :, :count].clone()) for keys, values in self.layers]

    def write(self, slot: int, known: KeyValues) -> None:
        """Begin a slot with keys and values computed before."""
        for (keys, values), (known_keys, known_values) in zip(self.layers, known, strict=True):
            keys[slot, :, : known_keys.shape[1]] = known_keys
            values[slot, :, : known_values.shape[1]] = known_values

    def move(self, source: int, target: int, count: int) -> None:
        for layer in self.layers:
            for part in layer:
                part[target, :, :count] = part[source, :, :count]

    def swap(self, a: int, b: int, count: int) -> None:
        for layer in self.layers:
            for part in layer:
                kept = part[a, :, :count].clone()
                part[a, :, :count] = part[b, :, :count]
                part[b, :, :count] = kept


class StepCache:
    """A `SlotCache` with the interface of transformers' caches, for one `Step`."""

    is_compileable = False

    def __init__(self, cache: SlotCache, step: Step) -> None:
        self.cache, self.step = cache, step

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store `(1, heads, tokens, head size)` in the tokens' slots; return the whole layer for attention."""
        all_keys, all_values = self.cache.layers[layer]
        all_keys[self.step.slots, :, self.step.positions] = keys[0].transpose(0, 1)
        all_values[self.step.slots, :, self.step.positions] = values[0].transpose(0, 1)
        return all_keys, all_values


def slot_attention(
    module: torch.nn.Module,
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    step: Step,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention of packed tokens over their slots: `(1, heads, tokens, size)` → `(1, tokens, heads, size)`.

    Query heads that share a key head are treated as several queries of it, so keys and values are not repeated.
    """
    del module, attention_mask
    heads, size = keys.shape[1], queries.shape[-1]
    packed = queries[0]
    parts = []
    if rows := step.decoding:
        grouped = packed[:, :rows].transpose(0, 1).reshape(rows, heads, -1, size)
        past_keys, past_values = keys[:rows, :, : step.length], values[:rows, :, : step.length]
        answer = scaled_dot_product_attention(grouped, past_keys, past_values, attn_mask=step.mask, scale=scaling)
        parts.append(answer.reshape(rows, -1))
    for piece in step.pieces:
        grouped = packed[:, piece.offset : piece.offset + piece.count].reshape(1, heads, -1, size)
        row, until = slice(piece.slot, piece.slot + 1), piece.start + piece.count
        past_keys, past_values = keys[row, :, :until], values[row, :, :until]
        answer = scaled_dot_product_attention(grouped, past_keys, past_values, attn_mask=piece.mask, scale=scaling)
        parts.append(answer.reshape(-1, piece.count, size).transpose(0, 1).reshape(piece.count, -1))
    return torch.cat(parts).view(1, -1, len(packed), size), None
