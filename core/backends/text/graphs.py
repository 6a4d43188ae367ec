"""Replay decode steps as CUDA graphs: all kernels of a step are launched together. Needs no compiler.

A graph has fixed shapes and addresses, so there is one for each pair of a slot count and a length; a step uses the
smallest that fits. Unused slots decode token 0 at position 0, and their result is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

SLOT_COUNTS = (1, 2, 4, 8, 16, 32)
_SHORTEST = 512

Forward: TypeAlias = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""Tokens and positions, one for each slot, and the length → logits `(slots, vocabulary)`."""
Replay: TypeAlias = Callable[[], None]
Capture: TypeAlias = Callable[[Callable[[], torch.Tensor]], tuple[Replay, torch.Tensor]]
"""Records a function; the replay runs it again and writes its result to the same tensor."""


@dataclass(frozen=True, slots=True)
class _Graph:
    inputs: torch.Tensor
    logits: torch.Tensor
    replay: Replay


class DecodeGraphs:
    """The decode steps of `slots` slots of `length` tokens, each recorded by `capture` when it is first needed."""

    def __init__(self, forward: Forward, capture: Capture, *, slots: int, length: int, device: torch.device) -> None:
        self._forward, self._capture, self._device = forward, capture, device
        self._counts = [count for count in SLOT_COUNTS if count < slots] + [slots]
        shorter = [_SHORTEST << power for power in range(16) if _SHORTEST << power < length]
        self._lengths = [*shorter, length]
        self._graphs: dict[tuple[int, int], _Graph] = {}

    def record_all(self) -> None:
        """Record all graphs, largest first, so that the smaller ones reuse its memory pool."""
        for count in reversed(self._counts):
            for length in reversed(self._lengths):
                self.run([0] * count, [length - 1] * count)

    def run(self, tokens: Sequence[int], positions: Sequence[int]) -> torch.Tensor:
        """Logits of the first `len(tokens)` slots; valid until the next run."""
        count = next(count for count in self._counts if count >= len(tokens))
        length = next(length for length in self._lengths if length > max(positions))
        idle = [0] * (count - len(tokens))
        inputs = torch.tensor([[*tokens, *idle], [*positions, *idle]], device=self._device)
        graph = self._graphs.get((count, length))
        if graph is None:
            graph = self._graphs[count, length] = self._record(inputs, length)
        graph.inputs.copy_(inputs)
        graph.replay()
        return graph.logits[: len(tokens)]

    def _record(self, inputs: torch.Tensor, length: int) -> _Graph:
        """Record a step. Recording also runs it, so it needs the real inputs: the slots are in use."""
        inputs = inputs.clone()
        replay, logits = self._capture(lambda: self._forward(inputs[0], inputs[1], length))
        return _Graph(inputs, logits, replay)


def cuda_capture() -> Capture:
    """A `Capture` of CUDA graphs that share one memory pool, because they never run at the same time."""
    pool = torch.cuda.graph_pool_handle()

    def capture(run: Callable[[], torch.Tensor]) -> tuple[Replay, torch.Tensor]:
        # Run once without recording, because libraries choose kernels and reserve workspace at their first call.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits = run()
        return graph.replay, logits

    return capture
