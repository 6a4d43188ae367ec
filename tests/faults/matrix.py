"""Cases of the fault matrix: every fault × every stage × once, three times, always, each with its own endpoints.

All cases share one localpod and one event loop. Dozens of them run at a time, so that the whole
matrix takes a minute. The orchestrator is the real `Service`, the platform the real localpod over HTTP; workers are
stand-ins.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from core.contracts import REQUESTS, Result, read_request
from core.errors import ImgPodError
from core.policy import prepare
from core.settings import OrchestratorSettings, PlatformSettings, Pool, load_settings
from core.worker.job import Job
from core.worker.progress import Progress
from localpod import Fault, FaultKind, LocalEndpoint, Localpod, Options, Scaler
from orchestrator.endpoints import Endpoints
from orchestrator.service import Service
from tests.faults.light_worker import FLAGGED_PLACE, MINOR_PLACE, LightWorker

TIMEOUT_S = 8.0
STAGE_LIMIT_S = 3.0
WORK_S = 0.15
AT_A_TIME = 16
LIVE = {"IN_QUEUE", "IN_PROGRESS"}
NEEDS_PROCESS = {FaultKind.KILL_WORKER, FaultKind.SLOW_COLD_START}


def chat(task: str, place: str = "lighthouse") -> dict[str, Any]:
    return {"task": task, "messages": [{"role": "user", "content": f"the {place} at dusk"}]}


ADULT_ROUTE = "chat/1to1/imagegen"
PROFILE = {"task": "profile/create", "selfie": "aGVsbG8="}
STAGES = {
    "analyze": ("selfie", "profile/analyze", PROFILE),
    "expand": ("llm", "chat/1to1/expand", chat(ADULT_ROUTE)),
    "caption": ("llm", "chat/1to1/caption", chat("chat/scenes/generate")),
    "generate": ("zimage", "chat/scenes/generate", chat("chat/scenes/generate")),
    "moderate": ("llm", "moderate", {"task": "imagegen", "prompt": "the lighthouse at dusk"}),
    "check": ("selfie", "picture/check", chat(ADULT_ROUTE, FLAGGED_PLACE)),
}
"""Stage → its endpoint, its task, and a request that has it."""
WITH_MINOR = {
    "expand": ("llm", "chat/1to1/expand", chat(ADULT_ROUTE, MINOR_PLACE)),
    "caption": ("llm", "chat/1to1/caption", chat(ADULT_ROUTE, MINOR_PLACE)),
    "generate": ("zimage", "chat/1to1/generate", chat(ADULT_ROUTE, MINOR_PLACE)),
    "check": ("selfie", "picture/check", chat("chat/shorts/generate", MINOR_PLACE)),
}
"""The same for requests whose picture must not be released: it is rated as sexual, with an apparent minor."""

POOLS = {"selfie": [Pool.SELFIE], "llm": [Pool.LLM]}
POOLS["zimage"] = [pool for pool in Pool if pool not in (Pool.SELFIE, Pool.LLM)]

SHAPES: dict[str, dict[str, Any]] = {
    **{kind.value: {"kind": kind} for kind in FaultKind},
    "throttle_with_wait": {"kind": FaultKind.THROTTLE, "retry_after_s": 0.3},
    "gateway_error": {"kind": FaultKind.SERVER_ERROR, "status": 502},
    "stall": {"kind": FaultKind.STALL, "delay_s": 1.5},
    "slow_drip": {"kind": FaultKind.SLOW_DRIP, "delay_s": 1.5},
    "late_result": {"kind": FaultKind.LATE_RESULT, "delay_s": 1.0},
    "kill_worker": {"kind": FaultKind.KILL_WORKER, "delay_s": 0.05},
    "slow_cold_start": {"kind": FaultKind.SLOW_COLD_START, "delay_s": 1.0},
    "expire_result": {"kind": FaultKind.EXPIRE_RESULT, "delay_s": 0.0},
    "clock_skew": {"kind": FaultKind.CLOCK_SKEW, "delay_s": 30.0},
}
LOSES_SUBMITS = {"reset_before", "reset_after", "truncate", "not_json", "gateway_error", "stall", "slow_drip"}
"""Faults after which the sender of a submit can't know whether its job runs."""


@dataclass(frozen=True)
class Case:
    shape: str
    stage: str
    times: int | None
    minor: bool = False

    def __str__(self) -> str:
        name = f"{self.shape}-{self.stage}-{ {1: 'once', 3: 'thrice', None: 'always'}[self.times] }"
        return f"{name}-minor" if self.minor else name

    @property
    def target(self) -> tuple[str, str, dict[str, Any]]:
        """The endpoint and the task to which the fault applies, and the request."""
        return (WITH_MINOR if self.minor else STAGES)[self.stage]

    @property
    def by_process(self) -> bool:
        return SHAPES[self.shape]["kind"] in NEEDS_PROCESS

    @property
    def timeout_s(self) -> float:
        return 3 * TIMEOUT_S if self.by_process else TIMEOUT_S

    def fault(self) -> Fault:
        name, task, _ = self.target
        # A worker that starts has no job yet.
        only = None if SHAPES[self.shape]["kind"] is FaultKind.SLOW_COLD_START else task
        return Fault(endpoint=f"{self}.{name}", task=only, times=self.times, **SHAPES[self.shape])


def _times(stage: str) -> tuple[int | None, ...]:
    return (1, None) if stage in {"moderate", "check"} else (1, 3, None)


CASES = [
    *(Case(shape, stage, times) for shape in SHAPES for stage in STAGES for times in _times(stage)),
    *(Case(shape, stage, None, minor=True) for shape in SHAPES for stage in WITH_MINOR),
    *(Case(shape, "check", 1, minor=True) for shape in SHAPES),
]


@dataclass
class Outcome:
    """The outcome of a case. `ends` must have exactly one entry."""

    ends: list[Result | BaseException] = field(default_factory=list)
    took_s: float = 0.0
    fired: int = 0
    lost_submits: int = 0
    left_running: list[dict[str, Any]] = field(default_factory=list)
    executions: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)

    @property
    def result(self) -> Result | None:
        return self.ends[0] if isinstance(self.ends[0], Result) else None

    def count(self, what: str) -> int:
        """The largest number of executions of one stage's job."""
        return max((n for (said, _), n in self.executions.items() if said == what), default=0)


async def run_matrix(folder: Path) -> dict[Case, Outcome]:
    places = asyncio.Semaphore(AT_A_TIME)
    endpoints = {f"{case}.{name}": endpoint(case, name, folder) for case in CASES for name in POOLS}
    like = service_like()
    options = Options(shutdown_grace_s=0, state_dir=folder / "state", idle_timeout_s=60)
    async with (
        Localpod(endpoints, options) as pod,
        aiohttp.ClientSession(
            headers={"Authorization": pod.worker_key},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as http,
    ):
        outcomes = await asyncio.gather(*(run_case(case, pod, http, places, folder, like) for case in CASES))
    return dict(zip(CASES, outcomes, strict=True))


def endpoint(case: Case, name: str, folder: Path) -> LocalEndpoint:
    """An endpoint with a worker in this process, or in a separate process for faults of the worker process."""
    if not case.by_process or case.target[0] != name:
        return LocalEndpoint(handler=("true",), attached=True, scaler=Scaler("request_count", 1, 0, 0))
    env = {"STAND_IN_LOG": str(folder / str(case)), "STAND_IN_WORK_S": str(WORK_S)}
    command = (sys.executable, str(Path(__file__).with_name("light_worker.py")))
    return LocalEndpoint(handler=command, scaler=Scaler("request_count", 4, 0, 1), env=env)


async def run_case(
    case: Case,
    pod: Localpod,
    http: aiohttp.ClientSession,
    places: asyncio.Semaphore,
    folder: Path,
    like: Service,
) -> Outcome:
    outcome = Outcome()
    async with places, AsyncExitStack() as stack:
        for name in POOLS:
            for number in range(0 if pod.endpoints[f"{case}.{name}"].attached is False else 2):
                await stack.enter_async_context(working(f"{case}.{name}", number, pod, http, outcome))
        service = service_of(case, pod, like)
        stack.push_async_callback(service.endpoints.close)
        fault = pod.inject(case.fault())
        began = time.monotonic()
        await answer(case, service, outcome)
        outcome.took_s = time.monotonic() - began
        outcome.left_running = await left_running(case, pod)
        outcome.fired, outcome.lost_submits = pod.fired(fault), service.endpoints.lost_submits
        pod.faults.clear(fault)
    for name in POOLS:
        outcome.counters.update(pod.counters(f"{case}.{name}"))
    if (log := folder / str(case)).exists():
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        outcome.executions.update((line["what"], line["key"]) for line in lines)
    return outcome


class working:  # noqa: N801 - a context manager, read as a verb
    """A light worker of an endpoint, in this event loop."""

    def __init__(self, name: str, number: int, pod: Localpod, http: aiohttp.ClientSession, outcome: Outcome) -> None:
        def note(what: str, key: str | None) -> None:
            outcome.executions[what, key] += 1

        self.worker = LightWorker(http, f"{pod.base_url}/{name}", f"w{number}", WORK_S, note)

    async def __aenter__(self) -> None:
        self.task = asyncio.create_task(self.worker.run())

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def service_of(case: Case, pod: Localpod, like: Service) -> Service:
    """Create the case's own service, without shared circuits, history or budgets; slow parts are those of `like`."""
    ids = {f"{pool}_endpoint_ids": (f"{case}.{name}",) for name, pools in POOLS.items() for pool in pools}
    slower = 3 if case.by_process else 1
    limits = {f"{stage}_limit_s": slower * STAGE_LIMIT_S for stage in STAGES}
    own = OrchestratorSettings(**ids, **limits, queue_allowance_s=slower * STAGE_LIMIT_S, retry_budget=1)
    platform = PlatformSettings(endpoint_base_url=pod.base_url, api_key=pod.key)
    settings = like.settings.model_copy(update={"orchestrator": own, "platform": platform})
    endpoints = Endpoints(platform, own)
    return replace(like, settings=settings, endpoints=endpoints)


def service_like() -> Service:
    prepare(audit_file=None, key=None)
    ids = {f"{pool}_endpoint_ids": ("any",) for pool in Pool}
    platform = PlatformSettings(api_key="any")
    update = {"orchestrator": OrchestratorSettings(**ids), "platform": platform}
    return Service.from_settings(load_settings().model_copy(update=update))


async def answer(case: Case, service: Service, outcome: Outcome) -> None:
    async def ignore_progress(_: object) -> None:
        return None

    progress = Progress(ignore_progress, interval_s=1)
    request = read_request({**case.target[2], "timeout_s": case.timeout_s}, REQUESTS)
    try:
        outcome.ends.append(await service.answer(request, Job(str(case), progress)))
    except ImgPodError as error:
        outcome.ends.append(error)
    finally:
        await progress.close()


async def left_running(case: Case, pod: Localpod) -> list[dict[str, Any]]:
    """Jobs that still wait or run two seconds after their request has ended, the platform's limit for a cancel."""
    until = time.monotonic() + 2.0
    while True:
        live = [job for name in POOLS for job in pod.jobs(f"{case}.{name}") if job["status"] in LIVE]
        if not live or time.monotonic() > until:
            return live
        await asyncio.sleep(0.05)
