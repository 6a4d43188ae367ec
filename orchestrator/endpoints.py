"""How endpoints are called: the only module of the orchestrator that knows HTTP.

One `call` is one stage: it takes an endpoint of the pool, submits the job, follows it to its end, and tries again
where that is safe. Short stages go by `runsync` with a short wait, because that answers at once; long ones by `run`,
because only that tells the job's id early enough to cancel it. A job that nobody waits for any more is cancelled.

What is tried again: a 429, a connection that could not be made, an endpoint's 5xx, and a job that failed with a
retryable error. A submit whose answer was lost may have been accepted, and the platform knows no idempotency key: it
is sent again under the same `replay_key`, which a worker that meets it twice answers from its cache.

May import: httpx, core.contracts, core.errors, core.logs, core.settings, orchestrator.{ledger,polling}.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from core.contracts import StageProgress
from core.errors import (
    BadAnswer,
    Cancelled,
    DeadlineExceeded,
    EndpointUnavailable,
    ImgPodError,
    Misconfigured,
    StageFailed,
    Throttled,
    TooLarge,
    from_wire,
)
from core.logs import logger
from core.settings import OrchestratorSettings, PlatformSettings, Pool
from orchestrator.ledger import RetryBudget
from orchestrator.polling import History, wait_s

log = logger()
OnProgress = Callable[[StageProgress], None]

MAX_ATTEMPTS = 3
_CANCEL_TIMEOUT_S = 2.0
_HTTP = httpx.Timeout(10.0, connect=5.0)
_FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}


class SubmitLost(EndpointUnavailable):
    """The endpoint may or may not have accepted the job; its class is the caller's `endpoint_unavailable`."""

    code = "endpoint_unavailable"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock; seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        return self.at - time.monotonic()


@dataclass(frozen=True, slots=True)
class Call:
    """One stage as it is sent. `limit_s` bounds its execution; `wait_ms` is how long `runsync` may hold the answer."""

    stage: str
    pool: Pool
    payload: Mapping[str, Any] = field(repr=False)
    limit_s: float
    wait_ms: int | None = None
    s3_config: Mapping[str, object] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """A stage's output and the platform's own facts about it."""

    output: Mapping[str, Any] = field(repr=False)
    endpoint_id: str
    job_id: str | None
    worker_id: str | None
    queue_ms: int | None
    execution_ms: int | None
    attempts: int


@dataclass(slots=True)
class Endpoint:
    """One endpoint id, the jobs this process has there, and its circuit."""

    id: str
    in_flight: int = 0
    failures: int = 0
    closed_again_at: float = 0.0

    def open_for_s(self) -> float:
        """How long its circuit stays open; 0 when it may be called."""
        return max(0.0, self.closed_again_at - time.monotonic())

    def judge(self, error: ImgPodError | None, settings: OrchestratorSettings) -> None:
        """Counts what says that the endpoint itself is down; everything else is an answer, and closes the circuit."""
        if not isinstance(error, EndpointUnavailable):
            self.failures = 0
            return
        self.failures += 1
        if self.failures >= settings.circuit_failures:
            self.closed_again_at = time.monotonic() + settings.circuit_open_s
            log.warning("circuit opened", endpoint_id=self.id, wait_ms=round(1000 * settings.circuit_open_s))


class Endpoints:
    """All pools of one orchestrator process. `close` when done."""

    def __init__(
        self,
        platform: PlatformSettings,
        settings: OrchestratorSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._budget = RetryBudget(settings.retry_budget)
        self._client = httpx.AsyncClient(
            base_url=platform.endpoint_base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {platform.key}"},
            timeout=_HTTP,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            transport=transport,
        )
        known: dict[str, Endpoint] = {}
        self._pools = {
            pool: [known.setdefault(name, Endpoint(name)) for name in settings.endpoint_ids(pool)] for pool in Pool
        }
        self._turns = {pool: itertools.count() for pool in Pool}
        self._history: dict[str, History] = defaultdict(History)
        self._cancelling: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        if self._cancelling:
            await asyncio.wait(self._cancelling, timeout=_CANCEL_TIMEOUT_S)
        await self._client.aclose()

    # ── one stage ──

    async def call(self, call: Call, deadline: Deadline, on_progress: OnProgress | None = None) -> Answered:
        """Raises the stage's own error, `Throttled`, `EndpointUnavailable`, `DeadlineExceeded`, `BadAnswer`."""
        self._refuse_what_cannot_fit(call, deadline)
        self._budget.first()
        tried: set[str] = set()
        for attempt in itertools.count(1):
            endpoint = self._choose(call, tried)
            tried.add(endpoint.id)
            try:
                answered = await self._try(endpoint, call, deadline, attempt, on_progress)
            except ImgPodError as error:
                endpoint.judge(error, self._settings)
                pause_s = self._pause_s(error, call, attempt, tried)
                if not self._may_retry(error, attempt, pause_s, deadline):
                    raise _at_stage(error, call.stage) from None
                log.info(
                    "stage tried again", stage=call.stage, endpoint_id=endpoint.id, code=error.code, attempt=attempt
                )
                await asyncio.sleep(pause_s)
            else:
                endpoint.judge(None, self._settings)
                return answered
        raise AssertionError("unreachable: the loop ends by return or raise")

    def _refuse_what_cannot_fit(self, call: Call, deadline: Deadline) -> None:
        shortest_s = self._history[call.stage].shortest_s
        if deadline.left_s() <= 0 or (shortest_s is not None and deadline.left_s() < shortest_s / 2):
            raise DeadlineExceeded(
                f"Too little of `timeout_s` was left for {call.stage}; allow more time.", stage=call.stage
            )

    def _choose(self, call: Call, tried: set[str]) -> Endpoint:
        """The pool's next endpoint by round robin; one not tried yet and with a closed circuit comes first."""
        pool = self._pools[call.pool]
        turn = next(self._turns[call.pool])
        in_turn = [pool[(turn + offset) % len(pool)] for offset in range(len(pool))]
        closed = [endpoint for endpoint in in_turn if endpoint.open_for_s() == 0]
        if not closed:
            wait_ms = math.ceil(1000 * min(endpoint.open_for_s() for endpoint in pool))
            raise EndpointUnavailable(
                f"No endpoint of pool {call.pool} answers; try again later.",
                stage=call.stage,
                retry_after_ms=min(wait_ms, self._settings.retry_after_cap_ms),
            )
        return next((endpoint for endpoint in closed if endpoint.id not in tried), closed[0])

    def _may_retry(self, error: ImgPodError, attempt: int, pause_s: float, deadline: Deadline) -> bool:
        if not error.retryable or isinstance(error, DeadlineExceeded):
            return False
        if pause_s >= deadline.left_s():
            return False
        # A refused submit cost the platform nothing, so it is no retry; only the deadline bounds those.
        return isinstance(error, Throttled) or (attempt < MAX_ATTEMPTS and self._budget.another())

    def _pause_s(self, error: ImgPodError, call: Call, attempt: int, tried: set[str]) -> float:
        """Full jitter; none where another endpoint of the pool is there to be tried at once."""
        if any(e.id not in tried and e.open_for_s() == 0 for e in self._pools[call.pool]):
            return 0.0
        if error.retry_after_ms is not None:
            return error.retry_after_ms / 1000
        return random.uniform(0, min(0.2 * 2**attempt, 5.0))  # noqa: S311 - jitter, not a secret

    # ── one attempt ──

    async def _try(
        self, endpoint: Endpoint, call: Call, deadline: Deadline, attempt: int, on_progress: OnProgress | None
    ) -> Answered:
        started = time.monotonic()
        endpoint.in_flight += 1
        submitting = asyncio.create_task(self._submit(endpoint, call, deadline))
        try:
            state = await asyncio.shield(submitting)
            state = await self._follow(endpoint, call, state, deadline, started, on_progress)
        except (asyncio.CancelledError, DeadlineExceeded, EndpointUnavailable):
            self._give_up(endpoint, submitting)
            raise
        finally:
            endpoint.in_flight -= 1
        output = _output(state, call.stage)
        execution_ms = _whole(state.get("executionTime"))
        # Without the queue: a cold start says nothing about when the next job will end.
        self._history[call.stage].add(time.monotonic() - started if execution_ms is None else execution_ms / 1000)
        return Answered(
            output=output,
            endpoint_id=endpoint.id,
            job_id=state.get("id"),
            worker_id=state.get("workerId"),
            queue_ms=_whole(state.get("delayTime")),
            execution_ms=execution_ms,
            attempts=attempt,
        )

    async def _submit(self, endpoint: Endpoint, call: Call, deadline: Deadline) -> dict[str, Any]:
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
            return await self._request("POST", f"{endpoint.id}/run", call.stage, json=body)
        wait_ms = max(1000, min(call.wait_ms, math.ceil(1000 * left_s)))
        return await self._request(
            "POST",
            f"{endpoint.id}/runsync",
            call.stage,
            json=body,
            params={"wait": wait_ms},
            timeout=httpx.Timeout(wait_ms / 1000 + 10, connect=5.0),
        )

    async def _follow(
        self,
        endpoint: Endpoint,
        call: Call,
        state: dict[str, Any],
        deadline: Deadline,
        started: float,
        on_progress: OnProgress | None,
    ) -> dict[str, Any]:
        running_since: float | None = None
        job_id = state.get("id")
        while state.get("status") not in _FINAL:
            if not isinstance(job_id, str) or not job_id:
                raise BadAnswer(f"The platform's answer for {call.stage} names no job.", stage=call.stage)
            now = time.monotonic()
            if state.get("status") == "IN_PROGRESS":
                running_since = running_since or now
                _pass_on(state.get("output"), on_progress)
            until = self._until(call, deadline, started, running_since)
            pause_s = wait_s(self._history[call.stage], now - started, endpoint.in_flight)
            await asyncio.sleep(max(0.0, min(pause_s, until.left_s())))
            self._stop_if_late(call, deadline, until, running_since)
            state = await self._status(endpoint, job_id, call, until) or state
        return state

    def _until(self, call: Call, deadline: Deadline, started: float, running_since: float | None) -> Deadline:
        if running_since is None:
            return Deadline(min(deadline.at, started + self._settings.queue_allowance_s + call.limit_s))
        return Deadline(min(deadline.at, running_since + call.limit_s))

    def _stop_if_late(self, call: Call, deadline: Deadline, until: Deadline, running_since: float | None) -> None:
        if until.left_s() > 0:
            return
        if deadline.left_s() <= 0:
            raise DeadlineExceeded("The request's `timeout_s` ran out; allow more time.", stage=call.stage)
        if running_since is None:
            raise EndpointUnavailable(
                f"No worker took {call.stage} in time; see whether pool {call.pool} has workers.", stage=call.stage
            )
        raise DeadlineExceeded(f"{call.stage} ran longer than its limit of {call.limit_s:g} s.", stage=call.stage)

    async def _status(self, endpoint: Endpoint, job_id: str, call: Call, until: Deadline) -> dict[str, Any] | None:
        """The job's state, or None where this one question failed: asking again is free."""
        try:
            return await self._request("GET", f"{endpoint.id}/status/{job_id}", call.stage)
        except (SubmitLost, BadAnswer) as error:
            log.debug("status not read", stage=call.stage, endpoint_id=endpoint.id, code=error.code)
        except Throttled as error:
            pause_s = (error.retry_after_ms or 500) / 1000
            await asyncio.sleep(max(0.0, min(pause_s, until.left_s())))
        return None

    # ── giving up ──

    def _give_up(self, endpoint: Endpoint, submitting: asyncio.Task[dict[str, Any]]) -> None:
        """Cancels the job in the background, also where its id is still on its way."""
        task = asyncio.create_task(self._cancel(endpoint, submitting))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _cancel(self, endpoint: Endpoint, submitting: asyncio.Task[dict[str, Any]]) -> None:
        try:
            state = await submitting
        except ImgPodError:
            return  # never accepted, as far as anyone can tell
        if state.get("status") in _FINAL or not isinstance(job_id := state.get("id"), str):
            return
        for pause_s in (0.1, 0.3, 0.6, 0.0):
            try:
                await self._request("POST", f"{endpoint.id}/cancel/{job_id}", "cancel")
            except ImgPodError as error:
                log.info("cancel not taken", endpoint_id=endpoint.id, code=error.code)
                await asyncio.sleep(pause_s)
            else:
                return

    # ── one request ──

    async def _request(self, method: str, path: str, stage: str, **options: Any) -> dict[str, Any]:
        try:
            response = await self._client.request(method, path, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise EndpointUnavailable("The platform can't be reached.", stage=stage) from None
        except httpx.TransportError:
            raise SubmitLost("The platform's answer was lost.", stage=stage) from None
        if response.status_code >= 400:
            raise _refusal(response, stage)
        try:
            state = response.json()
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise BadAnswer("The platform's answer was no JSON object.", stage=stage)
        return state


def _refusal(response: httpx.Response, stage: str) -> ImgPodError:
    status = response.status_code
    if status == 429:
        return Throttled("The platform asks for fewer requests.", stage=stage, retry_after_ms=_retry_after_ms(response))
    if status in {401, 403}:
        return Misconfigured("The RunPod key may not call this endpoint; check RUNPOD_API_KEY.", stage=stage)
    if status == 404:
        return StageFailed("The endpoint or the job is gone; check the endpoint's id.", stage=stage)
    if status == 413:
        return TooLarge("The platform refuses a request this large; send the selfie as a URL.", stage=stage)
    if status >= 500:
        return SubmitLost(f"The platform answered {status}.", stage=stage)
    return StageFailed(f"The platform refused the request with {status}.", stage=stage)


def _retry_after_ms(response: httpx.Response) -> int | None:
    with suppress(KeyError, ValueError):
        return max(0, round(1000 * float(response.headers["Retry-After"])))
    return None


def _output(state: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """A final state's output; raises what the state says went wrong."""
    status = state["status"]
    if status == "TIMED_OUT":
        raise DeadlineExceeded(f"The platform stopped {stage} at its time-out.", stage=stage)
    if status == "CANCELLED":
        raise Cancelled(f"{stage} was cancelled on the platform.", stage=stage)
    if status == "FAILED":
        raise from_wire(state.get("error"), stage=stage)
    output = state.get("output")
    if not isinstance(output, dict):
        # The platform completes a job whose result it dropped as too large (runpod-python #309).
        raise BadAnswer(f"{stage} completed without a result.", stage=stage)
    return output


def _pass_on(output: object, on_progress: OnProgress | None) -> None:
    if on_progress is None or not isinstance(output, dict):
        return
    with suppress(ValueError):
        on_progress(StageProgress.model_validate(output, extra="ignore"))


def _whole(value: object) -> int | None:
    return round(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _at_stage(error: ImgPodError, stage: str) -> ImgPodError:
    error.stage = error.stage or stage
    return error
