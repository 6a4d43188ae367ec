"""One orchestrator process: what all its requests share, and how one request enters and leaves.

May import: core, orchestrator.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from core.contracts import PersonRequest, PictureRequest, Result, Route
from core.errors import DeadlineExceeded
from core.logs import logger
from core.policy import POLICY_VERSION, treatment
from core.publishing import Publisher
from core.settings import Endpoints as EndpointList
from core.settings import Pool, Settings, load_endpoints
from core.worker.job import Job
from orchestrator.chain import Chain
from orchestrator.endpoints import Endpoints
from orchestrator.flows import FLOWS
from orchestrator.ledger import Answers, Capacity, GpuSeconds
from orchestrator.polling import Deadline

log = logger()

_LATEST_S = 0.7


@dataclass(slots=True)
class Service:
    settings: Settings
    endpoints: Endpoints
    prices: dict[Pool, float]
    publisher: Publisher
    answers: Answers
    capacity: dict[Route, Capacity]
    gpu_seconds: GpuSeconds = field(default_factory=GpuSeconds)

    @classmethod
    def from_settings(cls, settings: Settings) -> Service:
        """Raises `Misconfigured` where a pool has no endpoint or the platform no key."""
        own = settings.orchestrator
        return cls(
            settings=settings,
            endpoints=Endpoints(settings.platform, own),
            prices=prices(load_endpoints()),
            publisher=Publisher.from_settings(settings.storage, max_bytes=settings.worker.max_result_bytes),
            answers=Answers(keep_s=own.keep_results_s),
            capacity={
                route: Capacity(own.route_capacity, retry_after_cap_ms=own.retry_after_cap_ms) for route in Route
            },
        )

    async def answer(self, request: PictureRequest, job: Job) -> Result:
        """A request's result. Raises what its flow raises, `QueueFull`, and what an idempotency key brings."""
        self.publisher.check(job.s3_config)
        return await self.answers.once(request, lambda: self._run(request, job))

    async def _run(self, request: PictureRequest, job: Job) -> Result:
        route = request.task
        with self.capacity[route].place():
            chain = self._chain(request, route, job)
            with structlog.contextvars.bound_contextvars(trace_id=chain.trace_id, route=str(route)):
                try:
                    result = await self._within_deadline(request, route, chain)
                finally:
                    self.gpu_seconds.add(route, tuple(chain.timeline))
                log.info("request done", policy_version=POLICY_VERSION, wall_ms=_total_ms(result))
        return result

    async def _within_deadline(self, request: PictureRequest, route: Route, chain: Chain) -> Result:
        # Each stage minds the deadline; this stands behind them, so that nothing can hang.
        try:
            async with asyncio.timeout(chain.deadline.left_s() + _LATEST_S):
                chain.refuse_what_cannot_fit()
                return await self._published(await FLOWS[route](request, chain), chain.job)
        except TimeoutError:
            raise DeadlineExceeded("The request's `timeout_s` ran out; allow more time.") from None

    def _chain(self, request: PictureRequest, route: Route, job: Job) -> Chain:
        person = request if isinstance(request, PersonRequest) else None
        key = self.settings.policy.signing_key
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
                signing_key=key.get_secret_value().encode() if key else None,
            ),
        )

    async def _published(self, result: Result, job: Job) -> Result:
        url, degraded = await self.publisher.upload(result, job.s3_config)
        if url is None:
            known = {item.stage for item in result.degraded}
            more = tuple(item for item in degraded if item.stage not in known)
            return result.model_copy(update={"degraded": (*result.degraded, *more)})
        stored = tuple(item for item in result.degraded if item.stage != "storage")
        return result.model_copy(update={"image_base64": None, "image_url": url, "degraded": stored})


def prices(endpoints: EndpointList) -> dict[Pool, float]:
    """Dollars per worker second by pool, for those whose endpoint has a price."""
    found = {}
    for pool in Pool:
        names = endpoints.serving(pool)
        price = endpoints.endpoints[names[0]].price_per_s if names else None
        if price is not None:
            found[pool] = price
    return found


def _total_ms(result: Result) -> int:
    return max((record.started_ms + record.wall_ms for record in result.timeline), default=0)
