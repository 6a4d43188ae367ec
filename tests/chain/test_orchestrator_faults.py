"""The orchestrator with workers that fail, are slow, or are cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localpod import Fault, FaultKind
from tests.chain.conftest import Caller, children, eventually

CHAT = {"task": "chat/scenes/generate", "messages": [{"role": "user", "content": "the lighthouse at dusk"}]}
IMAGE = {"task": "imagegen", "prompt": "a lighthouse at dusk"}
Start = Callable[..., Caller]
Executions = Callable[[], list[dict[str, Any]]]


def test_caption_and_picture_run_concurrently(stand_ins: Start) -> None:
    caller = stand_ins(STAND_IN_GENERATE_S="1.0", STAND_IN_CAPTION_S="0.8")
    caller.output(CHAT)
    records = {record["stage"]: record for record in caller.output(CHAT)["timeline"]}
    assert records["caption"]["started_ms"] < records["generate"]["started_ms"] + 300
    assert records["caption"]["started_ms"] + records["caption"]["wall_ms"] < (
        records["generate"]["started_ms"] + records["generate"]["wall_ms"] + 500
    )


def test_cancelled_request_cancels_its_jobs(stand_ins: Start, executions: Executions) -> None:
    caller = stand_ins(STAND_IN_GENERATE_S="30", STAND_IN_CAPTION_S="30")
    job = caller.submit(CHAT)
    running = lambda: [one for one in children(caller.pod, "llm", "zimage") if one["status"] == "IN_PROGRESS"]  # noqa: E731
    eventually(running, lambda jobs: len(jobs) == 2, within_s=30)
    caller.http.post(f"cancel/{job}")
    cancelled = time.monotonic()
    eventually(running, lambda jobs: not jobs)
    assert time.monotonic() - cancelled < 4
    eventually(executions, lambda lines: sum(line["what"] == "cancelled" for line in lines) == 2)


def test_request_and_its_job_end_at_the_timeout(stand_ins: Start) -> None:
    caller = stand_ins(STAND_IN_GENERATE_S="30", LLM_CLASSIFIER="none")
    error = caller.error({**IMAGE, "timeout_s": 5})
    assert (error["code"], error["stage"]) == ("deadline_exceeded", "generate")
    eventually(lambda: children(caller.pod, "zimage"), lambda jobs: all(job["status"] == "CANCELLED" for job in jobs))


def test_failed_expansion_is_replaced_and_reported_without_a_classifier(stand_ins: Start) -> None:
    caller = stand_ins(LLM_CLASSIFIER="none")
    caller.pod.inject(Fault(kind=FaultKind.SERVER_ERROR, endpoint="llm", times=None))
    result = caller.output(CHAT)
    assert {(item["stage"], item["fallback"]) for item in result["degraded"]} == {
        ("expand", "template_prompt"),
        ("caption", "template_caption"),
    }
    assert "lighthouse" in result["prompt_used"]
    assert 10 <= len(result["caption"].split()) <= 15


def test_late_caption_does_not_delay_the_picture(stand_ins: Start) -> None:
    caller = stand_ins(STAND_IN_CAPTION_S="30", ORCHESTRATOR_CAPTION_LIMIT_S="1")
    result = caller.output(CHAT)
    assert [item["stage"] for item in result["degraded"]] == ["caption"]
    assert result["degraded"][0]["reason"] == "deadline_exceeded"


def test_prompt_of_the_llm_is_checked_before_generation(stand_ins: Start, executions: Executions) -> None:
    caller = stand_ins(STAND_IN_SAYS="a naked fourteen year old")
    error = caller.error(CHAT)
    assert error["code"] == "policy_blocked"
    assert not [line for line in executions() if line["stage"] == "generate"]


def test_selfie_of_a_minor_is_refused_before_generation(stand_ins: Start, executions: Executions) -> None:
    caller = stand_ins(STAND_IN_AGE="under_18")
    error = caller.error({"task": "profile/create", "selfie": "aGVsbG8="})
    assert error["code"] == "minor_suspected"
    assert not [line for line in executions() if line["stage"] == "generate"]


def test_submit_with_a_lost_answer_is_repeated_with_the_same_key(stand_ins: Start, executions: Executions) -> None:
    caller = stand_ins(STAND_IN_GENERATE_S="0.5")
    caller.pod.inject(Fault(kind=FaultKind.RESET_AFTER, endpoint="zimage", times=1))
    assert caller.output(IMAGE)["timeline"][-1]["attempts"] == 2
    began = [line for line in executions() if line["stage"] == "generate" and line["what"] == "began"]
    assert 1 <= len(began) <= 2
    assert len({line["key"] for line in began}) == 1


@pytest.mark.parametrize("kind", [FaultKind.THROTTLE, FaultKind.SERVER_ERROR, FaultKind.RESET_BEFORE])
def test_transient_fault_of_a_submit_is_retried(stand_ins: Start, kind: FaultKind) -> None:
    caller = stand_ins()
    caller.pod.inject(Fault(kind=kind, endpoint="zimage", times=1))
    assert caller.output(IMAGE)["degraded"] == []


def test_full_route_returns_a_retry_time(stand_ins: Start) -> None:
    caller = stand_ins(STAND_IN_GENERATE_S="2", ORCHESTRATOR_ROUTE_CAPACITY="2")
    with ThreadPoolExecutor(6) as threads:
        states = list(threads.map(lambda _: caller.ends(IMAGE), range(6)))
    refused = [state["error"] for state in states if state["status"] == "FAILED"]
    assert refused
    assert all('"queue_full"' in error and '"retry_after_ms": null' not in error for error in refused)
    assert any(state["status"] == "COMPLETED" for state in states)


def test_idempotency_key_runs_the_request_once(stand_ins: Start, executions: Executions) -> None:
    caller = stand_ins(STAND_IN_GENERATE_S="1", LLM_CLASSIFIER="none")
    keyed = {**IMAGE, "idempotency_key": "order-1"}
    first = caller.submit(keyed)
    eventually(executions, bool)
    assert caller.error(keyed)["code"] == "already_running"
    done = caller.wait(first)["output"]
    assert caller.output(keyed) == done
    assert caller.error({**keyed, "prompt": "something else"})["code"] == "idempotency_mismatch"
    began = [line["stage"] for line in executions() if line["what"] == "began"]
    assert began == ["generate"]


def test_progress_of_the_whole_chain_reaches_the_caller(stand_ins: Start) -> None:
    caller = stand_ins(STAND_IN_EXPAND_S="1", STAND_IN_GENERATE_S="1")
    job = caller.submit(CHAT)
    percents: list[int] = []
    stages: set[str] = set()
    while (state := caller.status(job))["status"] not in {"COMPLETED", "FAILED"}:
        if isinstance(report := state.get("output"), dict):
            percents.append(report["percent"])
            stages.add(report["stage"])
        time.sleep(0.02)
    assert state["status"] == "COMPLETED"
    assert stages == {"expand", "generate"}
    assert percents == sorted(percents)
    assert any(percent > 50 for percent in percents)
