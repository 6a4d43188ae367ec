"""Calls as jobs of an endpoint: submit, poll, cancel, and the platform's own failures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from img_pod import ImgPod
from img_pod import errors as e

from tests.client.conftest import RESULT, Answer, ScriptedServer, json_answer

PROGRESS = {"stage": "generate", "step": 2, "of": 8, "percent": 25}


@pytest.fixture
def client(server: ScriptedServer) -> ImgPod:
    server.on("POST", "/endpoint/run", json_answer({"id": "j", "status": "IN_QUEUE"}))
    server.on("POST", "/endpoint/cancel/j", json_answer({"id": "j", "status": "CANCELLED"}))
    return ImgPod.runpod("endpoint", "account-key", base_url=server.url)


def statuses(server: ScriptedServer, *bodies: dict[str, Any]) -> None:
    server.on("GET", "/endpoint/status/j", *(json_answer(body) for body in bodies))


def failed(code: str, **more: Any) -> dict[str, Any]:
    return {"status": "FAILED", "error": json.dumps({"code": code, "message": f"{code} happened.", **more})}


def test_call_submits_polls_and_returns_the_result(server: ScriptedServer, client: ImgPod) -> None:
    statuses(
        server,
        {"status": "IN_QUEUE"},
        {"status": "IN_PROGRESS", "output": PROGRESS},
        {"status": "IN_PROGRESS", "output": PROGRESS},
        {"status": "COMPLETED", "output": RESULT},
    )
    reports: list[str] = []

    result = client.imagegen(prompt="a lighthouse", on_progress=lambda report: reports.append(report.stage))

    assert result.seed == 7
    assert reports == ["generate"]
    submitted = server.received[0]
    assert submitted.body["input"]["task"] == "imagegen"
    assert submitted.body["input"]["idempotency_key"]
    assert submitted.headers["authorization"] == "Bearer account-key"


def test_error_of_the_job_is_raised_as_its_class(server: ScriptedServer, client: ImgPod) -> None:
    statuses(server, failed("policy_blocked", categories=["minors"], stage="request"))

    with pytest.raises(e.PolicyBlocked):
        client.imagegen(prompt="a lighthouse")

    assert server.paths("POST").count("/endpoint/run") == 1


def test_retryable_job_is_submitted_again_under_the_same_key(server: ScriptedServer, client: ImgPod) -> None:
    statuses(server, failed("worker_stopping"), {"status": "COMPLETED", "output": RESULT})

    client.imagegen(prompt="a lighthouse")

    keys = {one.body["input"]["idempotency_key"] for one in server.received if one.path == "/endpoint/run"}
    assert server.paths("POST").count("/endpoint/run") == 2
    assert len(keys) == 1


def test_time_out_cancels_the_remote_job(server: ScriptedServer, client: ImgPod) -> None:
    statuses(server, {"status": "IN_QUEUE"})

    with pytest.raises(e.ClientTimeout):
        client.imagegen(prompt="a lighthouse", timeout=0.05)

    assert "/endpoint/cancel/j" in server.paths("POST")
    assert server.paths("POST").count("/endpoint/run") == 1


def test_interrupt_cancels_the_remote_job(server: ScriptedServer, client: ImgPod) -> None:
    statuses(server, {"status": "IN_PROGRESS", "output": PROGRESS})

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.imagegen(prompt="a lighthouse", on_progress=interrupt)

    assert "/endpoint/cancel/j" in server.paths("POST")


def test_status_request_that_fails_is_repeated(server: ScriptedServer, client: ImgPod) -> None:
    server.on("GET", "/endpoint/status/j", Answer(drop=True), json_answer({"status": "COMPLETED", "output": RESULT}))

    assert client.imagegen(prompt="a lighthouse").seed == 7


def test_platform_failures_are_typed(server: ScriptedServer, client: ImgPod) -> None:
    statuses(server, {"status": "TIMED_OUT"})

    with pytest.raises(e.StageFailed, match="time limit"):
        client.imagegen(prompt="a lighthouse")


def test_rejected_key_says_what_to_do(server: ScriptedServer, client: ImgPod) -> None:
    server.on("POST", "/endpoint/run", Answer(401))

    with pytest.raises(e.Unauthorized, match="RunPod API key"):
        client.imagegen(prompt="a lighthouse")


def test_throttled_submit_waits_as_long_as_the_platform_says(
    server: ScriptedServer, client: ImgPod, waits: list[float]
) -> None:
    accepted = json_answer({"id": "j", "status": "IN_QUEUE"})
    server.on("POST", "/endpoint/run", Answer(429, headers={"Retry-After": "3"}), accepted)
    statuses(server, {"status": "COMPLETED", "output": RESULT})

    client.imagegen(prompt="a lighthouse")

    assert waits[0] >= 3


def test_events_of_a_submitted_job_end_with_its_result(server: ScriptedServer, client: ImgPod) -> None:
    statuses(server, {"status": "IN_PROGRESS", "output": PROGRESS}, {"status": "COMPLETED", "output": RESULT})

    events = [event.name for event in client.imagegen.submit(prompt="a lighthouse").events()]

    assert events == ["accepted", "progress", "result"]
