"""Calls over the HTTP API: retries, time-outs, cancellation, resumed event streams."""

from __future__ import annotations

import pytest
from img_pod import AsyncImgPod, ImgPod
from img_pod import errors as e

from tests.client.conftest import RESULT, Answer, ScriptedServer, json_answer, problem, stream

PROGRESS = {"stage": "generate", "step": 2, "of": 8, "percent": 25}
DONE = stream(("accepted", {"id": "j"}), ("progress", PROGRESS), ("result", RESULT))


def call(server: ScriptedServer, **more: object) -> object:
    with ImgPod(server.url) as client:
        return client.imagegen(prompt="a lighthouse", **more)  # type: ignore[arg-type]


def test_call_returns_the_result_and_reports_progress(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", DONE)
    reports: list[int] = []

    with ImgPod(server.url) as client:
        result = client.imagegen(
            prompt="a lighthouse", seed=7, on_progress=lambda report: reports.append(report.percent)
        )

    assert result.seed == 7
    assert result.bytes.startswith(b"\x89PNG")
    assert reports == [25]
    [request] = server.received
    assert request.body["prompt"] == "a lighthouse"
    assert request.headers["accept"] == "text/event-stream"


async def test_asynchronous_client_has_the_same_names(server: ScriptedServer) -> None:
    server.on("POST", "/v1/chat/scenes/generate", DONE)

    async with AsyncImgPod(server.url) as client:
        result = await client.chat.scenes(messages=[{"role": "user", "content": "hello"}])

    assert result.prompt_used == "a lighthouse"


def test_request_is_repeated_after_retry_after(server: ScriptedServer, waits: list[float]) -> None:
    server.on("POST", "/v1/imagegen", problem("queue_full", 429, retry_after_ms=1_500), DONE)

    call(server)

    assert len(waits) == 1
    assert waits[0] >= 1.5


def test_every_attempt_of_a_call_has_the_same_idempotency_key(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", Answer(drop=True), problem("endpoint_unavailable", 503), DONE)

    call(server)

    keys = [one.headers["idempotency-key"] for one in server.received]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_two_calls_have_different_idempotency_keys(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", DONE)

    call(server)
    call(server)

    assert len({one.headers["idempotency-key"] for one in server.received}) == 2


def test_refusal_is_not_retried_and_has_its_details(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", problem("policy_blocked", 422, stage="request", categories=["minors"]))

    with pytest.raises(e.PolicyBlocked) as refused:
        call(server)

    assert refused.value.categories == ("minors",)
    assert refused.value.stage == "request"
    assert len(server.received) == 1


def test_retries_are_bounded(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", problem("queue_full", 429))

    with pytest.raises(e.QueueFull):
        call(server)

    assert len(server.received) == 3


def test_error_event_is_raised_as_its_class(server: ScriptedServer) -> None:
    body = {"code": "unsafe_output", "detail": "Not safe.", "stage": "generate"}
    server.on("POST", "/v1/imagegen", stream(("accepted", {}), ("error", body)))

    with pytest.raises(e.UnsafeOutput, match="Not safe"):
        call(server)


def test_time_out_closes_the_connection_and_is_not_repeated(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", stream(("accepted", {"id": "j"}), hold=True))

    with pytest.raises(e.ClientTimeout):
        call(server, timeout=0.3)

    assert server.dropped.wait(5)
    assert len(server.received) == 1


def test_interrupt_closes_the_connection(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", stream(("accepted", {}), ("progress", PROGRESS), hold=True))

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(server, on_progress=interrupt)

    assert server.dropped.wait(5)
    assert len(server.received) == 1


def test_unreachable_service_is_reported(waits: list[float]) -> None:
    with ImgPod("http://127.0.0.1:9") as client, pytest.raises(e.ConnectionFailed):
        client.imagegen(prompt="a lighthouse")

    assert len(waits) == 2


@pytest.mark.parametrize(
    ("status", "text", "cls", "sentence"),
    [
        (401, "", e.Unauthorized, "RunPod API key"),
        (400, '{"error":"no workers available"}', e.EndpointUnavailable, "maximum of workers"),
        (502, "<html>", e.EndpointUnavailable, "endpoint's port"),
        (404, "", e.NotFound, "endpoint id"),
        (418, "", e.UnexpectedAnswer, "check the address"),
    ],
)
def test_platform_answers_become_readable_errors(
    server: ScriptedServer, status: int, text: str, cls: type[e.ImgPodError], sentence: str
) -> None:
    server.on("POST", "/v1/imagegen", Answer(status, text.encode()))

    with pytest.raises(cls, match=sentence):
        call(server)


def test_answer_without_a_result_is_an_error(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", stream(("result", {"hello": 1})))

    with pytest.raises(e.UnexpectedAnswer, match="upgrade"):
        call(server)


def test_fields_of_a_newer_service_are_ignored(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", stream(("result", {**RESULT, "invented_later": 1})))

    with ImgPod(server.url) as client:
        assert client.imagegen(prompt="a lighthouse").seed == 7


def accepted(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", json_answer({"id": "j"}, 202, **{"X-Runpod-Worker-Id": "w1"}))


def test_submitted_job_returns_its_result(server: ScriptedServer) -> None:
    accepted(server)
    server.on("GET", "/v1/jobs/j/events", DONE)

    with ImgPod(server.url) as client:
        job = client.imagegen.submit(prompt="a lighthouse")
        result = job.result(timeout=5)

    assert (job.id, result.seed) == ("j", 7)
    assert server.received[0].headers["prefer"] == "respond-async"
    assert server.received[1].headers["x-runpod-worker-id"] == "w1"


def test_interrupted_event_stream_is_resumed_after_the_last_event(server: ScriptedServer) -> None:
    accepted(server)
    server.on("GET", "/v1/jobs/j/events", stream(("accepted", {}), ("progress", PROGRESS)), stream(("result", RESULT)))

    with ImgPod(server.url) as client:
        client.imagegen.submit(prompt="a lighthouse").result()

    reads = [one for one in server.received if one.method == "GET"]
    assert [one.headers.get("last-event-id") for one in reads] == [None, "2"]


def test_status_shows_progress_and_end(server: ScriptedServer) -> None:
    accepted(server)
    running = {"id": "j", "status": "running", "progress": PROGRESS, "result": None, "error": None}
    failed = {"id": "j", "status": "failed", "error": {"code": "black_picture", "detail": "Black."}}
    server.on("GET", "/v1/jobs/j", json_answer(running), json_answer(failed))

    with ImgPod(server.url) as client:
        job = client.imagegen.submit(prompt="a lighthouse")
        first, second = job.status(), job.status()

    assert first.progress is not None
    assert (first.state, first.progress.percent) == ("running", 25)
    assert second.ended
    assert isinstance(second.error, e.BlackPicture)


def test_job_is_cancelled_if_its_result_takes_too_long(server: ScriptedServer) -> None:
    accepted(server)
    server.on("DELETE", "/v1/jobs/j", Answer(204))
    server.on("GET", "/v1/jobs/j/events", stream(("accepted", {}), ("progress", PROGRESS), hold=True))

    with ImgPod(server.url) as client, pytest.raises(e.ClientTimeout):
        client.imagegen.submit(prompt="a lighthouse").result(timeout=0.0)

    assert server.paths("DELETE") == ["/v1/jobs/j"]


def test_keys_are_sent_and_not_shown(server: ScriptedServer) -> None:
    server.on("POST", "/v1/imagegen", DONE)

    with ImgPod(server.url, api_key="service-key", runpod_api_key="account-key") as client:
        client.imagegen(prompt="a lighthouse")
        assert "key" not in repr(client)

    assert server.received[0].headers["x-api-key"] == "service-key"
    assert server.received[0].headers["authorization"] == "Bearer account-key"
