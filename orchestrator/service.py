"""The orchestrator's service: admits, runs and delivers requests, with the state that they share.

The worker of the platform's job queue and the HTTP API both call `Service.answer`.

May import: core, orchestrator.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from core.contracts import PersonRequest, PictureRequest, Result, Route
from core.errors import AlreadyRunning, Cancelled, DeadlineExceeded, IdempotencyMismatch, ImgPodError, QueueFull
from core.logs import logger
from core.policy import POLICY_VERSION, treatment
from core.settings import Endpoints as EndpointList
from core.settings import OrchestratorSettings, Pool, Settings, StorageSettings, load_endpoints
from core.worker.job import Job
from orchestrator.capacity import Capacity
from orchestrator.chain import Chain
from orchestrator.deadlines import Deadline
from orchestrator.endpoints import Endpoints
from orchestrator.flows import FLOWS
from orchestrator.idempotency import IdempotencyStore, InMemoryIdempotency
from orchestrator.publication import Publication
from orchestrator.tracing import NoTracing, OtlpTracing, RequestTrace, Tracing
from orchestrator.webhooks import Webhooks

log = logger()

_DEADLINE_GRACE_S = 0.7
"""Time after its deadline for a request to end by itself."""
_NOT_ADMITTED = (AlreadyRunning, IdempotencyMismatch, QueueFull)
_LONGEST_REQUEST_S = 900.0
"""Upper bound of a request's `timeout_s`."""


@dataclass(slots=True)
class Service:
    settings: Settings
    endpoints: Endpoints
    prices: dict[Pool, float]
    publication: Publication
    answers: IdempotencyStore
    capacity: dict[Route, Capacity]
    trace: Tracing = field(default_factory=NoTracing)
    webhooks: Webhooks = field(default_factory=lambda: Webhooks(None))
    observers: list[Callable[[RequestTrace], None]] = field(default_factory=list)
    """Called after every request, failed ones included."""
    _sweeping: asyncio.Task[None] | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Service:
        """Create the service. Raises `Misconfigured` if a pool has no endpoint or the platform no key."""
        own = settings.orchestrator
        return cls(
            settings=settings,
            endpoints=Endpoints(settings.platform, own),
            prices=prices(load_endpoints()),
            publication=Publication.from_settings(settings),
            answers=idempotency_store(own, settings.storage),
            capacity={
                route: Capacity(own.route_capacity, retry_after_cap_ms=own.retry_after_cap_ms) for route in Route
            },
            trace=OtlpTracing(own.otlp_endpoint) if own.otlp_endpoint else NoTracing(),
            webhooks=Webhooks(own.webhook_secret),
        )

    async def shutdown(self) -> None:
        """Wait up to seven seconds for pending cancels, webhooks and spans."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await asyncio.gather(self.endpoints.close(), self.webhooks.close())
        await asyncio.to_thread(self.trace.flush)

    async def answer(self, request: PictureRequest, job: Job) -> Result:
        """Run a request and return its result. Raises the flow's errors, `QueueFull`, and idempotency errors."""
        self.publication.check(request, job)
        self.webhooks.check(request)
        self._start_sweeping()
        try:
            result = await self._answer_once(request, job)
        except _NOT_ADMITTED:
            raise  # answered at once; a webhook would report a failure of the request that holds the key
        except ImgPodError as error:
            self.webhooks.failed(request, job.id, error)
            raise
        except asyncio.CancelledError:
            self.webhooks.failed(request, job.id, Cancelled("The request was cancelled."))
            raise
        self.webhooks.completed(request, job.id, result)
        return result

    async def _answer_once(self, request: PictureRequest, job: Job) -> Result:
        key = request.idempotency_key
        if key is None:
            return await self._run(request, job)
        # No key contains a newline, so that a caller can't construct another caller's key.
        scoped = f"{job.caller}\n{key}" if job.caller else key
        result = await self.answers.run_once(scoped, request, lambda: self._run(request, job), job.s3_config)
        return result.model_copy(update={"request_id": request.request_id})

    def _start_sweeping(self) -> None:
        if self._sweeping is None and (stored := self.publication.stored) is not None:
            self._sweeping = asyncio.create_task(stored.sweep_forever())

    async def _run(self, request: PictureRequest, job: Job) -> Result:
        route = request.task
        with self.capacity[route].slots(request.n):
            chain = self._chain(request, route, job)
            with structlog.contextvars.bound_contextvars(trace_id=chain.trace_id, route=str(route)):
                try:
                    result = await self._within_deadline(request, route, chain)
                except ImgPodError as error:
                    error.trace_id = chain.trace_id
                    self._record_end(route, chain, error.code)
                    raise
                except asyncio.CancelledError:
                    self._record_end(route, chain, Cancelled.code)
                    raise
                self._record_end(route, chain, None)
        return result

    def _record_end(self, route: Route, chain: Chain, code: str | None) -> None:
        timeline = tuple(chain.timeline)
        wall_ms = round(1000 * (time.monotonic() - chain.started))
        gpu_s = sum(record.share_ms or 0 for record in timeline) / 1000
        log.info("request ended", policy_version=POLICY_VERSION, wall_ms=wall_ms, code=code, gpu_s=round(gpu_s, 3))
        degraded = tuple(one.stage for one in chain.degraded)
        traced = RequestTrace(chain.trace_id, route, wall_ms, timeline, degraded, code, chain.job.caller)
        self.trace(traced)
        for observe in self.observers:
            observe(traced)

    async def _within_deadline(self, request: PictureRequest, route: Route, chain: Chain) -> Result:
        # Each stage observes the deadline; this is a fallback, so that no request can hang.
        try:
            async with asyncio.timeout(chain.deadline.left_s() + _DEADLINE_GRACE_S):
                chain.reject_unreachable_deadline()
                result = await FLOWS[route](request, chain)
                return await self.publication.publish(result, request, chain.job)
        except TimeoutError:
            raise DeadlineExceeded("The request's `timeout_s` ran out; allow more time.") from None

    def _chain(self, request: PictureRequest, route: Route, job: Job) -> Chain:
        person = request if isinstance(request, PersonRequest) else None
        return Chain(
            request=request,
            job=job,
            endpoints=self.endpoints,
            settings=self.settings,
            prices=self.prices,
            deadline=Deadline.after(request.timeout_s or self.settings.orchestrator.timeout_s),
            treated_as=treatment(
                route,
                features=person.features if person else None,
                subject=getattr(request, "subject", None),
                signing_key=self.settings.policy.key,
            ),
        )


def prices(endpoints: EndpointList) -> dict[Pool, float]:
    """Dollars per worker second by pool, for those whose endpoint has a price."""
    found = {}
    for pool in Pool:
        names = endpoints.serving(pool)
        price = endpoints.endpoints[names[0]].price_per_s if names else None
        if price is not None:
            found[pool] = price
    return found


def idempotency_store(settings: OrchestratorSettings, storage: StorageSettings) -> IdempotencyStore:
    """The configured store. Raises `Misconfigured` if it needs a bucket and none is set."""
    if settings.ledger == "memory":
        return InMemoryIdempotency(keep_s=settings.keep_results_s)
    from orchestrator.bucket import Bucket
    from orchestrator.idempotency_s3 import S3Idempotency

    return S3Idempotency(Bucket(storage), keep_s=settings.keep_results_s, lease_s=_LONGEST_REQUEST_S)
