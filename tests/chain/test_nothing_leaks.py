"""Canaries in every text, file and secret must not occur in logs or errors, for every outcome of a request.

No canary may be in a log of any process, in an error, in progress or in the audit. A result may contain its own ones.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.contracts import ExpandTask, GenerateTask, Route
from localpod import LocalEndpoint, LocalpodThread, Options, Scaler
from tests.chain.conftest import FINAL, POOLS, Caller
from tests.chain.handlers.leaking_exceptions import BREAKS

WORDS, STYLE = "quokkawords", "quokkastyle"
FIELD = "quokka field"
"""A field's name is repeated where it looks like one, which this doesn't."""
SELFIE = base64.b64encode(b"quokka of a selfie, no picture at all " * 40).decode()
SECRETS = {
    "POLICY_SIGNING_KEY": "quokka-signing-key",
    "BUCKET_SECRET_ACCESS_KEY": "quokka-bucket-secret",
    "BUCKET_ACCESS_KEY_ID": "quokka-bucket-id",
}
API_KEY, JOBS_OWN_SECRET = "quokka-api-key", "quokka-jobs-own-secret"
CANARIES = [
    WORDS,
    STYLE,
    FIELD,
    SELFIE[:24],
    "quokka of a selfie",
    *SECRETS.values(),
    API_KEY,
    JOBS_OWN_SECRET,
    "quokka",
]
UNREACHED = "http://127.0.0.1:9"
STAGES = ("analyze", "expand", "generate", "caption")
LeakRequest = tuple[str, Any, dict[str, Any]]
"""Endpoint, the job's input, and the other fields of its envelope."""


def leaked(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary.lower() in text.lower()]


def requests(text: str, selfie: str = SELFIE) -> list[dict[str, Any]]:
    """Return one request of each route with `text` in every text field."""
    messages = [
        {"role": role, "content": f"{text} {WORDS}, the lighthouse"} for role in ("system", "assistant", "user")
    ]
    return [
        {"task": Route.PROFILE, "selfie": selfie, "style": f"{STYLE} {text}"},
        *({"task": route, "messages": messages} for route in (Route.CHAT_1TO1, Route.SHORTS, Route.SCENES)),
        *({"task": route, "prompt": f"{text} {WORDS}"} for route in (Route.PRIVATE, Route.GENERAL)),
    ]


def bad_inputs() -> list[Any]:
    to_jsonable = {"task": Route.GENERAL, "prompt": f"a lighthouse {WORDS}"}
    return [
        WORDS,
        [WORDS],
        {"task": WORDS},
        {"prompt": WORDS},
        {**to_jsonable, FIELD: WORDS},
        {**to_jsonable, "prompt": f"{WORDS} " * 1_000},
        {**to_jsonable, "prompt": {"text": WORDS}},
        {**to_jsonable, "width": WORDS},
        {**to_jsonable, "request_id": f"{FIELD} {WORDS}"},
        {**to_jsonable, "features": {"hair_color": WORDS, FIELD: WORDS}},
        {"task": Route.SHORTS, "messages": [{"role": WORDS, "content": WORDS}]},
        {"task": Route.SHORTS, "messages": WORDS},
        {"task": Route.PROFILE, "selfie": [SELFIE], "style": STYLE * 100},
        {"task": Route.PROFILE, "selfie": f"data:{WORDS};base64,{SELFIE}", "seed": WORDS},
    ]


def everything() -> Iterator[LeakRequest]:
    """Return requests that succeed, are refused, are invalid, or end with an exception of each stage."""
    own_bucket = {
        "accessId": "quokkaid",
        "accessSecret": JOBS_OWN_SECRET,
        "bucketName": "pictures",
        "endpointUrl": UNREACHED,
    }
    with_password = {**own_bucket, "endpointUrl": f"http://quokkaid:{JOBS_OWN_SECRET}@127.0.0.1:9"}
    for envelope in ({}, {"s3Config": own_bucket}, {"s3Config": with_password}, {"s3Config": JOBS_OWN_SECRET}):
        yield from (("orchestrator", request, envelope) for request in requests("a lighthouse"))
    yield from (("orchestrator", request, {}) for request in requests("a naked child"))
    for stage in STAGES:
        broken = [{**request, "request_id": f"{BREAKS}{stage}"} for request in requests("a pier")]
        yield from (("orchestrator", request, {"s3Config": own_bucket}) for request in broken)
    yield from (("orchestrator", given, {}) for given in bad_inputs())
    for endpoint in POOLS:
        yield from ((endpoint, given, {}) for given in bad_inputs())
    yield "selfie", {"task": "profile/analyze", "selfie": SELFIE, "request_id": f"{BREAKS}analyze"}, {}
    yield "llm", {"task": ExpandTask.SHORTS, "messages": [{"role": "user", "content": f"{BREAKS}expand {WORDS}"}]}, {}
    yield "zimage", {"task": GenerateTask.GENERAL, "prompt": f"{BREAKS}generate {WORDS}"}, {"s3Config": own_bucket}


def followed(pod: LocalpodThread, asked: LeakRequest) -> list[dict[str, Any]]:
    """Run the request and return every state that a caller sees until the job ends."""
    endpoint, given, envelope = asked
    caller = Caller(pod, endpoint)
    job = caller.http.post("run", json={"input": given, **envelope})
    states = [{"status": "REFUSED", "error": job.text}] if job.is_error else [job.json()]
    while "id" in states[0] and states[-1]["status"] not in FINAL:
        time.sleep(0.1)  # so that all threads together stay below the platform's limit on polls
        states.append(caller.status(states[0]["id"]))
    caller.http.close()
    return states


def all_followed(pod: LocalpodThread, asked: list[LeakRequest]) -> list[list[dict[str, Any]]]:
    with ThreadPoolExecutor(12) as threads:
        return list(threads.map(lambda one: followed(pod, one), asked))


def logs(folder: Path) -> dict[str, str]:
    """Return what each process has written to stdout and stderr."""
    return {file.name: file.read_text(errors="replace") for file in folder.glob("*.log")}


@pytest.mark.parametrize("loop", ["own", "stock"])
def test_logs_errors_progress_and_audit_contain_no_canary(loop: str, tmp_path: Path) -> None:
    env = {
        **SECRETS,
        "BUCKET_ENDPOINT_URL": UNREACHED,
        "BUCKET_NAME": "pictures",
        "BUCKET_ATTEMPTS": "1",
        "BUCKET_ALLOW_PRIVATE": "true",
        "POLICY_AUDIT_FILE": str(tmp_path / "audit"),
        "WORKER_LOOP": loop,
        "STAND_IN_GENERATE_S": "0.2",
        "ORCHESTRATOR_ROUTE_CAPACITY": "100",
    }
    stand_in = "tests.chain.handlers.leaking_exceptions"
    endpoints = {
        name: LocalEndpoint(stand_in, Scaler("request_count", 1, 0, 1), pools=of, env=env) for name, of in POOLS.items()
    }
    endpoints["orchestrator"] = LocalEndpoint(
        "orchestrator", Scaler("request_count", 50, 0, 1), calls_others=True, env=env
    )
    with LocalpodThread(endpoints, Options(key=API_KEY, limits=False, state_dir=tmp_path / "state")) as pod:
        followed_to_the_end = all_followed(pod, list(everything()))
    written = logs(tmp_path / "state")

    codes = {json.loads(last["error"])["code"] for *_, last in followed_to_the_end if last["status"] == "FAILED"}
    assert {"internal", "invalid_request", "policy_blocked", "unknown_task", "too_large"} <= codes, "a way is not taken"
    seen = [state for states in followed_to_the_end for state in states if state["status"] != "COMPLETED"]
    assert [state for state in map(json.dumps, seen) if leaked(state)] == []
    assert any("percent" in json.dumps(state) for state in seen) or loop == "stock", "no progress was seen"

    assert {name.split("-")[0] for name in written} == {*POOLS, "orchestrator"}
    # A worker may have been replaced: of each endpoint, one must have raised the exception.
    broken = {name.split("-")[0] for name, text in written.items() if "internal error" in text}
    assert broken >= set(POOLS)
    assert {name: leaked(text) for name, text in written.items() if leaked(text)} == {}
    audit = (tmp_path / "audit").read_text()
    assert audit.count("sexual_minors") >= 6
    assert leaked(audit) == []


def test_canary_is_only_in_the_result_fields_meant_for_it(tmp_path: Path) -> None:
    env = {**SECRETS, "BUCKET_ENDPOINT_URL": UNREACHED, "BUCKET_NAME": "pictures", "BUCKET_ATTEMPTS": "1"}
    endpoints = {name: LocalEndpoint("tests.chain.handlers.stand_in", pools=of, env=env) for name, of in POOLS.items()}
    endpoints["orchestrator"] = LocalEndpoint(
        "orchestrator", Scaler("request_count", 50, 0, 1), calls_others=True, env=env
    )
    with LocalpodThread(endpoints, Options(key=API_KEY, limits=False, state_dir=tmp_path)) as pod:
        ends = [states[-1] for states in all_followed(pod, [("orchestrator", one, {}) for one in requests("a pier")])]
    for end in ends:
        result = end["output"]
        found = {name: leaked(json.dumps(value)) for name, value in result.items()}
        assert {name for name, canaries in found.items() if canaries} <= {"prompt_used", "caption"}
        assert set(found["prompt_used"]) <= {WORDS, STYLE, "quokka"}


def test_real_workers_log_no_input(real_pod: LocalpodThread) -> None:
    asked: list[LeakRequest] = [
        ("orchestrator", request, {}) for request in (*requests("a pier"), *requests("a naked child"))
    ]
    asked += [(endpoint, given, {}) for endpoint in ("orchestrator", *POOLS) for given in bad_inputs()]
    asked += [("selfie", {"task": "profile/analyze", "selfie": SELFIE}, {})]
    states = [state for states in all_followed(real_pod, asked) for state in states]
    assert [state for state in states if state["status"] != "COMPLETED" and leaked(json.dumps(state))] == []
    written = logs(real_pod.pod.state_dir)
    assert {name.split("-")[0] for name in written} == {*POOLS, "orchestrator"}
    assert {name: leaked(text) for name, text in written.items() if leaked(text)} == {}
