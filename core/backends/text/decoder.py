"""Continuous batching: rows join between steps, and a row that ends frees its slot at once.

Each step is one forward pass with the newest token of every decoding row, and up to `prefill_tokens` tokens of prompts
that are being prefilled, so a long prompt does not delay other rows and memory has a fixed bound. Slots
`0 … decoding − 1` belong to the decoding rows, the next ones to the rows that are being prefilled.

Each row has its own seed, stop rule and cancel. In fp32, greedy text does not depend on the other rows of the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from core.backends.devices import DeviceMemory, device_errors
from core.backends.text.graphs import DecodeGraphs, cuda_capture
from core.backends.text.prefix_cache import PrefixCache
from core.backends.text.sampling import choose_tokens
from core.backends.text.slots import ATTENTION, SlotCache, Step, StepCache, decode_step, mixed_step, slot_attention
from core.errors import Cancelled, OutOfDeviceMemory, TooLarge

if TYPE_CHECKING:
    from core.backends import Completion, Outcome

SLOT_TOKENS = 2_048
"""Average tokens of a slot; all slots together have this many tokens times their number."""
_STEP_BYTES = 512 * 2**20
"""Memory of a step besides weights and slots, with a reserve: 512 tokens of 7 B parameters take about 70 MiB."""
_REPORTED_EVERY = 4


@dataclass(eq=False, slots=True)
class Row:
    """A running completion. `head` is a prefix shared with other prompts; `filled` counts tokens in the slot."""

    index: int
    request: Completion
    prompt: list[int]
    head: tuple[int, ...]
    generator: torch.Generator
    written: list[int] = field(default_factory=list)
    filled: int = 0

    @property
    def temperature(self) -> float:
        return self.request.temperature

    @property
    def most_tokens(self) -> int:
        return len(self.prompt) + self.request.max_tokens


class RowCallbacks(Protocol):
    """Source of new rows, and receiver of finished ones."""

    def more(self) -> Sequence[Row]: ...

    def cancelled(self, row: Row) -> bool: ...

    def step(self, row: Row, step: int) -> None: ...

    def text_of(self, row: Row) -> str | None:
        """The finished text of a row that has ended."""
        ...

    def finished(self, row: Row, outcome: Outcome[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class _PromptPart:
    """`count` tokens of a row's prompt that one step prefills."""

    row: Row
    count: int

    @property
    def is_last(self) -> bool:
        return self.row.filled + self.count == len(self.row.prompt)


class Decoder:
    """Runs up to `slots` rows at a time on one model; `run` returns when every row has its outcome."""

    def __init__(self, model: Any, *, slots: int, tokens: int, penalty: float) -> None:
        self.model, self.penalty = model, penalty
        self.cache = SlotCache(model.config, slots=slots, tokens=tokens, dtype=model.dtype, device=model.device)
        self.base_length = self.cache.length
        self.memory = DeviceMemory(self.cache.device, _STEP_BYTES)
        self.prefixes = PrefixCache()
        self.rows: list[Row] = []
        self.decoding = 0
        self.waiting: deque[Row] = deque()
        self.prefilling: deque[Row] = deque()
        on_gpu = self.cache.device.type == "cuda"
        self.graphs = self.graphs_by(cuda_capture()) if on_gpu else None
        # On a CPU every token of a step costs time, so prompts are prefilled in smaller parts while rows decode.
        self.prefill_tokens, self.prefill_beside_rows = 512, 512 if on_gpu else 96
        _use_slot_attention(model)

    def graphs_by(self, capture: Any) -> DecodeGraphs:
        return DecodeGraphs(
            self._decode, capture, slots=self.cache.slots, length=self.cache.length, device=self.cache.device
        )

    def run(self, rows: Sequence[Row], callbacks: RowCallbacks) -> None:
        """Run rows until all have an outcome. Raises `DeviceError`; rows without an outcome are then dropped."""
        self.waiting.extend(rows)
        try:
            with torch.inference_mode():
                self._run(callbacks)
        finally:
            self._reset()

    def _run(self, callbacks: RowCallbacks) -> None:
        while True:
            self.waiting.extend(callbacks.more())
            self._drop_cancelled(callbacks)
            self._admit()
            if not self.rows:
                return
            parts = self._next_parts()
            try:
                chosen = self._step(parts)
            except TooLarge:
                self._fail_longest(parts, callbacks)
                continue
            for row, token in chosen:
                row.written.append(token)
                self._report(row, callbacks)

    def _reset(self) -> None:
        self.rows, self.decoding = [], 0
        self.waiting.clear()
        self.prefilling.clear()

    def _admit(self) -> None:
        """Admit waiting rows in order, as far as slots and memory allow."""
        while self.waiting and self._has_room(self.waiting[0]):
            row = self.waiting.popleft()
            self.rows.append(row)
            self.prefilling.append(row)

    def _has_room(self, row: Row) -> bool:
        """Whether the row fits; slots are resized if it needs longer ones."""
        cache, live = self.cache, len(self.rows)
        if not live and cache.length > self.base_length >= row.most_tokens:
            cache.arrange(cache.most_slots, self.base_length)
        if row.most_tokens <= cache.length:
            return live < cache.slots
        length = cache.length
        while length < row.most_tokens:
            length = min(2 * length, cache.tokens)
        slots = cache.tokens // length
        if live >= slots:
            return False
        cache.arrange(slots, length, [one.filled for one in self.rows])
        return True

    def _promote(self, row: Row) -> None:
        """Move a row whose prompt is prefilled to the decoding rows."""
        place = self.rows.index(row)
        if place != self.decoding:
            other = self.rows[self.decoding]
            self.cache.swap(place, self.decoding, max(row.filled, other.filled))
            self.rows[place], self.rows[self.decoding] = other, row
        self.decoding += 1
        self.prefilling.remove(row)

    def _release(self, row: Row) -> None:
        """Free a row's slot; the last rows of both kinds move into the gaps."""
        hole = self.rows.index(row)
        if hole < self.decoding:
            self.decoding -= 1
            self._move(self.decoding, hole)
            hole = self.decoding
        else:
            self.prefilling.remove(row)
        self._move(len(self.rows) - 1, hole)
        self.rows.pop()

    def _move(self, source: int, target: int) -> None:
        if source != target:
            self.cache.move(source, target, self.rows[source].filled)
            self.rows[target] = self.rows[source]

    def _drop_cancelled(self, callbacks: RowCallbacks) -> None:
        cancelled = {id(row) for row in (*self.waiting, *self.rows) if callbacks.cancelled(row)}
        for row in [row for row in (*self.waiting, *self.rows) if id(row) in cancelled]:
            self._finish(row, Cancelled("The job was cancelled."), callbacks)

    def _finish(self, row: Row, outcome: Outcome[str], callbacks: RowCallbacks) -> None:
        if row in self.rows:
            self._release(row)
        else:
            self.waiting.remove(row)
        callbacks.finished(row, outcome)

    def _report(self, row: Row, callbacks: RowCallbacks) -> None:
        text = callbacks.text_of(row)
        if text is not None or len(row.written) % _REPORTED_EVERY == 0:
            callbacks.step(row, len(row.written) if text is None else row.request.max_tokens)
        if text is not None:
            self._finish(row, text, callbacks)

    def _fail_longest(self, parts: Sequence[_PromptPart], callbacks: RowCallbacks) -> None:
        """Fail the longest prompt of a step that ran out of device memory; the other rows are then tried again.

        Raises `OutOfDeviceMemory` if that prompt is short, because then the device is full.
        """
        longest = max((part.row for part in parts), key=lambda row: len(row.prompt), default=None)
        if longest is None or len(longest.prompt) <= self.prefill_tokens:
            raise OutOfDeviceMemory("The device has no memory left to generate text; lower LLM_MAX_BATCH.")
        too_large = f"A text of {len(longest.prompt)} tokens does not fit the device's memory; send a shorter one."
        self._finish(longest, TooLarge(too_large), callbacks)

    def _next_parts(self) -> list[_PromptPart]:
        """Parts of prompts to prefill in this step, oldest first. A row waits for its head if another fills it."""
        room = self.prefill_beside_rows if self.decoding else self.prefill_tokens
        parts: list[_PromptPart] = []
        heads: set[tuple[int, ...]] = set()
        for row in self.prefilling:
            self._take_head(row)
            if room == 0:
                break
            if row.filled < len(row.head):
                if row.head in heads:
                    continue
                heads.add(row.head)
            count = min(room, len(row.prompt) - row.filled)
            parts.append(_PromptPart(row, count))
            room -= count
        return parts

    def _take_head(self, row: Row) -> None:
        if row.filled == 0 and row.head and (known := self.prefixes.get(row.head)) is not None:
            self.cache.write(self.rows.index(row), known)
            row.filled = len(row.head)

    def _step(self, parts: Sequence[_PromptPart]) -> list[tuple[Row, int]]:
        """Run one forward pass; return rows with their new tokens. Raises `TooLarge`, `DeviceError`."""
        decoding = self.rows[: self.decoding]
        with device_errors("writing text", self.memory):
            logits = self._mixed(decoding, parts) if parts else self._decode_rows(decoding)
            read = [part.row for part in parts if part.is_last]
            writing = [*decoding, *read]
            tokens = choose_tokens(logits, writing, self.penalty) if writing else []
        for row in decoding:
            row.filled += 1
        for part in parts:
            part.row.filled += part.count
            self._keep_head(part.row)
        for row in read:
            self._promote(row)
        return list(zip(writing, tokens, strict=True))

    def _keep_head(self, row: Row) -> None:
        if row.head and row.filled >= len(row.head) and row.head not in self.prefixes:
            self.prefixes.put(row.head, self.cache.read(self.rows.index(row), len(row.head)))

    def _decode_rows(self, rows: Sequence[Row]) -> torch.Tensor:
        tokens, positions = [row.written[-1] for row in rows], [row.filled for row in rows]
        if self.graphs is not None and self.cache.length == self.base_length:
            return self.graphs.run(tokens, positions)
        on = self.cache.device
        length = self.cache.rounded(max(positions) + 1)
        return self._decode(torch.tensor(tokens, device=on), torch.tensor(positions, device=on), length)

    def _decode(self, tokens: torch.Tensor, positions: torch.Tensor, length: int) -> torch.Tensor:
        step = decode_step(positions, length, self.model.dtype)
        return self._forward(tokens, step, torch.arange(len(tokens), device=tokens.device))

    def _mixed(self, rows: Sequence[Row], parts: Sequence[_PromptPart]) -> torch.Tensor:
        tokens = [row.written[-1] for row in rows]
        pieces, wanted = [], list(range(len(rows)))
        for part in parts:
            begin = part.row.filled
            tokens += part.row.prompt[begin : begin + part.count]
            pieces.append((self.rows.index(part.row), begin, part.count))
            wanted += [len(tokens) - 1] * part.is_last
        step = mixed_step([row.filled for row in rows], pieces, self.cache, self.model.dtype)
        on = self.cache.device
        return self._forward(torch.tensor(tokens, device=on), step, torch.tensor(wanted, device=on, dtype=torch.long))

    def _forward(self, tokens: torch.Tensor, step: Step, wanted: torch.Tensor) -> torch.Tensor:
        """Logits `(wanted, vocabulary)` of the packed tokens at the positions `wanted`."""
        out = self.model(
            tokens[None],
            position_ids=step.positions[None],
            past_key_values=StepCache(self.cache, step),
            use_cache=True,
            logits_to_keep=wanted,
            step=step,
        )
        logits: torch.Tensor = out.logits[0]
        return logits

    def warm_up(self) -> None:
        """Run each kind of step at its largest, so that memory is reserved and kernels are chosen before the first job.

        Raises `OutOfDeviceMemory` if the largest batch would not fit.
        """
        length = self.cache.length
        with torch.inference_mode(), device_errors("warming up the language model"):
            if self.graphs is not None:
                self.graphs.record_all()
            rows = [length - 1] * (self.cache.slots - 1)
            count = min(self.prefill_beside_rows, length)
            step = mixed_step(rows, [(self.cache.slots - 1, length - count, count)], self.cache, self.model.dtype)
            on = self.cache.device
            tokens = torch.zeros(len(step.positions), dtype=torch.long, device=on)
            logits = self._forward(tokens, step, torch.arange(len(rows) + 1, device=on))
            generator = torch.Generator().manual_seed(0)
            choose_tokens(logits, [_WarmRow(generator)] * len(logits), self.penalty)


@dataclass(frozen=True, slots=True)
class _WarmRow:
    generator: torch.Generator
    temperature: float = 1.0
    written: Sequence[int] = (0,)


def _use_slot_attention(model: Any) -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, slot_attention)
    model.set_attn_implementation(ATTENTION)
