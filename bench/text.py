"""Measure the language model: sampling, decoding, and the wait of a caption during a long expansion.

    python -m bench.text

It runs the embedded weights on this machine's CPU, in this process. Both sides of a ratio are measured alternately
in one run, so the ratios are valid on a busy machine too; the absolute figures are not.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import torch
import typer
from rich.console import Console
from rich.table import Table

from core.backends.text import LoadedText, load_text, warm_up
from core.backends.text.sampling import choose_tokens, draw_from_all
from core.contracts import CAPTION_TASK, CaptionRequest, ChatMessage, ExpandRequest, ExpandTask
from core.text.budgets import BUDGETS
from core.weights import Model, locate
from core.worker.device import Device
from handlers.llm import LlmInput, LlmOutput, text_device

VOCABULARY = 152_064
"""Vocabulary of Qwen2.5."""
LONG = replace(BUDGETS["embedded"], expansion_tokens=200)
"""An expansion must still run when the caption that arrived during it ends."""
PICTURE = "A night market by a canal, two adults with paper lanterns, warm light on the water, seen from a bridge."


@dataclass
class SampledRow:
    temperature: float = 0.7
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    written: list[int] = field(default_factory=lambda: list(range(0, 4_000, 40)))


@dataclass(frozen=True)
class Figure:
    what: str
    value: float
    unit: str
    note: str = ""


def _ms(call: Callable[[], object], rounds: int) -> float:
    call()
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return 1000 * statistics.median(took)


def sampling(rows: int = 8, rounds: int = 12) -> list[Figure]:
    """Sampling time per row of a step: sorting the whole row, and using the candidates of all rows."""
    logits = 2 * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(0))
    logits[:, :40] += 20 - 0.25 * torch.arange(40)  # a language model's nucleus has tens of tokens, not thousands
    sampled = [SampledRow() for _ in range(rows)]

    def whole_rows() -> None:
        for scores in logits:
            scaled = scores / 0.7
            draw_from_all(scaled, scaled.logsumexp(-1), 0.5)

    whole = _ms(whole_rows, rounds) / rows
    candidates = _ms(lambda: choose_tokens(logits, sampled, 1.05), rounds) / rows
    return [
        Figure("sampling a row, all of it sorted", whole, "ms"),
        Figure("sampling a row by its candidates", candidates, "ms", f"{whole / candidates:.1f} × less"),
    ]


def _caption() -> CaptionRequest:
    return CaptionRequest(task=CAPTION_TASK, prompt=PICTURE)


def _expansion() -> ExpandRequest:
    chat = (ChatMessage(role="user", content="a train crossing a bridge over a river in autumn"),)
    return ExpandRequest(task=ExpandTask.SCENES, messages=chat, seed=0)


async def _seconds(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def waiting(device: Device[LlmInput, LlmOutput], rounds: int = 5) -> list[Figure]:
    """A caption alone, and one that arrives in the middle of an expansion."""
    alone, beside, ended_first = [], [], 0
    expansion_s = await _seconds(device.run(_expansion()))
    for _ in range(rounds):
        alone.append(await _seconds(device.run(_caption())))
        running = asyncio.create_task(device.run(_expansion()))
        await asyncio.sleep(expansion_s / 4)
        beside.append(await _seconds(device.run(_caption())))
        ended_first += not running.done()
        await running
    ratio = statistics.median(beside) / statistics.median(alone)
    return [
        Figure("an expansion alone", expansion_s, "s"),
        Figure("a caption alone", statistics.median(alone), "s"),
        Figure("a caption in the middle of an expansion", statistics.median(beside), "s", f"{ratio:.2f} × alone"),
        Figure("answered before the expansion", ended_first, f"of {rounds}"),
    ]


async def throughput(device: Device[LlmInput, LlmOutput]) -> list[Figure]:
    """Captions a second with callers that each wait for their answer."""

    async def caller(count: int) -> None:
        for _ in range(count):
            await device.run(_caption())

    figures = []
    for callers in (1, 8):
        seconds = await _seconds(asyncio.gather(*(caller(4) for _ in range(callers))))
        figures.append(Figure(f"captions, {callers} at a time", 4 * callers / seconds, "a second"))
    return figures


async def _all(backend: LoadedText) -> list[Figure]:
    device = text_device(backend, LONG, max_batch=8, window_s=0.01)
    await device.run(_caption())
    figures = await waiting(device) + await throughput(device)
    device.close()
    return figures


def main() -> None:
    """Measure, and print one table."""
    backend = load_text(locate("embedded", Model.TEXT), device="cpu")
    warm_up(backend)
    table = Table("what", "value", "", "", title="the language model on this CPU")
    for figure in [*sampling(), *asyncio.run(_all(backend))]:
        table.add_row(figure.what, f"{figure.value:.2f}", figure.unit, figure.note)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
