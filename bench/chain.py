"""Overhead and throughput of the whole chain, compared with two alternatives.

    python -m bench.chain --ray /tmp/ray/bin/python      everything, about three minutes on two cores
    python -m bench.chain latency                        one of latency, load

The alternatives: the same chain with `runpod.AsyncioEndpoint` on stock workers, on the same localpod; and with Ray
Serve, whose packages conflict with ours and need an environment of their own:
`python -m venv /tmp/ray && /tmp/ray/bin/pip install "ray[serve]"`. Without it, the rows of Ray Serve are missing.

Our chain is called as by a client, with a job for the orchestrator's endpoint. The platform reports its end by webhook,
so the figures contain no polls of the client. Ray Serve is also called over HTTP. The platform's rate limits apply.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import psutil
import typer
from aiohttp import web
from rich.console import Console
from rich.table import Table

from localpod import LocalEndpoint, Localpod, Options, Scaler

ALTERNATIVES = Path(__file__).parent / "alternatives"
STAND_IN = "tests.chain.handlers.stand_in"
STAGES_S = {"STAND_IN_EXPAND_S": "1.0", "STAND_IN_GENERATE_S": "1.3", "STAND_IN_CAPTION_S": "0.5"}
CRITICAL_PATH_S = 2.3
CHAT = {"task": "chat/scenes/generate", "messages": [{"role": "user", "content": "the lighthouse at dusk"}]}
PICTURE_POOLS = ("profile", "chat1to1", "shorts", "scenes", "text2img")
LLMS, ZIMAGES = 2, 3
ALL = ("latency", "load")


@dataclass
class Row:
    what: str
    unit: str
    ours: float
    alternatives: dict[str, float | None]
    better: str = "less"


@dataclass
class Run:
    """Seconds of each chain and of all together; memory of the orchestrator's process in MB, before and after."""

    took: list[float]
    all_s: float
    memory_mb: tuple[float, float] = field(default=(0.0, 0.0))

    def at(self, share: float) -> float:
        return sorted(self.took)[min(len(self.took) - 1, int(share * len(self.took)))]

    @property
    def per_s(self) -> float:
        return len(self.took) / self.all_s


class Client:
    """A client that submits jobs and receives their end by webhook."""

    def __init__(self, pod: Localpod, http: aiohttp.ClientSession) -> None:
        self._pod, self._http = pod, http
        self._ends: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> web.AppRunner:
        app = web.Application(client_max_size=64_000_000)
        app.router.add_post("/", self._receive_webhook)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._hook = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        return runner

    def _end(self, job_id: str) -> asyncio.Future[dict[str, Any]]:
        return self._ends.setdefault(job_id, asyncio.get_running_loop().create_future())

    async def _receive_webhook(self, request: web.Request) -> web.Response:
        state = await request.json()
        self._end(state["id"]).set_result(state)
        return web.Response()

    async def _submit(self) -> str:
        body = {"input": CHAT, "webhook": self._hook}
        while True:
            async with self._http.post(f"{self._pod.base_url}/orchestrator/run", json=body) as answer:
                if answer.status != 429:
                    return str((await answer.json())["id"])
            await asyncio.sleep(0.05)  # the platform takes 1,000 submits in 10 s

    async def chain(self) -> float:
        started = time.perf_counter()
        state = await self._end(await self._submit())
        took = time.perf_counter() - started
        if state["status"] != "COMPLETED" or state["output"]["degraded"]:
            raise RuntimeError(f"a chain failed: {state.get('error') or state['output']['degraded']}")
        return took


def ours(llms: int, zimages: int, env: Mapping[str, str]) -> dict[str, LocalEndpoint]:
    def stays(handler: str, **more: Any) -> LocalEndpoint:
        return LocalEndpoint(
            handler,
            Scaler("request_count", 1000, 1, 1),
            idle_timeout_s=3600,
            env={**env, "WORKER_LOG_LEVEL": "ERROR"},
            **more,
        )

    workers = {f"llm{number}": stays(STAND_IN, pools=("selfie", "llm")) for number in range(llms)}
    workers |= {f"zimage{number}": stays(STAND_IN, pools=PICTURE_POOLS) for number in range(zimages)}
    return {"orchestrator": stays("orchestrator", calls_others=True), **workers}


async def run_ours(endpoints: dict[str, LocalEndpoint], chains: int, in_flight: int, *, limits: bool = True) -> Run:
    headers = {"Authorization": "bench"}
    async with (
        Localpod(endpoints, Options(limits=limits)) as pod,
        aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=150)) as http,
    ):
        await pod.wait_ready()
        client = Client(pod, http)
        listener = await client.listen()
        try:
            return await timed(client, pod, chains, in_flight)
        finally:
            await listener.cleanup()


async def timed(client: Client, pod: Localpod, chains: int, in_flight: int) -> Run:
    places = asyncio.Semaphore(in_flight)

    async def one() -> float:
        async with places:
            return await client.chain()

    for _ in range(3):
        await one()
    process = psutil.Process(pod.workers("orchestrator")[0]["pid"])
    before = process.memory_info().rss
    started = time.perf_counter()
    took = await asyncio.gather(*(one() for _ in range(chains)))
    return Run(took, time.perf_counter() - started, (before / 1e6, process.memory_info().rss / 1e6))


async def run_stock(chains: int, in_flight: int, env: Mapping[str, str]) -> Run:
    def stock(**more: str) -> LocalEndpoint:
        command = (sys.executable, str(ALTERNATIVES / "stock_stages.py"))
        return LocalEndpoint(command, Scaler("request_count", 1000, 1, 1), idle_timeout_s=3600, env={**env, **more})

    async with Localpod({"stock-llm": stock(), "stock-zimage": stock()}, Options(limits=False)) as pod:
        await pod.wait_ready()
        return await run_script(sys.executable, "asyncio_chain.py", chains, in_flight, pod.environment())


async def run_ray(python: Path | None, chains: int, in_flight: int, env: Mapping[str, str]) -> Run | None:
    return None if python is None else await run_script(str(python), "ray_chain.py", chains, in_flight, env)


async def run_script(python: str, script: str, chains: int, in_flight: int, env: Mapping[str, str]) -> Run:
    process = await asyncio.create_subprocess_exec(
        python, str(ALTERNATIVES / script), str(chains), str(in_flight), env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{script} failed: {err.decode()[-800:]}")
    figures = json.loads(next(line for line in out.decode().splitlines() if line.startswith('{"took"')))
    return Run(figures["took"], figures["all"])


async def latency(ray: Path | None) -> list[Row]:
    """One chain after the other: expand 1.0 s, then generate 1.3 s in parallel with caption 0.5 s."""
    chains = 8
    runs = {
        "ours": await run_ours(ours(1, 1, STAGES_S), chains, 1),
        "AsyncioEndpoint": await run_stock(chains, 1, STAGES_S),
        "Ray Serve": await run_ray(ray, chains, 1, STAGES_S),
    }
    critical = f"chain of {CRITICAL_PATH_S} s"
    return [
        row(f"{critical}, p50", "s", runs, lambda run: statistics.median(run.took)),
        row(f"{critical}, worst", "s", runs, lambda run: max(run.took)),
    ]


async def load(ray: Path | None) -> list[Row]:
    """Stages that take no time: one chain at a time, and 500 in flight."""
    roomy = {"STAND_IN_CONCURRENCY": "16", "ORCHESTRATOR_CONCURRENCY": "500", "ORCHESTRATOR_ROUTE_CAPACITY": "500"}
    alone = {"ours": await run_ours(ours(LLMS, ZIMAGES, roomy), 100, 1), "Ray Serve": await run_ray(ray, 100, 1, {})}
    concurrent = {
        "ours": await run_ours(ours(LLMS, ZIMAGES, roomy), 2_000, 500),
        "Ray Serve": await run_ray(ray, 2_000, 500, {}),
    }
    unlimited = {
        "ours": await run_ours(ours(LLMS, ZIMAGES, roomy), 2_000, 500, limits=False),
        "Ray Serve": concurrent["Ray Serve"],
    }
    where = f"{LLMS} llm + {ZIMAGES} zimage endpoints"
    before, after = concurrent["ours"].memory_mb  # type: ignore[union-attr]  # ours has always run
    return [
        row("zero-time chain, p50", "ms", alone, lambda run: 1000 * run.at(0.5)),
        row("zero-time chain, p99", "ms", alone, lambda run: 1000 * run.at(0.99)),
        row(f"500 in flight over {where}", "chains/s", concurrent, lambda run: run.per_s, better="more"),
        row("500 in flight, p50", "ms", concurrent, lambda run: 1000 * run.at(0.5)),
        row("500 in flight, p99", "ms", concurrent, lambda run: 1000 * run.at(0.99)),
        row(
            "500 in flight, on a platform without rate limits", "chains/s", unlimited, lambda r: r.per_s, better="more"
        ),
        Row("orchestrator's memory before 2,000 chains", "MB", before, {}),
        Row("and after them", "MB", after, {}),
    ]


def row(what: str, unit: str, runs: Mapping[str, Run | None], figure: Any, better: str = "less") -> Row:
    alternatives = {name: None if run is None else figure(run) for name, run in runs.items() if name != "ours"}
    return Row(what, unit, figure(runs["ours"]), alternatives, better)


def table(rows: list[Row]) -> Table:
    shown = Table("", "ours", "AsyncioEndpoint", "ratio", "Ray Serve", "ratio", "unit")
    for one in rows:
        cells = []
        for name in ("AsyncioEndpoint", "Ray Serve"):
            alternative = one.alternatives.get(name)
            if alternative is None:
                cells += ["", ""]
                continue
            ratio = alternative / one.ours if one.better == "less" else one.ours / alternative
            cells += [f"{alternative:.2f}", f"{ratio:.2f}"]
        shown.add_row(one.what, f"{one.ours:.3f}" if one.unit == "s" else f"{one.ours:.1f}", *cells, one.unit)
    return shown


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(ALL)}; unset: all.")] = None,
    ray: Annotated[Path | None, typer.Option(help="A Python interpreter with ray[serve].")] = None,
) -> None:
    """Measure, and print one table. A ratio above 1 means that ours is better."""
    measures = {"latency": latency, "load": load}
    if unknown := set(parts or ()) - set(ALL):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(ALL)}")
    rows: list[Row] = []
    for part in parts or ALL:
        rows += asyncio.run(measures[part](ray))
    Console(width=140).print(table(rows))


if __name__ == "__main__":
    typer.run(main)
