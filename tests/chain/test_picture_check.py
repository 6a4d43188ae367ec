"""Pictures rated as sexual by the output check, over HTTP: real handlers and orchestrator, fake models, real bucket."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from core.contracts import Route
from localpod import Fault, FaultKind, LocalEndpoint, LocalpodThread, Options, Scaler
from tests.chain.conftest import POOLS, Caller

Start = Callable[..., Caller]
KEYS = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
WRITES = 'A woman with red hair stands on a cliff at dusk, warm light on her skin."}'
BORDERLINE, SEXUAL = "0.6", "0.97"


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **KEYS)
    s3.create_bucket(Bucket="pictures")
    yield s3
    s3.close()
    server.stop()


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory, bucket: Any) -> Iterator[Start]:
    callers: dict[tuple[tuple[str, str], ...], Caller] = {}

    def start(**env: str) -> Caller:
        name = tuple(sorted(env.items()))
        if name not in callers:
            callers[name] = started(tmp_path_factory.mktemp("state"), bucket.meta.endpoint_url, env)
        return callers[name]

    yield start
    for caller in callers.values():
        caller.http.close()
        caller.pod.stop()


def started(folder: Path, storage: str, env: dict[str, str]) -> Caller:
    bucket = {"ENDPOINT_URL": storage, "NAME": "pictures", "ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret"}
    env = {
        "WEIGHTLESS_WRITES": WRITES,
        "POLICY_SIGNING_KEY": "a-key-of-the-deployment",
        **{f"BUCKET_{name}": value for name, value in bucket.items()},
        **env,
    }
    worker, once = "tests.chain.handlers.weightless", Scaler("request_count", 1, 0, 1)
    endpoints = {name: LocalEndpoint(worker, once, 600, pools=of, env=env) for name, of in POOLS.items()}
    endpoints["orchestrator"] = LocalEndpoint("orchestrator", once, 600, calls_others=True, env=env)
    pod = LocalpodThread(endpoints, Options(state_dir=folder))
    pod.start()
    return Caller(pod)


def selfie() -> str:
    file = io.BytesIO()
    Image.new("RGB", (256, 256), (180, 140, 120)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def request(route: Route) -> dict[str, Any]:
    if route is Route.PROFILE:
        return {"task": route, "selfie": selfie()}
    if route in {Route.PRIVATE, Route.GENERAL}:
        return {"task": route, "prompt": "a woman on a cliff at dusk"}
    return {"task": route, "messages": [{"role": "user", "content": "a woman on a cliff at dusk"}]}


def objects(bucket: Any) -> int:
    return int(bucket.list_objects_v2(Bucket="pictures")["KeyCount"])


@pytest.mark.parametrize("route", list(Route))
@pytest.mark.parametrize("score", [BORDERLINE, SEXUAL])
def test_sexual_picture_with_an_apparent_minor_is_released_on_no_route(
    starts: Start, bucket: Any, route: Route, score: str
) -> None:
    # The selfie itself must be accepted, so that only the generated picture has an apparent minor.
    caller, stored = starts(WEIGHTLESS_SCORE=score, WEIGHTLESS_PICTURE_AGE="under_18"), objects(bucket)
    error = caller.error(request(route))
    twice_unsafe = score == SEXUAL and route is not Route.CHAT_1TO1
    assert error["code"] == ("unsafe_output" if twice_unsafe else "policy_blocked")
    assert error["stage"] == ("generate" if twice_unsafe else "check")
    assert objects(bucket) == stored, "a refused picture was in the bucket"


def test_sexual_picture_of_adults_is_released_on_the_adult_route_after_its_check(starts: Start, bucket: Any) -> None:
    caller, stored = starts(WEIGHTLESS_SCORE=SEXUAL), objects(bucket)
    result = caller.output(request(Route.CHAT_1TO1))
    assert result["image_url"].startswith("http")
    assert objects(bucket) == stored + 1
    assert result["policy"]["age_check"] == {"faces": 1, "under_18": 0.01, "threshold": 0.3}
    stages = {record["stage"]: record for record in result["timeline"]}
    assert stages["check"]["task"] == "picture/check"
    assert stages["check"]["started_ms"] >= stages["generate"]["started_ms"] + stages["generate"]["wall_ms"]
    assert stages["check"]["cost_usd"] is not None


def test_non_sexual_picture_is_not_age_checked(starts: Start) -> None:
    caller = starts()
    result = caller.output(request(Route.CHAT_1TO1))
    assert result["policy"]["age_check"] is None
    assert "check" not in {record["stage"] for record in result["timeline"]}


def test_picture_is_withheld_if_the_check_fails(starts: Start, bucket: Any) -> None:
    caller, stored = starts(WEIGHTLESS_SCORE=SEXUAL), objects(bucket)
    caller.pod.inject(Fault(kind=FaultKind.SERVER_ERROR, endpoint="selfie", times=None))
    error = caller.error({**request(Route.CHAT_1TO1), "timeout_s": 20})
    caller.pod.clear_faults()
    assert error["stage"] == "check"
    assert objects(bucket) == stored


def test_direct_call_of_zimage_returns_no_picture_that_needs_an_age_check(starts: Start, bucket: Any) -> None:
    caller, stored = starts(WEIGHTLESS_SCORE=SEXUAL), objects(bucket)
    direct = Caller(caller.pod, "zimage")
    for context in ({}, {"context": {"trace_id": "t", "age_check": "unsigned"}}):
        error = direct.error({"task": "chat/1to1/generate", "prompt": "a woman on a cliff at dusk", **context})
        assert error["code"] == "unsafe_output"
    direct.http.close()
    assert objects(bucket) == stored
