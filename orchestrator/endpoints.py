"""Stage calls: submit a stage's job, poll it to its end, retry, cancel.

A call selects an endpoint of the pool, submits the job, polls it to its end, and retries if that is safe. Stages that
are short, by declaration or by measurement, are submitted with `runsync` and a short wait, which returns the result at
once; long ones with `run`, which returns the job's id early enough to cancel it. A job whose caller is gone is
cancelled.

    the platform limits the request rate    retried until the deadline, because nothing has run
    the endpoint was not reached, 503       retried, on another endpoint first
    a submit's answer was lost              retried once, under the same `replay_key`, as the first may run too
    a job failed with a retryable error     retried
    anything else                           not retried: a second run would fail in the same way

May import: core.errors, core.logs, core.settings, orchestrator.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from core.errors import BadAnswer, DeadlineExceeded, ImgPodError
from core.logs import logger
from core.settings import OrchestratorSettings, PlatformSettings, Pool
from orchestrator.capacity import RetryBudget
from orchestrator.cleanup import JobCleanup
from orchestrator.deadlines import Deadline
from orchestrator.polling import MIN_RUNSYNC_WAIT_MS, StageDurations, wait_s
from orchestrator.pools import Endpoint, Pools
from orchestrator.runpod_client import (
    FINAL,
    EndpointUnreachable,
    JobNotFound,
    PlatformThrottled,
    ResponseLost,
    RunpodClient,
    State,
    failure,
    read_ms,
)
from orchestrator.stage_call import (
    Call,
    NoWorker,
    OnProgress,
    StageAnswer,
    job_id_of,
    report_progress,
    require_job_id,
    sleep_until,
    started_at,
    submitted_before,
    timeout_error,
)

log = logger()

MAX_ATTEMPTS = 3
MAX_LOST_SUBMITS = 1
"""Retries after submits with a lost answer; each may cause one unnecessary execution."""
_REQUEST_S = 10.0
_FINAL_STATUS_S = 0.5
"""Time for a last status request at the deadline, so that the result of a job that has just ended is used."""
_SHORTEST_PAUSE_S = 0.05


@dataclass(slots=True)
class _Tries:
    """The endpoints and attempts that one call has used."""

    endpoints: set[str] = field(default_factory=set)
    attempts: int = 0
    lost: int = 0


class Endpoints:
    """All pools of one orchestrator process. `close` when done."""

    def __init__(self, platform: PlatformSettings, settings: OrchestratorSettings) -> None:
        self._settings = settings
        self._budget = RetryBudget(settings.retry_budget)
        self._client = RunpodClient(platform)
        self._pools = Pools(settings)
        self._cleanup = JobCleanup(self._client, self._pools)
        self._history: dict[tuple[Pool, str, int], StageDurations] = defaultdict(StageDurations)
        self.lost_submits = 0

    async def close(self) -> None:
        """Wait for pending cancels, then close the connections."""
        await self._cleanup.close()
        await self._client.close()

    def wake(self, pool: Pool) -> None:
        """Start a worker of `pool` in advance, while the job for it is still being prepared."""
        self._cleanup.wake(pool)

    def expected(self, pool: Pool, stage: str, size: int = 0) -> StageDurations:
        """Measured execution times of such jobs."""
        return self._history[pool, stage, size]

    def pool_states(self) -> dict[str, dict[str, int]]:
        return self._pools.states()

    async def call(self, call: Call, deadline: Deadline, on_progress: OnProgress | None = None) -> StageAnswer:
        """Run one stage and return its answer.

        Raises the stage's own error, `Throttled`, `EndpointUnavailable`, `DeadlineExceeded`, `BadAnswer`.
        """
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
                return self._stage_answer(endpoint, call, state, tries)
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
                f"The remaining part of `timeout_s` is too short for {call.stage}; allow more time.", stage=call.stage
            )

    def _count_lost(self, error: ImgPodError, call: Call, endpoint: Endpoint, tries: _Tries) -> None:
        if isinstance(error, ResponseLost):
            tries.lost += 1
            self.lost_submits += 1
            log.warning("submit's answer lost", stage=call.stage, endpoint_id=endpoint.id, attempt=tries.attempts)

    def _may_retry(self, error: ImgPodError, tries: _Tries, pause_s: float, deadline: Deadline) -> bool:
        if not error.retryable or isinstance(error, DeadlineExceeded | BadAnswer | JobNotFound | NoWorker):
            return False
        if pause_s >= deadline.left_s():
            return False
        if isinstance(error, PlatformThrottled):
            return True  # a refused submit ran nothing, so it is limited by the deadline and not by the retry budget
        if isinstance(error, ResponseLost) and tries.lost > MAX_LOST_SUBMITS:
            return False
        return tries.attempts < MAX_ATTEMPTS and self._budget.another()

    def _pause_s(self, error: ImgPodError, call: Call, tries: _Tries) -> float:
        """Random pause (full jitter); 0 if another endpoint of the pool can be tried at once."""
        if self._pools.has_other(call.pool, tries.endpoints):
            return 0.0
        jitter_s = random.uniform(_SHORTEST_PAUSE_S, min(0.2 * 2 ** min(tries.attempts, 10), 5.0))  # noqa: S311 - no secret
        if error.retry_after_ms is not None:
            return error.retry_after_ms / 1000 + min(jitter_s, 0.5)
        return jitter_s

    def _stage_answer(self, endpoint: Endpoint, call: Call, state: State, tries: _Tries) -> StageAnswer:
        execution_ms = read_ms(state.get("executionTime"))
        if execution_ms is not None:
            # Without the time in the queue, because a cold start doesn't predict the next job's duration.
            self.expected(call.pool, call.stage, call.size).add(execution_ms / 1000)
        return StageAnswer(
            output=state["output"],
            endpoint_id=endpoint.id,
            job_id=state.get("id"),
            worker_id=state.get("workerId"),
            queue_ms=read_ms(state.get("delayTime")),
            execution_ms=execution_ms,
            attempts=tries.attempts,
            lost=tries.lost,
        )

    async def _run(self, endpoint: Endpoint, call: Call, deadline: Deadline, on_progress: OnProgress | None) -> State:
        """Submit the job and return its final state. If this ends early for any reason, the job is cancelled."""
        started = time.monotonic()
        endpoint.circuit.enter()
        endpoint.in_flight += 1
        submitting = self._cleanup.start(self._submit(endpoint, call, deadline))
        try:
            state = await submitted_before(deadline, submitting, call.stage)
            return await self._follow(endpoint, call, state, deadline, started, on_progress)
        except BaseException:
            self._cleanup.cancel_submitted(endpoint, submitting)
            raise
        finally:
            endpoint.in_flight -= 1

    async def _submit(self, endpoint: Endpoint, call: Call, deadline: Deadline) -> State:
        """Submit the job. Not cancelled with its caller: the id in the answer is needed to cancel the job."""
        try:
            state = require_job_id(await self._post(endpoint, call, deadline), call.stage)
        except (EndpointUnreachable, ResponseLost):
            if endpoint.circuit.failed():
                log.warning("circuit opened", endpoint_id=endpoint.id)
            raise
        except BaseException:
            endpoint.circuit.answered()
            raise
        endpoint.circuit.answered()
        self._cleanup.end_wake(endpoint)
        return state

    async def _post(self, endpoint: Endpoint, call: Call, deadline: Deadline) -> State:
        left_s = max(deadline.left_s(), 0.0)
        body: dict[str, Any] = {
            "input": call.payload,
            # The platform enforces the same limits as a fallback, rounded up to its minimums of 5 s and 10 s.
            "policy": {
                "executionTimeout": 1000 * max(5, math.ceil(call.limit_s)),
                "ttl": 1000 * max(10, math.ceil(min(left_s, self._settings.queue_allowance_s + call.limit_s))),
            },
        }
        if call.s3_config is not None:
            body["s3Config"] = call.s3_config
        if call.wait_ms is None:
            return await self._client.request("POST", f"{endpoint.id}/run", call.stage, within_s=_REQUEST_S, json=body)
        wait_ms = max(MIN_RUNSYNC_WAIT_MS, min(call.wait_ms, math.ceil(1000 * left_s)))
        return await self._client.request(
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
                running_since = running_since or started_at(state, started, queued_at, now)
                report_progress(state.get("output"), on_progress)
            else:  # also after its worker was lost
                running_since, queued_at = None, now
            until = self._stage_deadline(call, deadline, started, running_since)
            pause_s = wait_s(
                self.expected(call.pool, call.stage, call.size), now - (running_since or started), endpoint.in_flight
            )
            await sleep_until(pause_s, until)
            await sleep_until(endpoint.polls.reserve_s(), until)
            state = await self._status(endpoint, job_id_of(state), call, until) or state
            if state.get("status") not in FINAL and until.left_s() <= 0:
                raise timeout_error(call, deadline, running_since)
        return state

    def _stage_deadline(self, call: Call, deadline: Deadline, started: float, running_since: float | None) -> Deadline:
        if running_since is None:
            return Deadline(min(deadline.at, started + self._settings.queue_allowance_s + call.limit_s))
        return Deadline(min(deadline.at, running_since + call.limit_s))

    async def _status(self, endpoint: Endpoint, job_id: str, call: Call, until: Deadline) -> State | None:
        """The job's state; None if this status request failed, because a later one may succeed."""
        within_s = min(_REQUEST_S, max(0.0, until.left_s()) + _FINAL_STATUS_S)
        try:
            state = await self._client.request("GET", f"{endpoint.id}/status/{job_id}", call.stage, within_s=within_s)
        except (EndpointUnreachable, ResponseLost) as error:
            log.debug("status not read", stage=call.stage, endpoint_id=endpoint.id, code=error.code)
            await sleep_until(_SHORTEST_PAUSE_S, until)
        except PlatformThrottled as error:
            await sleep_until((error.retry_after_ms or 500) / 1000, until)
        else:
            return {**state, "id": job_id}
        return None
