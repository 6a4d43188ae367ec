"""Spans of a request that has ended."""

from __future__ import annotations

import json
import time

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.contracts import Route, StageRecord
from orchestrator.tracing import OtlpTracing, RequestTrace


def record(stage: str, started_ms: int, wall_ms: int) -> StageRecord:
    return StageRecord(
        stage=stage, task="t", endpoint_id="e", started_ms=started_ms, wall_ms=wall_ms, queue_ms=3, attempts=2
    )


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def test_request_and_its_stages_share_the_trace_id_of_the_log(exporter: InMemorySpanExporter) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    timeline = (record("expand", 0, 1000), record("generate", 1010, 1300))
    trace = OtlpTracing("http://unused", exporter)
    trace(RequestTrace(trace_id, Route.SHORTS, 2400, timeline, degraded=("caption",)))
    trace.flush()
    expand, generate, whole = exporter.get_finished_spans()
    assert {format(span.context.trace_id, "032x") for span in (expand, generate, whole)} == {trace_id}
    assert expand.parent.span_id == generate.parent.span_id == whole.context.span_id
    assert whole.parent is None
    assert generate.start_time - whole.start_time == 1010 * 10**6
    assert generate.end_time - generate.start_time == 1300 * 10**6
    assert expand.attributes["img_pod.attempts"] == 2
    assert whole.attributes["img_pod.degraded"] == ("caption",)


def test_failed_requests_span_names_the_error(exporter: InMemorySpanExporter) -> None:
    trace = OtlpTracing("http://unused", exporter)
    trace(RequestTrace("1" * 32, Route.SHORTS, 10, (), code="deadline_exceeded"))
    trace.flush()
    (whole,) = exporter.get_finished_spans()
    assert not whole.status.is_ok
    assert whole.attributes["img_pod.error"] == "deadline_exceeded"
    assert "process" not in json.dumps(dict(whole.resource.attributes))


class Hangs(InMemorySpanExporter):
    def export(self, spans: object) -> None:  # type: ignore[override]  # it never comes to an answer
        time.sleep(30)


def test_flush_does_not_wait_long_for_a_hanging_trace_collector() -> None:
    trace = OtlpTracing("http://unused", Hangs())
    trace(RequestTrace("1" * 32, Route.SHORTS, 10, ()))
    began = time.monotonic()
    trace.flush()
    assert time.monotonic() - began < 5
