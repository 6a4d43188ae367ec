"""Export requests and their stages as OpenTelemetry spans, over OTLP to `ORCHESTRATOR_OTLP_ENDPOINT`.

Spans are created after a request has ended, from the timeline that the chain has recorded, so no request waits for an
exporter. The trace id is that of the log lines. Attributes are names, times and counts, never a user's text.

May import: core, opentelemetry (the extra `orchestrator`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from core.contracts import Route, StageRecord
from core.errors import Misconfigured

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_NS_PER_MS = 1_000_000
_EXPORT_EVERY_MS = 1_000
_FLUSH_S = 2.0


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """A request that has ended; `wall_ms` is its duration, `code` that of its error."""

    trace_id: str
    route: Route
    wall_ms: int
    timeline: tuple[StageRecord, ...]
    degraded: tuple[str, ...] = ()
    code: str | None = None
    caller: str = ""

    @property
    def cost_usd(self) -> float:
        """Cost of its stages with a known price."""
        return sum(record.cost_usd or 0.0 for record in self.timeline)


class Tracing(Protocol):
    """Receiver of requests that have ended."""

    def __call__(self, request: RequestTrace) -> None: ...

    def flush(self) -> None:
        """Wait up to two seconds until everything is sent."""
        ...


class NoTracing:
    """Tracing without an endpoint: records nothing."""

    def __call__(self, request: RequestTrace) -> None:
        del request

    def flush(self) -> None:
        return


class OtlpTracing:
    """`Tracing` that exports spans in the background. Raises `Misconfigured` without the extra."""

    def __init__(self, endpoint: str, exporter: SpanExporter | None = None) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise Misconfigured(
                "ORCHESTRATOR_OTLP_ENDPOINT needs the extra: pip install 'img-pod[orchestrator]'."
            ) from None
        # Only our own attributes: a default resource would add the machine's environment and command line.
        resource = Resource({"service.name": "img-pod-orchestrator"})
        self._ids = _fixed_trace_ids()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        to = exporter or OTLPSpanExporter(endpoint=endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(to, schedule_delay_millis=_EXPORT_EVERY_MS))
        self._tracer = self._provider.get_tracer("orchestrator")

    def flush(self) -> None:
        # The SDK's batches don't observe its own time limit: a hanging collector would delay the worker's exit.
        sending = threading.Thread(target=self._provider.force_flush, daemon=True)
        sending.start()
        sending.join(_FLUSH_S)

    def __call__(self, request: RequestTrace) -> None:
        from opentelemetry import trace as api
        from opentelemetry.context import Context

        self._ids.next_trace_id = int(request.trace_id, 16)
        ended_ns = time.time_ns()
        began_ns = ended_ns - request.wall_ms * _NS_PER_MS
        whole = self._tracer.start_span(
            str(request.route), context=Context(), start_time=began_ns, attributes=_request_attributes(request)
        )
        if request.code is not None:
            whole.set_status(api.Status(api.StatusCode.ERROR, request.code))
        around = api.set_span_in_context(whole, Context())
        for record in request.timeline:
            start_ns = began_ns + record.started_ms * _NS_PER_MS
            stage = self._tracer.start_span(
                record.stage, context=around, start_time=start_ns, kind=api.SpanKind.CLIENT,
                attributes=_stage_attributes(record),
            )  # fmt: skip
            stage.end(start_ns + record.wall_ms * _NS_PER_MS)
        whole.end(ended_ns)


def _request_attributes(request: RequestTrace) -> dict[str, Any]:
    code = {} if request.code is None else {"img_pod.error": request.code}
    return {"img_pod.route": str(request.route), "img_pod.degraded": list(request.degraded), **code}


def _stage_attributes(record: StageRecord) -> dict[str, Any]:
    facts = record.model_dump(
        include={
            "task", "endpoint_id", "job_id", "worker_id", "queue_ms", "execution_ms", "device_ms", "batch_size",
            "attempts", "cost_usd",
        }
    )  # fmt: skip
    return {f"img_pod.{name}": value for name, value in facts.items() if value is not None}


def _fixed_trace_ids() -> Any:
    """The SDK's id generator, with the trace id that the request already has in its log lines."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class FixedTraceIds(RandomIdGenerator):
        next_trace_id = 0

        def generate_trace_id(self) -> int:
            return self.next_trace_id

    return FixedTraceIds()
