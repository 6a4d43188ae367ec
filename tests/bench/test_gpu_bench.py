"""The GPU benchmark on tiny models, and the memory tables of docs/models.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from bench.gpu import memory
from bench.gpu.__main__ import PARTS, main, run
from bench.gpu.measure import Meter, Row
from bench.gpu.plan import SHRUNK
from bench.gpu.report import facts, table
from bench.gpu.zimage import SWITCHES
from core.backends.image import WORKING_BYTES
from core.errors import TooLarge
from core.settings import ROOT
from core.weights import Model, locate
from core.weights.manifest import write_manifest
from core.weights.models import MANIFEST
from core.weights.store import entry_of

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_each_benchmark_part_runs_on_tiny_models(part: str) -> None:
    rows = list(run(Meter(CPU, warm=0, measured=1), SHRUNK, None, (part,)))
    assert {row.part for row in rows} <= {part, "switch"}
    assert not [row.what for row in rows if row.failed]
    times = [value for row in rows for name, value in row.values.items() if name == "median_ms"]
    assert times
    assert all(value > 0 for value in times)
    if part == "zimage":
        switches = {row.what: row for row in rows if row.part == "switch"}
        assert set(switches) == {*SWITCHES, "plain bf16", "tiles of 32 px"} - {"compiled"}
        assert switches["plain bf16"].values["latents_distance"] == 0
        assert 0 < switches["transformer int8"].values["latents_distance"] < 0.5
    json.dumps([row.to_json() for row in rows])


def _fetched_like_full(root: Path) -> Path:
    """The embedded weights in the folders and with the manifests of a fetch of the full ones."""
    for model in (Model.IMAGE, Model.TEXT, Model.VISION, Model.FACE):
        located, entry = locate("embedded", model), entry_of("full", model)
        source = located.path if located.path.is_dir() else located.path.parent
        for file in source.rglob("*"):
            target = root / "full" / model / file.relative_to(source)
            if file.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file)
        (root / "full" / model / MANIFEST).unlink()
        write_manifest(root / "full" / model, entry.name, entry.source.revision, located.facts)
    return root


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_benchmark_runs_on_fetched_weights_by_one_command(tmp_path: Path) -> None:
    weights, out = _fetched_like_full(tmp_path / "weights"), tmp_path / "rows.json"
    main(weights=weights, shrink=True, only="load,llm,selfie", device="cpu", out=out)
    document = json.loads(out.read_text())
    assert document["facts"]["weights"] == str(weights)
    assert {row["part"] for row in document["rows"]} == {"load", "llm", "selfie"}
    assert not [row["what"] for row in document["rows"] if row["failed"]]


def test_rows_before_an_unexpected_error_are_written_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> Iterator[Row]:
        yield Row("llm", "weights loaded", {"allocated_gib": 14.2})
        raise RuntimeError("device-side assert")

    monkeypatch.setattr("bench.gpu.__main__.run", broken)
    out = tmp_path / "rows.json"
    with pytest.raises(RuntimeError, match="device-side assert"):
        main(random=True, device="cpu", out=out)
    assert [row["what"] for row in json.loads(out.read_text())["rows"]] == ["weights loaded"]
    assert "allocated_gib 14.2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "choose --random"),
        ({"random": True, "only": "zimage,text"}, "there is no part 'text'"),
        ({"random": True, "fit": 24.0, "device": "cpu"}, "--fit limits"),
    ],
)
def test_arguments_without_a_meaning_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        main(**arguments)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), TooLarge("Too large for the device's memory.")]
)
def test_measurement_out_of_memory_is_reported_as_a_row(error: Exception) -> None:
    def fail() -> None:
        raise error

    assert Meter(CPU).row("zimage", "1536 px", fail) == Row("zimage", "1536 px", failed="out of memory")


def test_other_failures_stop_the_benchmark() -> None:
    def fail() -> None:
        raise RuntimeError("shapes don't match")

    with pytest.raises(RuntimeError, match="shapes"):
        Meter(CPU).row("zimage", "1024 px", fail)


def test_percentiles_exclude_warm_up_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = iter([900.0, 900.0, 5.0, 1.0, 3.0, 2.0, 4.0])
    monkeypatch.setattr(Meter, "_once", lambda self, call: (call(), next(durations))[1])
    calls: list[None] = []

    def warm_up_takes_no_measure() -> None:
        calls.append(None)
        if len(calls) <= 2:
            return

    meter = Meter(CPU, warm=2, measured=7)
    times = meter.times(warm_up_takes_no_measure)
    assert len(calls) == 9
    assert (times["median_ms"], times["p90_ms"]) == (4.0, 900.0)


def test_report_has_versions_and_each_row() -> None:
    found = facts(CPU, cap_gib=None, weights="random")
    assert {"torch", "diffusers", "transformers", "device"} <= set(found)
    assert table([Row("a", "b", {"median_ms": 1.5}), Row("a", "c", failed="out of memory")], "t").row_count == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_tables_of_the_documentation_are_current() -> None:
    document = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"<!-- memory: .*? -->\n\n(.*?)\n\n<!-- /memory -->", document, re.DOTALL)
    assert written == memory.tables(), "paste the output of `python -m bench.gpu --meta`"


@pytest.mark.slow
def test_working_memory_covers_the_largest_side_offered() -> None:
    """With a gibibyte left for what is not computed: kernels' workspace and fragments."""
    largest = max(
        memory.transformer_peak(1536, 1),
        memory.vae_peak(1024, torch.bfloat16),
        memory.vae_peak(768, torch.float32) + memory.weights_of(memory._built("vae", torch.bfloat16)),
    )
    assert largest + 2**30 <= WORKING_BYTES


def test_peak_memory_counts_tensors_alive_at_the_same_time() -> None:
    block = torch.empty(1024, device="meta", dtype=torch.uint8)

    def two_at_a_time() -> None:
        one = block + block
        two = one + block
        del one
        three = two.view(32, 32)
        del two
        three + 1

    assert memory.peak_of(two_at_a_time) == 2048
