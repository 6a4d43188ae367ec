"""What outlives a request: each route's capacity, the retry budget, idempotent answers, GPU seconds by route.

Held in memory, by one orchestrator process; shared_ledger.py keeps the answers where all of them can see them.

May import: core.contracts, core.errors.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from core.contracts import PictureRequest, Result, Route, StageRecord
from core.errors import AlreadyRunning, IdempotencyMismatch, QueueFull

_RATE_WINDOW_S = 60.0
_UNMEASURED_WAIT_MS = 2_000
_SHORTEST_WAIT_MS = 100


class Capacity:
    """How many requests of one route run at a time, and how fast they have been ending."""

    def __init__(self, limit: int, *, retry_after_cap_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._cap_ms = retry_after_cap_ms
        self._clock = clock
        self._running = 0
        self._ends: deque[float] = deque(maxlen=256)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises `QueueFull`, with the time in which a place is likely to be free."""
        if self._running >= self._limit:
            raise QueueFull("This route has no room for another request now.", retry_after_ms=self.retry_after_ms())
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._ends.append(self._clock())

    def retry_after_ms(self) -> int:
        """Time between two ends, as measured over the last minute."""
        since = self._clock() - _RATE_WINDOW_S
        recent = [end for end in self._ends if end > since]
        if len(recent) < 2:
            return min(_UNMEASURED_WAIT_MS, self._cap_ms)
        return max(_SHORTEST_WAIT_MS, min(self._cap_ms, round(1000 * (recent[-1] - recent[0]) / (len(recent) - 1))))


class RetryBudget:
    """Retries as a share of first attempts, so that they can't multiply an outage; `reserve` are in hand at first."""

    def __init__(self, share: float, *, reserve: float = 10.0) -> None:
        self._share = share
        self._most = 10 * max(reserve, 1.0)
        self._tokens = reserve

    def first(self) -> None:
        self._tokens = min(self._tokens + self._share, self._most)

    def another(self) -> bool:
        if self._share == 0 or self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Answers(Protocol):
    """The answers to requests that carry an idempotency key. Failures are not kept: the same key may try again."""

    async def once(self, key: str, request: PictureRequest, run: Callable[[], Awaitable[Result]]) -> Result:
        """`run()`'s result, or the one it gave before.

        Raises `AlreadyRunning` while the first runs, and `IdempotencyMismatch` for another body.
        """
        ...


class AnswersInMemory:
    """Those of one process, for `keep_s` seconds and at most `max_bytes` of them, oldest out first."""

    def __init__(
        self, *, keep_s: float, max_bytes: int = 256_000_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._running: dict[str, str] = {}
        self._kept: OrderedDict[str, tuple[float, str, Result]] = OrderedDict()
        self._bytes = 0

    async def once(self, key: str, request: PictureRequest, run: Callable[[], Awaitable[Result]]) -> Result:
        body = digest(request)
        self._forget_old()
        if (kept := self._kept.get(key)) is not None:
            check_same(kept[1], body)
            return kept[2]
        if (running := self._running.get(key)) is not None:
            check_same(running, body)
            raise AlreadyRunning("The request with this `idempotency_key` is still running.", retry_after_ms=1_000)
        self._running[key] = body
        try:
            result = await run()
        finally:
            del self._running[key]
        self._keep(key, body, result)
        return result

    def _keep(self, key: str, body: str, result: Result) -> None:
        if _weight(result) > self._max_bytes:
            return  # it would push out all others and then itself
        self._kept[key] = (self._clock() + self._keep_s, body, result)
        self._bytes += _weight(result)
        self._forget_old()

    def _forget_old(self) -> None:
        now = self._clock()
        while self._kept and (self._bytes > self._max_bytes or next(iter(self._kept.values()))[0] < now):
            _, (_, _, result) = self._kept.popitem(last=False)
            self._bytes -= _weight(result)


class GpuSeconds:
    """Device time by route, also where routes share an endpoint."""

    def __init__(self) -> None:
        self._ms: Counter[Route] = Counter()

    def add(self, route: Route, timeline: tuple[StageRecord, ...]) -> float:
        """Adds a request's stages; answers how many seconds the route has had by now."""
        self._ms[route] += sum(record.share_ms or 0 for record in timeline)
        return self._ms[route] / 1000

    def by_route(self) -> dict[str, float]:
        return {str(route): ms / 1000 for route, ms in self._ms.items()}


def digest(request: PictureRequest) -> str:
    """What two requests with one key must have in common: everything but how the caller names them."""
    body = request.model_dump(mode="json", exclude={"idempotency_key", "request_id"})
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def check_same(known: str, body: str) -> None:
    """Raises `IdempotencyMismatch`."""
    if known != body:
        raise IdempotencyMismatch("This `idempotency_key` was used for another request; use a new one.")


def _weight(result: Result) -> int:
    return 4_000 + len(result.image_base64 or "")
