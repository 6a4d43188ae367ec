"""The call of a stage and its answer, and functions that interpret a job's state.

May import: core.contracts, core.errors, core.settings, orchestrator.{deadlines,runpod_client}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from core.contracts import StageProgress
from core.errors import DeadlineExceeded, EndpointUnavailable, ImgPodError
from core.settings import Pool
from orchestrator.deadlines import Deadline
from orchestrator.runpod_client import FINAL, ResponseLost, State, read_ms

OnProgress = Callable[[StageProgress], None]


class NoWorker(EndpointUnavailable):
    """A job waited in the queue for longer than the pool's allowance."""


@dataclass(frozen=True, slots=True)
class Call:
    """A stage to run. `limit_s` bounds its execution; `wait_ms` is the wait of `runsync`.

    Jobs with the same stage, pool and `size` are expected to take equally long.
    """

    stage: str
    pool: Pool
    payload: Mapping[str, Any] = field(repr=False)
    limit_s: float
    wait_ms: int | None = None
    size: int = 0
    s3_config: Mapping[str, object] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StageAnswer:
    """A stage's output, with the platform's times. `attempts` counts submits, `lost` those without an answer."""

    output: Mapping[str, Any] = field(repr=False)
    endpoint_id: str
    job_id: str | None
    worker_id: str | None
    queue_ms: int | None
    execution_ms: int | None
    attempts: int
    lost: int


async def submitted_before(deadline: Deadline, submitting: asyncio.Task[State], stage: str) -> State:
    try:
        async with asyncio.timeout(max(0.0, deadline.left_s())):
            return await asyncio.shield(submitting)
    except TimeoutError:
        raise DeadlineExceeded("The request's `timeout_s` ran out; allow more time.", stage=stage) from None


async def sleep_until(seconds: float, until: Deadline) -> None:
    if (pause_s := min(seconds, until.left_s())) > 0:
        await asyncio.sleep(pause_s)


def require_job_id(state: State, stage: str) -> State:
    """Raise `ResponseLost` if a job may run but the answer has no id."""
    if state.get("status") not in FINAL and not job_id_of(state):
        raise ResponseLost("The platform's answer has no job id.", stage=stage)
    return state


def job_id_of(state: State) -> str:
    job_id = state.get("id")
    return job_id if isinstance(job_id, str) else ""


def started_at(state: State, started: float, queued_at: float, now: float) -> float:
    """Start of the job's execution, from the platform's `delayTime` if that is plausible."""
    queue_ms = read_ms(state.get("delayTime"))
    return now if queue_ms is None else max(queued_at, min(now, started + queue_ms / 1000))


def timeout_error(call: Call, deadline: Deadline, running_since: float | None) -> ImgPodError:
    if deadline.left_s() <= 0:
        return DeadlineExceeded("The request's `timeout_s` ran out; allow more time.", stage=call.stage)
    if running_since is None:
        return NoWorker(
            f"No worker took {call.stage} in time; check that pool {call.pool} has workers.", stage=call.stage
        )
    return DeadlineExceeded(f"{call.stage} ran longer than its limit of {call.limit_s:g} s.", stage=call.stage)


def has_worker(health: State) -> bool:
    workers = health.get("workers")
    states = ("idle", "running", "ready", "initializing")
    return not isinstance(workers, dict) or any(read_ms(workers.get(state)) for state in states)


def report_progress(output: object, on_progress: OnProgress | None) -> None:
    if on_progress is None or not isinstance(output, dict):
        return
    with suppress(ValueError):
        on_progress(StageProgress.model_validate(output, extra="ignore"))
