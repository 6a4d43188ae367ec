"""Every outcome of a handler becomes one valid reply."""

import asyncio
import json
import math
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from core.contracts import Message
from core.errors import (
    BY_CODE,
    DeviceError,
    Internal,
    InvalidRequest,
    OutOfDeviceMemory,
    PolicyBlocked,
    TooLarge,
)
from core.worker.job import Reply, Worker, answer, to_jsonable
from core.worker.progress import Progress

LIMIT = 10_000


class Ask(Message):
    task: str
    words: str = ""


class AnyInput(Message):
    words: str


class AnyModel(BaseModel):
    value: object


def answer_of(respond, raw=None, *, max_bytes=LIMIT):
    async def nothing(_):
        return None

    worker = Worker("test", {"ask": Ask}, lambda: respond, 1, 1, Path("test_input.json"))
    raw = {"id": "j", "input": {"task": "ask"}} if raw is None else raw
    return asyncio.run(answer(raw, worker, respond, Progress(nothing, interval_s=1), max_bytes))


def raising(error):
    async def respond(request, job):
        raise error

    return respond


def saying(words):
    async def respond(request, job):
        return AnyInput.model_construct(words=words)

    return respond


def error_of(reply):
    return json.loads(json.loads(reply.body)["error"])


def test_a_result_is_the_output():
    assert json.loads(answer_of(saying("hello")).body) == {"output": {"words": "hello"}}


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (math.nan, None),
        (-math.inf, None),
        (b"\x00\xff", "AP8="),
        ("a\ud800b", "a?b"),
        ({"k\udfff": 1}, {"k?": 1}),
        (datetime(2026, 8, 1, 12, tzinfo=UTC), "2026-08-01T12:00:00+00:00"),
        (date(2026, 8, 1), "2026-08-01"),
        (np.float32("nan"), None),
        (np.arange(3), [0, 1, 2]),
        (np.int64(2**53), 2**53),
        ((1, {2}), [1, [2]]),
        (AnyModel(value=AnyModel(value=b"")), {"value": {"value": ""}}),
        (Path("/secret/place"), "PosixPath"),
        (object(), "object"),
    ],
)
def test_values_without_a_json_type_are_converted(value, carried):
    assert to_jsonable(value) == carried
    json.dumps(to_jsonable(value), allow_nan=False).encode()


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.text()
    | st.characters(categories=["Cs"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.characters(categories=["Cs"]), inner) | st.tuples(inner)
    ),
)


@given(ODD)
def test_any_result_becomes_valid_json(value):
    reply = Reply.of_result(AnyInput.model_construct(words=value), max_bytes=10**9)
    assert "output" in json.loads(reply.body, parse_constant=pytest.fail)


def test_result_limit_is_exact_to_the_byte():
    fits = len(Reply.of_result(AnyInput(words=""), max_bytes=LIMIT).body)
    assert len(Reply.of_result(AnyInput(words="é" * ((LIMIT - fits) // 2)), max_bytes=LIMIT).body) <= LIMIT
    exact = Reply.of_result(AnyInput(words="x" * (LIMIT - fits)), max_bytes=LIMIT)
    assert len(exact.body) == LIMIT
    with pytest.raises(TooLarge):
        Reply.of_result(AnyInput(words="x" * (LIMIT - fits + 1)), max_bytes=LIMIT)


def test_a_result_over_the_limit_is_a_typed_error():
    assert error_of(answer_of(saying("x" * LIMIT)))["code"] == "too_large"


@pytest.mark.parametrize("cls", BY_CODE.values())
def test_error_is_a_string_and_only_a_device_error_asks_for_a_new_worker(cls):
    body = json.loads(answer_of(raising(cls("What to do."))).body)
    assert isinstance(body["error"], str)
    assert json.loads(body["error"])["code"] == cls.code
    assert body.get("stopPod", False) is issubclass(cls, DeviceError)


@pytest.mark.parametrize(
    "crash", [RuntimeError("the words of a prompt"), SystemExit(3), RecursionError(), KeyError("k")]
)
def test_unexpected_error_is_internal_and_reveals_nothing(crash):
    reply = answer_of(raising(crash))
    assert error_of(reply)["code"] == "internal"
    assert b"prompt" not in reply.body
    assert b"Traceback" not in reply.body


def test_cancellation_raised_by_a_handler_is_answered():
    assert error_of(answer_of(raising(asyncio.CancelledError())))["code"] == "cancelled"


@pytest.mark.parametrize(
    "payload",
    [None, 7, [], {}, {"task": 3}, {"task": "other"}, {"task": "ask", "more": 1}, {"task": "ask", "words": 2}],
)
def test_input_of_a_wrong_type_is_refused_by_its_type(payload):
    reply = answer_of(saying("hello"), {"id": "j", "input": payload})
    assert error_of(reply)["http_status"] == 400


def test_a_bad_s3_config_is_refused():
    raw = {"id": "j", "input": {"task": "ask"}, "s3Config": "no"}
    assert error_of(answer_of(saying("hello"), raw))["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (None, True),
        (InvalidRequest("x"), True),
        (PolicyBlocked("x"), True),
        (Internal("x"), False),
        (OutOfDeviceMemory("x"), False),
    ],
)
def test_only_final_replies_are_stored_for_a_redelivery(error, final):
    assert Reply(b"", error).final is final
