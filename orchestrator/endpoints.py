"""How a stage is called: one `call` is one stage, from its first submit to its answer.

It takes an endpoint of the pool, submits the job, follows it to its end, and tries again where that is safe. Stages
that are short, or have proved to be, go by `runsync` with a short wait, because that answers at once; long ones by
`run`, because only that tells the job's id early enough to cancel it. A job that nobody waits for is cancelled.

    the platform asks for fewer requests    again, as long as the deadline allows: nothing has run
    the endpoint was not reached, 503       again, on another endpoint first
    a submit's answer was lost              once more, under the same `replay_key`: the first may run as well
    a job failed with a retryable error     again
    anything else                           not: a second run would cost the same and end the same

May import: core.contracts, core.errors, core.logs, core.settings, orchestrator.{ledger,polling,pools,wire}.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from core.contracts import StageProgress
from core.errors import BadAnswer, DeadlineExceeded, EndpointUnavailable, ImgPodError
from core.logs import logger
from core.settings import OrchestratorSettings, PlatformSettings, Pool
from orchestrator.capacity import RetryBudget
from orchestrator.deadlines import Deadline
from orchestrator.polling import HELD_MS, StageDurations, wait_s
from orchestrator.pools import Endpoint, Pools
from orchestrator.runpod_client import (
    FINAL,
    AnswerLost,
    Asked,
    JobGone,
    RunpodClient,
    State,
    Unreached,
    failure,
    whole_ms,
)

log = logger()
OnProgress = Callable[[StageProgress], None]

MAX_ATTEMPTS = 3
MAX_LOST_SUBMITS = 1
"""Submits with a lost answer that are followed by another one; each may mean one execution more than needed."""
_REQUEST_S = 10.0
_LAST_LOOK_S = 0.5
"""For the answer to one more question at the very end: a job that has just ended is not thrown away."""
_CLOSE_S = 2.0
_CANCEL_FOR_S = 20.0
_SHORTEST_PAUSE_S = 0.05
_WAKE_FOR_S = 60.0


class NoWorker(EndpointUnavailable):
    """A job waited in the queue for longer than the pool's allowance."""


@dataclass(frozen=True, slots=True)
class Call:
    """One stage as it is sent. `limit_s` bounds its execution; `wait_ms` is how long `runsync` may hold the answer.

    Jobs of the same stage, pool and `size` are expected to take equally long.
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
    """A stage's output and the platform's own facts about it. `attempts` counts submits, `lost` those unanswered."""

    output: Mapping[str, Any] = field(repr=False)
    endpoint_id: str
    job_id: str | None
    worker_id: str | None
    queue_ms: int | None
    execution_ms: int | None
    attempts: int
    lost: int


@dataclass(slots=True)
class _Tries:
    """What one call has tried so far."""

    endpoints: set[str] = field(default_factory=set)
    attempts: int = 0
    lost: int = 0


class Endpoints:
    """All pools of one orchestrator process. `close` when done."""

    def __init__(self, platform: PlatformSettings, settings: OrchestratorSettings) -> None:
        self._settings = settings
        self._budget = RetryBudget(settings.retry_budget)
        self._wire = RunpodClient(platform)
        self._pools = Pools(settings)
        self._history: dict[tuple[Pool, str, int], StageDurations] = defaultdict(StageDurations)
        self._in_background: set[asyncio.Task[Any]] = set()
        self.lost_submits = 0

    async def close(self) -> None:
        """Gives the cancels that are under way a moment to arrive."""
        if self._in_background:
            await asyncio.wait(self._in_background, timeout=_CLOSE_S)
        await self._wire.close()

    def expected(self, pool: Pool, stage: str, size: int = 0) -> StageDurations:
        """How long such jobs have taken."""
        return self._history[pool, stage, size]

    def pool_states(self) -> dict[str, dict[str, int]]:
        return self._pools.states()

    # ── one stage ──

    async def call(self, call: Call, deadline: Deadline, on_progress: OnProgress | None = None) -> StageAnswer:
        """Raises the stage's own error, `Throttled`, `EndpointUnavailable`, `DeadlineExceeded`, `BadAnswer`."""
        self._reject_unreachable_deadline(call, deadline)
        self._budget.first()
        tries = _Tries()
        while True:
            endpoint = self._pools.next(call.pool, tries.endpoints, call.stage)
            tries.endpoints.add(endpoint.id)
            tries.attempts += 1
            try:
                state = await self._run(endpoint, call, deadline, on_progress)
                error = failure(state, call.stage)
            except ImgPodError as caught:
                error = caught
            if error is None:
                return self._answered(endpoint, call, state, tries)
            self._count_lost(error, call, endpoint, tries)
            pause_s = self._pause_s(error, call, tries)
            if not self._may_retry(error, tries, pause_s, deadline):
                error.stage = error.stage or call.stage
                raise error
            log.info(
                "stage tried again", stage=call.stage, endpoint_id=endpoint.id, code=error.code, attempt=tries.attempts
            )
            await asyncio.sleep(pause_s)

    def _reject_unreachable_deadline(self, call: Call, deadline: Deadline) -> None:
        shortest_s = self.expected(call.pool, call.stage, call.size).shortest_s
        if deadline.left_s() <= (shortest_s or 0) / 2:
            raise DeadlineExceeded(
                f"Too little of `timeout_s` was left for {call.stage}; allow more time.", stage=call.stage
            )

    def _count_lost(self, error: ImgPodError, call: Call, endpoint: Endpoint, tries: _Tries) -> None:
        if isinstance(error, AnswerLost):
            tries.lost += 1
            self.lost_submits += 1
            log.warning("submit's answer lost", stage=call.stage, endpoint_id=endpoint.id, attempt=tries.attempts)

    def _may_retry(self, error: ImgPodError, tries: _Tries, pause_s: float, deadline: Deadline) -> bool:
        if not error.retryable or isinstance(error, DeadlineExceeded | BadAnswer | JobGone | NoWorker):
            return False
        if pause_s >= deadline.left_s():
            return False
        if isinstance(error, Asked):
            return True  # a refused submit cost nobody anything, so it is no retry: only the deadline bounds those
        if isinstance(error, AnswerLost) and tries.lost > MAX_LOST_SUBMITS:
            return False
        return tries.attempts < MAX_ATTEMPTS and self._budget.another()

    def _pause_s(self, error: ImgPodError, call: Call, tries: _Tries) -> float:
        """Full jitter; none where another endpoint of the pool is there to be tried at once."""
        if self._pools.has_other(call.pool, tries.endpoints):
            return 0.0
        jitter_s = random.uniform(_SHORTEST_PAUSE_S, min(0.2 * 2 ** min(tries.attempts, 10), 5.0))  # noqa: S311 - no secret
        if error.retry_after_ms is not None:
            return error.retry_after_ms / 1000 + min(jitter_s, 0.5)
        return jitter_s

    def _answered(self, endpoint: Endpoint, call: Call, state: State, tries: _Tries) -> StageAnswer:
        execution_ms = whole_ms(state.get("executionTime"))
        if execution_ms is not None:
            # Without the queue: a cold start says nothing about when the next job will end.
            self.expected(call.pool, call.stage, call.size).add(execution_ms / 1000)
        return StageAnswer(
            output=state["output"],
            endpoint_id=endpoint.id,
            job_id=state.get("id"),
            worker_id=state.get("workerId"),
            queue_ms=whole_ms(state.get("delayTime")),
            execution_ms=execution_ms,
            attempts=tries.attempts,
            lost=tries.lost,
        )

    # ── one attempt ──

    async def _run(self, endpoint: Endpoint, call: Call, deadline: Deadline, on_progress: OnProgress | None) -> State:
        """The job's final state. However this ends before that, the job is cancelled."""
        started = time.monotonic()
        endpoint.circuit.enter()
        endpoint.in_flight += 1
        submitting = self._background(self._submit(endpoint, call, deadline))
        try:
            state = await _by(deadline, submitting, call.stage)
            return await self._follow(endpoint, call, state, deadline, started, on_progress)
        except BaseException:
            self._background(self._cancel(endpoint, submitting))
            raise
        finally:
            endpoint.in_flight -= 1

    async def _submit(self, endpoint: Endpoint, call: Call, deadline: Deadline) -> State:
        """Goes on when its caller has left, because the id that it brings is what a cancel needs."""
        try:
            state = _named(await self._post(endpoint, call, deadline), call.stage)
        except (Unreached, AnswerLost):
            if endpoint.circuit.failed():
                log.warning("circuit opened", endpoint_id=endpoint.id)
            raise
        except BaseException:
            endpoint.circuit.answered()
            raise
        endpoint.circuit.answered()
        self._let_sleep(endpoint)
        return state

    async def _post(self, endpoint: Endpoint, call: Call, deadline: Deadline) -> State:
        left_s = max(deadline.left_s(), 0.0)
        body: dict[str, Any] = {
            "input": call.payload,
            # The platform's own limits stand behind ours, rounded up to its floors of 5 s and 10 s.
            "policy": {
                "executionTimeout": 1000 * max(5, math.ceil(call.limit_s)),
                "ttl": 1000 * max(10, math.ceil(min(left_s, self._settings.queue_allowance_s + call.limit_s))),
            },
        }
        if call.s3_config is not None:
            body["s3Config"] = call.s3_config
        if call.wait_ms is None:
            return await self._wire.request("POST", f"{endpoint.id}/run", call.stage, within_s=_REQUEST_S, json=body)
        wait_ms = max(HELD_MS, min(call.wait_ms, math.ceil(1000 * left_s)))
        return await self._wire.request(
            "POST",
            f"{endpoint.id}/runsync",
            call.stage,
            within_s=_REQUEST_S + wait_ms / 1000,
            json=body,
            params={"wait": wait_ms},
        )

    async def _follow(
        self,
        endpoint: Endpoint,
        call: Call,
        state: State,
        deadline: Deadline,
        started: float,
        on_progress: OnProgress | None,
    ) -> State:
        running_since: float | None = None
        queued_at = started
        while state.get("status") not in FINAL:
            now = time.monotonic()
            if state.get("status") == "IN_PROGRESS":
                running_since = running_since or _began(state, started, queued_at, now)
                _pass_on(state.get("output"), on_progress)
            else:  # also again, when its worker died
                running_since, queued_at = None, now
            until = self._until(call, deadline, started, running_since)
            pause_s = wait_s(
                self.expected(call.pool, call.stage, call.size), now - (running_since or started), endpoint.in_flight
            )
            await _sleep(pause_s, until)
            await _sleep(endpoint.polls.turn_s(), until)
            state = await self._status(endpoint, _job_id(state), call, until) or state
            if state.get("status") not in FINAL and until.left_s() <= 0:
                raise _late(call, deadline, running_since)
        return state

    def _until(self, call: Call, deadline: Deadline, started: float, running_since: float | None) -> Deadline:
        if running_since is None:
            return Deadline(min(deadline.at, started + self._settings.queue_allowance_s + call.limit_s))
        return Deadline(min(deadline.at, running_since + call.limit_s))

    async def _status(self, endpoint: Endpoint, job_id: str, call: Call, until: Deadline) -> State | None:
        """The job's state, or None where this one question failed: asking again is free."""
        within_s = min(_REQUEST_S, max(0.0, until.left_s()) + _LAST_LOOK_S)
        try:
            state = await self._wire.request("GET", f"{endpoint.id}/status/{job_id}", call.stage, within_s=within_s)
        except (Unreached, AnswerLost) as error:
            log.debug("status not read", stage=call.stage, endpoint_id=endpoint.id, code=error.code)
            await _sleep(_SHORTEST_PAUSE_S, until)
        except Asked as error:
            await _sleep((error.retry_after_ms or 500) / 1000, until)
        else:
            return {**state, "id": job_id}
        return None

    # ── giving up ──

    async def _cancel(self, endpoint: Endpoint, submitting: asyncio.Task[State]) -> None:
        """Until the platform has taken it, also where the job's id is still on its way."""
        try:
            state = await submitting
        except ImgPodError:
            return  # never accepted, or with an id that nobody will learn: the job's own limits end it
        if state.get("status") not in FINAL:
            await self._cancel_job(endpoint, _job_id(state))

    async def _cancel_job(self, endpoint: Endpoint, job_id: str) -> None:
        until = Deadline.after(_CANCEL_FOR_S)
        pause_s = 0.1
        async with endpoint.cancelling:
            while until.left_s() > 0:
                await _sleep(endpoint.cancels.turn_s(), until)
                try:
                    await self._wire.request("POST", f"{endpoint.id}/cancel/{job_id}", "cancel", within_s=2.0)
                except (Unreached, AnswerLost, Asked) as error:
                    await _sleep((error.retry_after_ms or 1000 * random.uniform(0, pause_s)) / 1000, until)  # noqa: S311 - jitter
                    pause_s = min(2 * pause_s, 2.0)
                except ImgPodError:
                    return  # it has ended and is forgotten
                else:
                    return
        log.warning("cancel was never taken", endpoint_id=endpoint.id)

    # ── waking ──

    def wake(self, pool: Pool) -> None:
        """Has a worker started where the pool's next endpoint has none, while the job for it is still in the making.

        The platform starts workers for waiting jobs alone, so one is left there that no worker would run (it names no
        task) and that is taken back as soon as a real one is there.
        """
        with suppress(EndpointUnavailable):
            endpoint = self._pools.next(pool)
            if endpoint.in_flight == 0 and endpoint.woken_until.left_s() <= 0:
                endpoint.woken_until = Deadline.after(_WAKE_FOR_S)
                endpoint.wake_job = self._background(self._wake(endpoint))

    async def _wake(self, endpoint: Endpoint) -> str | None:
        with suppress(ImgPodError):
            health = await self._wire.request("GET", f"{endpoint.id}/health", "wake", within_s=2.0)
            if _has_worker(health):
                return None
            body = {"input": {"task": "wake"}, "policy": {"executionTimeout": 5_000, "ttl": round(1000 * _WAKE_FOR_S)}}
            state = await self._wire.request("POST", f"{endpoint.id}/run", "wake", within_s=2.0, json=body)
            log.info("pool woken", endpoint_id=endpoint.id)
            return _job_id(state)
        return None

    def _let_sleep(self, endpoint: Endpoint) -> None:
        if (waking := endpoint.wake_job) is not None:
            endpoint.wake_job, endpoint.woken_until = None, Deadline(0.0)
            self._background(self._take_back(endpoint, waking))

    async def _take_back(self, endpoint: Endpoint, waking: asyncio.Task[str | None]) -> None:
        if job_id := await waking:
            await self._cancel_job(endpoint, job_id)

    def _background(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._in_background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._in_background.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it; where nobody does, it is not a defect


async def _by(deadline: Deadline, submitting: asyncio.Task[State], stage: str) -> State:
    try:
        async with asyncio.timeout(max(0.0, deadline.left_s())):
            return await asyncio.shield(submitting)
    except TimeoutError:
        raise DeadlineExceeded("The request's `timeout_s` ran out; allow more time.", stage=stage) from None


async def _sleep(seconds: float, until: Deadline) -> None:
    if (pause_s := min(seconds, until.left_s())) > 0:
        await asyncio.sleep(pause_s)


def _named(state: State, stage: str) -> State:
    """Raises `AnswerLost` where a job may run whose id is not told."""
    if state.get("status") not in FINAL and not _job_id(state):
        raise AnswerLost("The platform's answer names no job.", stage=stage)
    return state


def _job_id(state: State) -> str:
    job_id = state.get("id")
    return job_id if isinstance(job_id, str) else ""


def _began(state: State, started: float, queued_at: float, now: float) -> float:
    """When the job began to run: by the platform's own account, as far as that is possible."""
    queue_ms = whole_ms(state.get("delayTime"))
    return now if queue_ms is None else max(queued_at, min(now, started + queue_ms / 1000))


def _late(call: Call, deadline: Deadline, running_since: float | None) -> ImgPodError:
    if deadline.left_s() <= 0:
        return DeadlineExceeded("The request's `timeout_s` ran out; allow more time.", stage=call.stage)
    if running_since is None:
        return NoWorker(
            f"No worker took {call.stage} in time; see whether pool {call.pool} has workers.", stage=call.stage
        )
    return DeadlineExceeded(f"{call.stage} ran longer than its limit of {call.limit_s:g} s.", stage=call.stage)


def _has_worker(health: State) -> bool:
    workers = health.get("workers")
    states = ("idle", "running", "ready", "initializing")
    return not isinstance(workers, dict) or any(whole_ms(workers.get(state)) for state in states)


def _pass_on(output: object, on_progress: OnProgress | None) -> None:
    if on_progress is None or not isinstance(output, dict):
        return
    with suppress(ValueError):
        on_progress(StageProgress.model_validate(output, extra="ignore"))
