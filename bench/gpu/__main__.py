"""Measure memory and times of the full models on this machine's device.

    python -m bench.gpu --random                    # the full configurations with random weights: no downloads
    python -m bench.gpu --weights /weights          # the real weights, fetched before
    python -m bench.gpu --random --fit 24           # limit memory to that of a 24 GB card
    python -m bench.gpu --random --shrink           # tiny models on a CPU: test of the benchmark itself
    python -m bench.gpu --meta                      # memory computed without a device: the tables of docs/models.md

A measurement that runs out of memory is a row of the table. Prints one table; `--json FILE` writes one document, after
every row, so that a run that is cut off leaves what it measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from bench.gpu import llm, loading, memory, report, selfie, zimage
from bench.gpu.measure import Meter, Row, cap_memory
from bench.gpu.plan import FULL, SHRUNK, Plan
from core.backends.devices import choose_device
from core.backends.image import load_image
from core.backends.text import load_text
from core.backends.vision import load_vision
from core.weights import Model, locate

PARTS = ("load", "zimage", "llm", "selfie")


def run(meter: Meter, plan: Plan, weights: Path | None, parts: tuple[str, ...]) -> Iterator[Row]:
    """Rows of `parts` in their order; models of `weights`, else random ones."""
    if "load" in parts:
        yield from loading.rows(meter, plan, weights)
    if "zimage" in parts:
        yield from zimage.rows(_image(meter.device, plan, weights), meter, plan)
    if "llm" in parts:
        yield from llm.rows(_text(meter.device, plan, weights), meter, plan)
    if "selfie" in parts:
        yield from selfie.rows(_reader(meter.device, plan, weights), meter, plan)


def _image(device: torch.device, plan: Plan, weights: Path | None) -> zimage.Load:
    if weights is None:
        return partial(zimage.random_backend, device=device, shrink=plan.shrink)
    located = locate("full", Model.IMAGE, weights)
    return lambda options: load_image(located, device=str(device), options=options)


def _text(device: torch.device, plan: Plan, weights: Path | None) -> llm.Load:
    if weights is None:
        return partial(llm.random_backend, device=device, shrink=plan.shrink)
    located = locate("full", Model.TEXT, weights)
    return lambda max_batch: load_text(located, device=str(device), max_batch=max_batch)


def _reader(device: torch.device, plan: Plan, weights: Path | None) -> selfie.Load:
    if weights is None:
        return partial(selfie.random_reader, device, shrink=plan.shrink)
    seeing, face = (locate("full", model, weights) for model in (Model.VISION, Model.FACE))
    return lambda: load_vision(seeing, face, device=str(device)).reader


def main(  # noqa: PLR0913  (each argument is an option of the command line)
    *,
    random: Annotated[bool, typer.Option("--random", help="Random weights in the full configurations.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Folder with the fetched `full` weights.")] = None,
    shrink: Annotated[bool, typer.Option("--shrink", help="Tiny configurations and shapes.")] = False,
    meta: Annotated[bool, typer.Option("--meta", help="Compute memory without a device.")] = False,
    only: Annotated[str, typer.Option(help="Parts, comma-separated.")] = ",".join(PARTS),
    fit: Annotated[float | None, typer.Option(help="Limit memory to that of a card with this many GB.")] = None,
    device: Annotated[str | None, typer.Option(help="A torch device.")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="JSON file to write.")] = None,
) -> None:
    """Measure memory and times of the three models."""
    console = Console()
    if meta:
        console.print(memory.tables(), markup=False, soft_wrap=True)
        return
    if not random and weights is None:
        raise typer.BadParameter("choose --random, --weights FOLDER or --meta")
    parts = _parts(only)
    on = choose_device(device)
    if fit is not None and on.type != "cuda":
        raise typer.BadParameter("--fit limits the memory of a CUDA device, and this run has none")
    cap = None if fit is None else cap_memory(on, fit)
    meter = Meter(on, 0, 1) if shrink else Meter(on)
    facts = report.facts(on, cap_gib=cap, weights="random" if weights is None else str(weights))
    rows: list[Row] = []
    _write(out, facts, rows)
    try:
        for row in run(meter, SHRUNK if shrink else FULL, weights, parts):
            console.print(f"{row.part}: {row.what}", style="dim", markup=False)
            rows.append(row)
            _write(out, facts, rows)
    finally:  # also after an error: print the rows measured so far
        console.print(report.table(rows, ", ".join(f"{name} {value}" for name, value in facts.items())))


def _parts(only: str) -> tuple[str, ...]:
    parts = tuple(only.split(","))
    if unknown := [part for part in parts if part not in PARTS]:
        raise typer.BadParameter(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    return parts


def _write(out: Path | None, facts: dict[str, Any], rows: list[Row]) -> None:
    if out is not None:
        document = {"facts": facts, "rows": [row.to_json() for row in rows]}
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
