"""The endpoints of each pool: selection by round robin, and circuit breakers.

May import: core.errors, core.logs, core.settings, orchestrator.polling.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from core.errors import EndpointUnavailable
from core.logs import logger
from core.settings import OrchestratorSettings, Pool
from orchestrator.deadlines import Deadline
from orchestrator.polling import PollRateLimiter

log = logger()


class Circuit:
    """Circuit breaker: open after `failures` in a row; after `open_s` one call at a time may test the endpoint.

    Only whether the endpoint was reached counts; a failed job is an answer.
    """

    def __init__(self, failures: int, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False

    def retry_in_s(self) -> float:
        """Seconds until the endpoint may be called; 0: now."""
        if self._open_until is None:
            return 0.0
        left_s = max(0.0, self._open_until - self._clock())
        return max(left_s, 1.0) if self._probing else left_s

    def enter(self) -> None:
        """Record the start of a call, which must end with `answered` or `failed`."""
        self._probing = self._open_until is not None

    def answered(self) -> None:
        self._failures, self._open_until, self._probing = 0, None, False

    def failed(self) -> bool:
        """Record a failed call; return whether it opened the circuit. Calls that began earlier don't open it again."""
        self._failures += 1
        if self._failures < self._limit or (self._open_until is not None and not self._probing):
            return False
        self._open_until, self._probing = self._clock() + self._open_s, False
        return True


@dataclass(slots=True)
class Endpoint:
    """One endpoint id and its state in this process.

    The platform allows 2,000 status requests and 100 cancels in 10 s, and 20 cancels at once; the limits of one process
    are lower. `wake_job` is a queued job whose only purpose is that the platform starts a worker.
    """

    id: str
    circuit: Circuit
    in_flight: int = 0
    polls: PollRateLimiter = field(default_factory=lambda: PollRateLimiter(per_s=150, burst=150))
    cancels: PollRateLimiter = field(default_factory=lambda: PollRateLimiter(per_s=5, burst=40))
    cancelling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(10))
    wake_job: asyncio.Task[str | None] | None = None
    woken_until: Deadline = field(default_factory=lambda: Deadline(0.0))


class Pools:
    """The endpoints of each pool, which pools may share. Raises `Misconfigured` for a pool without an endpoint."""

    def __init__(self, settings: OrchestratorSettings) -> None:
        self._cap_ms = settings.retry_after_cap_ms
        known: dict[str, Endpoint] = {}

        def endpoint(name: str) -> Endpoint:
            circuit = Circuit(settings.circuit_failures, settings.circuit_open_s)
            return known.setdefault(name, Endpoint(name, circuit))

        self._pools = {pool: [endpoint(name) for name in settings.endpoint_ids(pool)] for pool in Pool}
        self._turns = {pool: itertools.count() for pool in Pool}

    def next(self, pool: Pool, tried: Collection[str] = (), stage: str | None = None) -> Endpoint:
        """The next endpoint in turn, untried ones first. Raises `EndpointUnavailable` if all circuits are open."""
        endpoints = self._pools[pool]
        turn = next(self._turns[pool])
        in_turn = [endpoints[(turn + offset) % len(endpoints)] for offset in range(len(endpoints))]
        usable = [endpoint for endpoint in in_turn if endpoint.circuit.retry_in_s() == 0]
        if not usable:
            wait_ms = math.ceil(1000 * min(endpoint.circuit.retry_in_s() for endpoint in endpoints))
            raise EndpointUnavailable(
                f"No endpoint of pool {pool} answers; try again later.",
                stage=stage,
                retry_after_ms=min(wait_ms, self._cap_ms),
            )
        return next((endpoint for endpoint in usable if endpoint.id not in tried), usable[0])

    def has_other(self, pool: Pool, tried: Collection[str]) -> bool:
        """Whether the pool has another endpoint that may be called now."""
        return any(one.id not in tried and one.circuit.retry_in_s() == 0 for one in self._pools[pool])

    def states(self) -> dict[str, dict[str, int]]:
        """Pool → number of endpoints, and how many of them have an open circuit."""
        return {
            str(pool): {
                "endpoints": len(endpoints),
                "open_circuits": sum(one.circuit.retry_in_s() > 0 for one in endpoints),
            }
            for pool, endpoints in self._pools.items()
        }
