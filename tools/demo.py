"""The demo: four requests to the whole system, with their results as files.

    python -m tools.demo [SELFIE] [--open]

With `--open` the playground is served afterwards, with the results in its gallery, until Ctrl-C.

Platform and workers run on this machine (localpod), unless RUNPOD_API_KEY and ORCHESTRATOR_ENDPOINT_ID name a
deployment. The results are written to `out/`: the pictures, each result as JSON, and the page `index.html`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from core.contracts import SELFIE_FORMATS
from core.settings import ROOT, EndpointSpec, load_endpoints
from embedded.drawing.faces import write_selfies
from localpod import LocalpodThread, Options
from localpod.spec import LocalEndpoint, http_endpoint
from tools.demo_page import Shown, write_page

OUT = ROOT / "out"
_MAX_SELFIE_BYTES = 7 * 2**20
_FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}
console = Console(stderr=True)

CHATS: dict[str, list[dict[str, str]]] = {
    "chat/1to1/imagegen": [
        {"role": "assistant", "content": "I found a quiet beach today. Wish you could see the light on the water."},
        {"role": "user", "content": "Show me! A picture of you at the beach, smiling."},
    ],
    "chat/shorts/generate": [
        {"role": "user", "content": "Make a short of you walking through the city at night in your favourite hat."},
    ],
    "chat/scenes/generate": [
        {"role": "user", "content": "Do you remember our walk in the forest?"},
        {"role": "assistant", "content": "The tall trees, and you laughing the whole way."},
        {"role": "user", "content": "Yes! Paint that: you in the forest, laughing."},
    ],
}


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome of a request: `output` if it succeeded, else `error`."""

    task: str
    request: dict[str, Any]
    wall_s: float
    output: dict[str, Any] | None
    error: str | None


class Client:
    """A client of the orchestrator's endpoint."""

    def __init__(self, endpoint_url: str, key: str) -> None:
        self._http = httpx.Client(base_url=endpoint_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def run(self, request: dict[str, Any], bar: Progress, row: TaskID) -> Finished:
        started = time.monotonic()
        response = self._http.post("run", json={"input": request})
        response.raise_for_status()
        state = response.json()
        while state["status"] not in _FINAL:
            time.sleep(0.2)
            state = self._http.get(f"status/{state['id']}").json()
            if isinstance(report := state.get("output"), dict) and "percent" in report:
                bar.update(row, completed=report["percent"], stage=f"{report['stage']} {report['step']}/{report['of']}")
        wall_s = time.monotonic() - started
        if state["status"] == "COMPLETED" and isinstance(state.get("output"), dict):
            return Finished(request["task"], request, wall_s, state["output"], None)
        return Finished(request["task"], request, wall_s, None, _failure_reason(state))


def _failure_reason(state: dict[str, Any]) -> str:
    """The reason of a failed job, in one line."""
    try:
        error = json.loads(state["error"])
        return f"{error['code']}: {error['message']}"
    except (KeyError, TypeError, ValueError):
        return str(state.get("error") or state["status"])


@dataclass(frozen=True, slots=True)
class Platform:
    """The client of a platform, and the playground's address if the platform serves it."""

    client: Client
    playground: str | None


@contextmanager
def platform(*, serve_page: bool) -> Iterator[Platform]:
    """The configured deployment, or else localpod with one warm worker for each endpoint."""
    key, endpoint = os.environ.get("RUNPOD_API_KEY"), os.environ.get("ORCHESTRATOR_ENDPOINT_ID")
    if key and endpoint:
        base = os.environ.get("RUNPOD_ENDPOINT_BASE_URL", "https://api.runpod.ai/v2")
        console.print(f"Running against the deployed orchestrator [bold]{endpoint}[/].")
        yield Platform(Client(f"{base}/{endpoint}/", key), None)
        return
    console.print("Starting the platform and its workers on this machine …")
    shutil.rmtree(OUT / "logs", ignore_errors=True)  # logs of the last run
    endpoints = load_endpoints().endpoints
    page = {"http": _page_endpoint(endpoints["orchestrator"])} if serve_page else {}
    with LocalpodThread({**endpoints, **page}, Options(warm=True, state_dir=OUT / "logs")) as pod:
        yield Platform(Client(f"{pod.base_url}/orchestrator/", pod.key), pod.url if serve_page else None)


def _page_endpoint(orchestrator: EndpointSpec) -> LocalEndpoint:
    """The HTTP API with the playground, whose gallery contains the results in `out/`."""
    endpoint = http_endpoint(orchestrator)
    return replace(endpoint, env={**endpoint.env, "HTTP_RESULTS_FOLDER": str(OUT)})


def profile_request(selfie: Path) -> dict[str, Any]:
    return {"task": "profile/create", "selfie": base64.b64encode(selfie.read_bytes()).decode(), "seed": 11}


def chat_request(task: str, seed: int, person: dict[str, Any] | None) -> dict[str, Any]:
    """A chat with the person of the profile."""
    request: dict[str, Any] = {"task": task, "messages": CHATS[task], "seed": seed}
    if person is not None:
        request["features"] = person
    if task == "chat/1to1/imagegen":
        request["subject"] = {"kind": "synthetic", "adult_use_consent": True, "age_attested": True}
    return request


def run_all(client: Client, selfie: Path) -> list[Finished]:
    columns = (SpinnerColumn(), TextColumn("{task.description:22}"), BarColumn(), TextColumn("{task.fields[stage]:14}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:

        def run(request: dict[str, Any]) -> Finished:
            row = bar.add_task(request["task"], total=100, stage="queued")
            done = client.run(request, bar, row)
            bar.update(row, completed=100, stage="done" if done.output else "failed")
            return done

        finished = [run(profile_request(selfie))]
        person = finished[0].output["features"] if finished[0].output else None
        finished += [run(chat_request(task, 20 + number, person)) for number, task in enumerate(CHATS)]
    return finished


def write_results(finished: list[Finished], selfie: Path) -> None:
    """Write each picture and each result to a file; the JSON has the picture's file name instead of its bytes."""
    shown = []
    for done in finished:
        name = done.task.replace("/", "-")
        output = dict(done.output or {})
        if encoded := output.get("image_base64"):
            picture = OUT / f"{name}.{output['image_format']}"
            picture.write_bytes(base64.b64decode(encoded))
            output["image_base64"] = f"(in {picture.name})"
        answer = output or {"error": done.error}
        (OUT / f"{name}.json").write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        shown.append(Shown(done.task, done.wall_s, output or None, done.error, done.request.get("messages", [])))
    write_page(OUT / "index.html", shown, selfie.relative_to(OUT).as_posix())


def print_table(finished: list[Finished]) -> None:
    table = Table("request", "stage", "worker's endpoint", "queued", "device", "batch", "whole", title="Stages, in ms")
    for done in finished:
        for record in (done.output or {}).get("timeline", []):
            figures = [record["queue_ms"], record["device_ms"], record["batch_size"], record["wall_ms"]]
            table.add_row(done.task, record["stage"], record["endpoint_id"], *map(str, figures))
        outcome = "done" if done.output else f"[red]{done.error}"
        table.add_row(
            done.task, outcome, "", "", "", "", str(round(1000 * done.wall_s)), style="bold", end_section=True
        )
    console.print(table)


def own_selfie(given: Path | None) -> Path:
    """Copy the caller's selfie to the results, or draw one."""
    drawn = write_selfies(OUT / "selfies")
    if given is None:
        return drawn[0]
    if not given.is_file():
        console.print(f"[red]There is no file {given.name}.[/] Give the path of a {SELFIE_FORMATS}.")
        raise typer.Exit(1)
    if given.stat().st_size > _MAX_SELFIE_BYTES:
        console.print("[red]The selfie is larger than 7 MiB.[/] Make it smaller first; 1,500 px are plenty.")
        raise typer.Exit(1)
    copied = OUT / "selfies" / f"yours{given.suffix.lower()}"
    copied.write_bytes(given.read_bytes())
    return copied


def show_playground(address: str) -> None:
    """Open the playground in a browser, if there is one, and serve it until Ctrl-C."""
    url = f"{address}/#gallery"
    console.print(f"The playground is at [bold]{url}[/] until Ctrl-C.")
    webbrowser.open(url)
    with suppress(KeyboardInterrupt):
        signal.pause()


def main(
    selfie: Annotated[Path | None, typer.Argument(help="Your own selfie; unset: a drawn one.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Serve the playground afterwards, until Ctrl-C.")] = False,  # noqa: FBT002
) -> None:
    OUT.mkdir(exist_ok=True)
    picture = own_selfie(selfie)
    started = time.monotonic()
    with platform(serve_page=open_page) as running:
        finished = run_all(running.client, picture)
        write_results(finished, picture)
        print_table(finished)
        console.print(f"{time.monotonic() - started:.0f} s. Open [bold]out/index.html[/] to see the results.")
        if running.playground is not None:
            show_playground(running.playground)
        else:
            console.print("To use the playground in a browser: [bold]./demo --open[/]")
    sys.exit(0 if all(done.output for done in finished) else 1)


if __name__ == "__main__":
    typer.run(main)
