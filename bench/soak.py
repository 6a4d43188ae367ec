"""Soak test: many chains with faults. Each must end once and in time; no job may remain, no resource may grow.

    python -m bench.soak --chains 2000 --faults 0.05

The real orchestrator and stand-in workers under the worker loop, in processes of their own on one localpod. A fault
happens at one point of one job, chosen at random from the list below; `faults` is the share of chains with a fault.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import aiohttp
import psutil
import typer

from bench.chain import CHAT, ours
from localpod import Fault, FaultKind, Localpod, Options

LIVE = {"IN_QUEUE", "IN_PROGRESS"}
WORKERS = ("llm0", "zimage0", "zimage1")
FAULTS = [
    *(Fault(kind=kind, endpoint=name, delay_s=0.3) for kind in (
        FaultKind.THROTTLE, FaultKind.SERVER_ERROR, FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.STALL,
        FaultKind.SLOW_DRIP, FaultKind.TRUNCATE, FaultKind.NOT_JSON, FaultKind.DUPLICATE_DELIVERY,
        FaultKind.LATE_RESULT, FaultKind.CLOCK_SKEW,
    ) for name in WORKERS),
    *(Fault(kind=kind, endpoint=name, operation="job-done") for kind in (
        FaultKind.SERVER_ERROR, FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.NOT_JSON,
    ) for name in (*WORKERS, "orchestrator")),
]  # fmt: skip
"""Faults with which a chain can still be answered. Killed workers and lost results are in tests/faults."""


@dataclass
class Soak:
    """`lost` chains did not end in time; `memory_mb` and `descriptors` of the orchestrator, after each tenth."""

    ends: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    lost: list[str] = field(default_factory=list)
    left_running: int = 0
    fired: int = 0
    took_s: float = 0.0
    memory_mb: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)


async def soak(chains: int, faults: float, in_flight: int = 40, seed: int = 1, timeout_s: float = 30.0) -> Soak:
    seen, draw = Soak(), random.Random(seed)
    limits = {f"ORCHESTRATOR_{stage}_LIMIT_S": "10" for stage in ("EXPAND", "CAPTION", "GENERATE")}
    work = {"STAND_IN_EXPAND_S": "0.01", "STAND_IN_CAPTION_S": "0.01", "STAND_IN_GENERATE_S": "0.02"}
    roomy = {"STAND_IN_CONCURRENCY": "8", "ORCHESTRATOR_CONCURRENCY": "100", "ORCHESTRATOR_ROUTE_CAPACITY": "100"}
    endpoints = ours(1, 2, {**limits, **work, **roomy})
    endpoints = {name: replace(one, execution_timeout_s=60) for name, one in endpoints.items()}
    headers = {"Authorization": "soak"}
    async with Localpod(endpoints, Options()) as pod, aiohttp.ClientSession(headers=headers) as http:
        await pod.wait_ready()
        process = psutil.Process(pod.workers("orchestrator")[0]["pid"])
        began, done = time.monotonic(), 0

        async def one(number: int) -> None:
            nonlocal done
            if draw.random() < faults:
                pod.inject(draw.choice(FAULTS))
            await _chain(pod, http, number, timeout_s, seen)
            done += 1
            if done % max(1, chains // 10) == 0:
                seen.memory_mb.append(process.memory_info().rss / 1e6)
                seen.descriptors.append(process.num_fds())

        await _all(one, chains, in_flight)
        seen.took_s = time.monotonic() - began
        seen.fired = sum(int(str(fault["fired"])) for fault in pod.faults.report())
        seen.left_running = await _left_running(pod)
    return seen


async def _all(one: Callable[[int], Awaitable[None]], chains: int, in_flight: int) -> None:
    numbers = iter(range(chains))

    async def some() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(some() for _ in range(in_flight)))


async def _chain(pod: Localpod, http: aiohttp.ClientSession, number: int, timeout_s: float, seen: Soak) -> None:
    """Run one request to its end; it is lost if it hasn't ended a second after its deadline."""
    at = f"{pod.base_url}/orchestrator"
    request = {**CHAT, "timeout_s": timeout_s, "request_id": f"n{number}"}
    async with http.post(f"{at}/run", json={"input": request}) as answer:
        job_id = (await answer.json())["id"]
    until = time.monotonic() + timeout_s + 1
    state: dict[str, Any] = {"status": "IN_QUEUE"}
    while state["status"] in LIVE and time.monotonic() < until:
        await asyncio.sleep(0.2)
        async with http.get(f"{at}/status/{job_id}") as answer:
            state = await answer.json()
    if state["status"] in LIVE:
        seen.lost.append(job_id)
        return
    output = state.get("output") or {}
    if state["status"] == "COMPLETED" and output.get("request_id") != f"n{number}":
        raise RuntimeError("a chain was answered with another one's result")
    seen.ends[state["status"] if "error" not in state else json.loads(state["error"])["code"]] += 1
    seen.degraded += bool(output.get("degraded"))


async def _left_running(pod: Localpod) -> int:
    until = time.monotonic() + 12
    while True:
        live = sum(job["status"] in LIVE for name in pod.served for job in pod.jobs(name))
        if not live or time.monotonic() > until:
            return live
        await asyncio.sleep(0.1)


def main(
    chains: Annotated[int, typer.Option(help="Requests in all.")] = 2000,
    faults: Annotated[float, typer.Option(help="Share of the chains with a fault.")] = 0.05,
    in_flight: Annotated[int, typer.Option(help="At a time.")] = 40,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 1,
) -> None:
    """Run, print the outcomes, and exit with 1 if a chain was lost or a job remained."""
    seen = asyncio.run(soak(chains, faults, in_flight, seed))
    print(
        f"{chains} chains in {seen.took_s:.0f} s, {seen.fired} faults met: {dict(seen.ends)}, degraded {seen.degraded}"
    )
    print(f"lost {len(seen.lost)}, left running {seen.left_running}")
    print(f"orchestrator's memory, MB: {', '.join(f'{one:.0f}' for one in seen.memory_mb)}")
    print(f"its descriptors: {', '.join(map(str, seen.descriptors))}")
    raise typer.Exit(int(bool(seen.lost or seen.left_running)))


if __name__ == "__main__":
    typer.run(main)
