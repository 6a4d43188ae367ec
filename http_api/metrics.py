"""Metrics for Prometheus: counts and seconds by route, stage and code. No label contains a caller's text.

May import: core, orchestrator, prometheus_client, starlette.
"""

from __future__ import annotations

import time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.contracts import Route
from orchestrator.service import Service
from orchestrator.tracing import RequestTrace

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
_UNKNOWN_PATH = "unknown"


class Metrics:
    """The metrics of one application."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._service = service
        self.http = Counter(
            "img_pod_http_requests_total", "HTTP requests.", ["path", "method", "status"], registry=registry
        )
        self.http_seconds = Histogram(
            "img_pod_http_request_seconds", "Until the answer was sent.", ["path"], buckets=_SECONDS, registry=registry
        )
        self.http_in_flight = Gauge("img_pod_http_requests_in_flight", "Running HTTP requests.", registry=registry)
        self.requests = Counter(
            "img_pod_requests_total", "Requests that ended, by error code.", ["route", "code"], registry=registry
        )
        self.request_seconds = Histogram(
            "img_pod_request_seconds", "A request's flow.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.stage_seconds = Histogram(
            "img_pod_stage_seconds", "A stage's call.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self.queue_seconds = Histogram(
            "img_pod_stage_queue_seconds",
            "The platform's queue and cold start.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.degraded = Counter("img_pod_degraded_total", "Stages that were replaced.", ["stage"], registry=registry)
        self.pictures = Counter("img_pod_pictures_total", "Pictures generated.", ["route"], registry=registry)
        self.dollars = Counter(
            "img_pod_cost_usd_total", "Cost of the workers' device time.", ["route"], registry=registry
        )
        self.places = Gauge(
            "img_pod_places_in_use",
            "Running pictures; the limit is `ORCHESTRATOR_ROUTE_CAPACITY`.",
            ["route"],
            registry=registry,
        )
        self.circuits = Gauge("img_pod_open_circuits", "Endpoints that are not called.", ["pool"], registry=registry)

    def observe(self, traced: RequestTrace) -> None:
        """Count a request that has ended."""
        route = str(traced.route)
        self.requests.labels(route, traced.code or "ok").inc()
        self.request_seconds.labels(route).observe(traced.wall_ms / 1000)
        self.dollars.labels(route).inc(traced.cost_usd)
        for record in traced.timeline:
            self.stage_seconds.labels(record.stage).observe(record.wall_ms / 1000)
            if record.queue_ms is not None:
                self.queue_seconds.labels(record.stage).observe(record.queue_ms / 1000)
            if record.stage == "generate":
                self.pictures.labels(route).inc()
        for stage in traced.degraded:
            self.degraded.labels(stage).inc()

    def response(self) -> Response:
        service = self._service
        for route in Route:
            self.places.labels(str(route)).set(service.capacity[route].running)
        for pool, state in service.endpoints.pool_states().items():
            self.circuits.labels(pool).set(state["open_circuits"])
        return Response(generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class MetricsMiddleware:
    """Counts every HTTP request by the path pattern of its route, not by its URL."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.http_in_flight.track_inprogress():
            try:
                await self._app(scope, receive, noted)
            finally:
                path = getattr(scope.get("route"), "path", _UNKNOWN_PATH)
                self._metrics.http.labels(path, _method(scope["method"]), str(status)).inc()
                self._metrics.http_seconds.labels(path).observe(time.monotonic() - started)


def _method(method: str) -> str:
    """The label of a method; unknown methods share one, because a caller may send any word."""
    return method if method in {"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"} else "other"
