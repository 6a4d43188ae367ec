"""Compare our worker with the stock SDK: time of a hop, device utilisation, text throughput, cold start.

    python -m bench.worker                 all of it, about six minutes on two cores
    python -m bench.worker hop busy        two of hop, busy, text, start

Both sides run alternately on one localpod in one run; the compared workers are in bench/alternatives/. On a busy
machine only the ratios are meaningful.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from aiohttp import web
from rich.console import Console
from rich.table import Table

from core.prompts.chat import CAPTION_EXAMPLE, CAPTION_SYSTEM, as_material
from core.text.budgets import BUDGETS
from core.weights import Model, locate
from localpod import LocalEndpoint, Localpod, Options, Scaler

ALTERNATIVES = Path(__file__).parent / "alternatives"
ROUNDS = 3
ALL = ("hop", "busy", "text", "start")


@dataclass
class Row:
    what: str
    ours: float
    alternative: float
    unit: str
    better: str = "less"
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.alternative / self.ours if self.better == "less" else self.ours / self.alternative


@dataclass
class Caller:
    session: aiohttp.ClientSession
    base_url: str

    async def ask(self, endpoint: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A job's output."""
        url = f"{self.base_url}/{endpoint}/runsync?wait=120000"
        async with self.session.post(url, json={"input": payload}) as answer:
            state: dict[str, Any] = await answer.json()
        if state["status"] != "COMPLETED":
            raise RuntimeError(f"{endpoint}: {state}")
        output: dict[str, Any] = state["output"]
        return output


def endpoint(handler: str | tuple[str, ...], **env: str) -> LocalEndpoint:
    """A localpod with one permanent worker."""
    return LocalEndpoint(handler=handler, scaler=Scaler("request_count", 1000, 1, 1), idle_timeout_s=3600, env=env)


def alternative(name: str) -> tuple[str, ...]:
    return (sys.executable, str(ALTERNATIVES / f"{name}.py"))


async def on_localpod(
    endpoints: dict[str, LocalEndpoint], measure: Callable[[Caller], Awaitable[list[Row]]]
) -> list[Row]:
    headers = {"Authorization": "bench"}
    async with (
        Localpod(endpoints, Options(limits=False)) as pod,
        aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        return await measure(Caller(session, pod.base_url))


async def closed_loop(jobs: int, concurrency: int, ask: Callable[[], Awaitable[object]]) -> tuple[list[float], float]:
    """Seconds of each job and of all jobs, with callers that wait for their answer."""
    took: list[float] = []
    left = jobs

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            started = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return took, time.perf_counter() - started


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def hop() -> list[Row]:
    """An empty job from submit to result, with one and with eight callers and as many slots in the worker."""
    endpoints = {
        f"{side}{concurrency}": endpoint(handler, BENCH_CONCURRENCY=str(concurrency))
        for concurrency in (1, 8)
        for side, handler in (("ours", "bench.timed"), ("stock", alternative("stock_timed")))
    }
    return await on_localpod(endpoints, _hop)


async def _hop(caller: Caller) -> list[Row]:
    rows = []
    for concurrency, counts in ((1, {"ours": 300, "stock": 10}), (8, {"ours": 800, "stock": 160})):
        took: dict[str, list[float]] = {"ours": [], "stock": []}
        for side in took:
            await _ask_timed(caller, f"{side}{concurrency}", 0)
        for _ in range(ROUNDS):
            for side, jobs in counts.items():
                ask = partial(_ask_timed, caller, f"{side}{concurrency}", 0)
                took[side] += (await closed_loop(jobs, concurrency, ask))[0]
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            ours, stock = (1000 * percentile(took[side], share) for side in ("ours", "stock"))
            rows.append(Row(f"hop, {concurrency} at a time, {name}", ours, stock, "ms"))
    return rows


async def _ask_timed(caller: Caller, name: str, seconds: float) -> dict[str, Any]:
    return await caller.ask(name, {"task": "timed", "seconds": seconds})


async def busy() -> list[Row]:
    """Queued jobs of 1.3 s on one worker: the share of the time in which a job runs."""
    return await on_localpod({"ours": endpoint("bench.timed"), "stock": endpoint(alternative("stock_timed"))}, _busy)


async def _busy(caller: Caller, jobs: int = 16, seconds: float = 1.3) -> list[Row]:
    shares = {}
    for side in ("ours", "stock"):
        await _ask_timed(caller, side, 0)
        results = await asyncio.gather(*(_ask_timed(caller, side, seconds) for _ in range(jobs)))
        first, last = min(one["started"] for one in results), max(one["ended"] for one in results)
        shares[side] = 100 * sum(one["ended"] - one["started"] for one in results) / (last - first)
    return [Row(f"busy, {jobs} jobs of {seconds} s", shares["ours"], shares["stock"], "%", better="more")]


PICTURES = (
    "A night market by a canal, two adults with paper lanterns, warm light on the water, seen from a small bridge.",
    "A tall woman in a green raincoat waits at a tram stop while heavy rain falls on the empty street.",
    "An old lighthouse on a cliff at dusk, gulls circling, a single lit window, waves breaking far below.",
    "A man with gray hair repairs a wooden boat in a sunlit workshop, sawdust on the floor, tools on the wall.",
)


async def text() -> list[Row]:
    """Captions of the embedded language model with 1, 2, 4 and 8 callers."""
    model = str(locate("embedded", Model.TEXT).path)
    endpoints = {
        "ours": endpoint("handlers.llm"),
        "naive": endpoint(alternative("naive_llm"), BENCH_MODEL=model),
    }
    return await on_localpod(endpoints, _text)


async def _text(caller: Caller) -> list[Row]:
    async def ours(prompt: str) -> object:
        return await caller.ask("ours", {"task": "chat/1to1/caption", "prompt": prompt})

    async def naive(prompt: str) -> object:
        budget = BUDGETS["embedded"].caption_tokens
        return await caller.ask("naive", {"turns": _turns(prompt), "max_tokens": budget})

    async def rate(ask: Callable[[str], Awaitable[object]], jobs: int, concurrency: int) -> float:
        pictures = itertools.cycle(PICTURES)
        _, seconds = await closed_loop(jobs, concurrency, lambda: ask(next(pictures)))
        return jobs / seconds

    for ask in (ours, naive):
        await ask(PICTURES[0])
    rates = {concurrency: await rate(ours, 4 * concurrency, concurrency) for concurrency in (1, 2, 4, 8)}
    alternative_rate = await rate(naive, 6, 8)  # one job at a time, however many wait
    return [
        Row(
            f"captions, {concurrency} at a time",
            ours_rate,
            alternative_rate,
            "jobs/s",
            "more",
            f"{ours_rate / rates[1]:.2f} × one",
        )
        for concurrency, ours_rate in rates.items()
    ]


def _turns(prompt: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": CAPTION_SYSTEM},
        {"role": "user", "content": as_material("picture", CAPTION_EXAMPLE[0])},
        {"role": "assistant", "content": CAPTION_EXAMPLE[1]},
        {"role": "user", "content": as_material("picture", prompt)},
    ]


@dataclass
class Plane:
    """A minimal platform with one job: records a worker's first request for a job, and its result."""

    job: dict[str, Any]
    requested: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        if "/job-done" in request.path:
            if "error" in await request.json():
                raise RuntimeError(f"the worker answered with an error: {await request.text()}")
            self.answered.set()
        elif "/job-take" in request.path and not self.requested.is_set():
            self.requested.set()
            job = {"id": "first", "input": self.job}
            return web.json_response([job] if "batch" in request.path else job)
        elif not request.path.startswith("/ping"):
            await asyncio.sleep(60)
        return web.Response(status=204)


@dataclass(frozen=True)
class Start:
    """A worker and its alternative, the job of each that writes or draws the same, and the alternative's weights."""

    ours: dict[str, Any]
    naive: dict[str, Any] | None
    """None: the alternative only starts."""
    env: dict[str, Model]


def _starts() -> dict[str, Start]:
    turns, tokens = _turns(PICTURES[0]), BUDGETS["embedded"].caption_tokens
    image = {"prompt": PICTURES[2], "width": 128, "height": 128}
    return {
        "llm": Start(
            {"task": "chat/1to1/caption", "prompt": PICTURES[0]},
            {"turns": turns, "max_tokens": tokens},
            {"BENCH_MODEL": Model.TEXT},
        ),
        "zimage": Start(
            {"task": "generate", "seed": 7, "output_format": "png", **image},
            {"steps": 8, **image},
            {"BENCH_MODEL": Model.IMAGE},
        ),
        "selfie": Start({}, None, {"BENCH_MODEL": Model.VISION, "BENCH_FACES": Model.FACE}),
    }


async def start() -> list[Row]:
    """Time from the process's start to its first request for a job, and to that job's result.

    The weights are loaded before the request; the files are in the page cache.
    """
    rows = []
    for name, one in _starts().items():
        env = {variable: str(locate("embedded", model).path) for variable, model in one.env.items()}
        sides = {
            "ours": ((sys.executable, "-m", f"handlers.{name}"), one.ours),
            "naive": (alternative(f"naive_{name}"), one.naive or {}),
        }
        seconds: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, (command, job) in sides.items():
                seconds[side].append(await _first_job_s(command, env, job, finish=one.naive is not None))
        for at, what in enumerate(("first job taken", "first result") if one.naive else ("first job taken",)):
            medians = {side: statistics.median(times[at] for times in of_side) for side, of_side in seconds.items()}
            rows.append(Row(f"start of {name} to {what}", medians["ours"], medians["naive"], "s"))
    return rows


async def _first_job_s(
    command: tuple[str, ...], env: dict[str, str], job: dict[str, Any], *, finish: bool
) -> tuple[float, float]:
    """Seconds to the first request for a job and, if `finish`, to its result."""
    plane = Plane(job)
    server = web.Server(plane)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    at = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **env, **_platform(at)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(180):
            await plane.requested.wait()
            taken = time.perf_counter() - started
            if finish:
                await plane.answered.wait()
        return taken, time.perf_counter() - started
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        listening.close()
        await server.shutdown(0.1)


def _platform(at: str) -> dict[str, str]:
    return {
        "RUNPOD_ENDPOINT_ID": "bench",
        "RUNPOD_POD_ID": "bench",
        "RUNPOD_AI_API_KEY": "bench",
        "RUNPOD_WEBHOOK_GET_JOB": f"{at}/job-take/$ID?gpu=CPU",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{at}/job-done/$RUNPOD_POD_ID/$ID?gpu=CPU",
        "RUNPOD_WEBHOOK_PING": f"{at}/ping/$RUNPOD_POD_ID",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }


def table(rows: list[Row]) -> Table:
    made = Table("what", "ours", "alternative", "", "ratio", "", title="our worker beside the stock SDK")
    for row in rows:
        made.add_row(row.what, f"{row.ours:.2f}", f"{row.alternative:.2f}", row.unit, f"{row.ratio:.2f} ×", row.note)
    return made


def main(parts: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(ALL)}; unset: all.")] = None) -> None:
    """Measure, and print one table. A ratio above 1 means that ours is better."""
    measures = {"hop": hop, "busy": busy, "text": text, "start": start}
    unknown = set(parts or ()) - set(ALL)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(ALL)}")
    rows = []
    for part in parts or ALL:
        rows += asyncio.run(measures[part]())
    Console().print(table(rows))


if __name__ == "__main__":
    typer.run(main)
