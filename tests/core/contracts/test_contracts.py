"""Messages: accepted values, typed refusals, and that a refusal never repeats a value."""

import json
import math
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError

from core.contracts import (
    ANALYZE_TASK,
    ATTRIBUTES,
    CAPTION_TASK,
    CHECK_TASK,
    MAX_MESSAGE_CHARS,
    MAX_PROMPT_CHARS,
    MAX_SELFIE_CHARS,
    MAX_STYLE_CHARS,
    MODERATE_TASK,
    REQUESTS,
    ROUTE_OF_TASK,
    STAGE_REQUESTS,
    CaptionRequest,
    ExpandTask,
    Features,
    GenerateRequest,
    GenerateResult,
    GenerateTask,
    ImageGen,
    ModelInfo,
    PolicyReport,
    Result,
    Route,
    StageProgress,
    StageRequest,
    read_request,
)
from core.errors import ImgPodError, InvalidRequest, TooLarge, UnknownTask

SECRET = "tulip"
"""A caller's value, which must be in no message."""
TURN = {"role": "user", "content": "a walk in the rain"}


def imagegen(**fields: Any) -> dict[str, Any]:
    return {"task": "imagegen", "prompt": "a lighthouse", **fields}


def chat(**fields: Any) -> dict[str, Any]:
    return {"task": "chat/scenes/generate", "messages": [TURN], **fields}


def refusal(payload: object, *, stage: bool = False) -> ImgPodError:
    with pytest.raises(InvalidRequest) as caught:
        read_request(payload, STAGE_REQUESTS if stage else REQUESTS)
    return caught.value


@pytest.mark.parametrize("payload", [None, [], "imagegen", 7, math.nan, [imagegen()]])
def test_input_that_is_not_an_object_is_refused(payload: object) -> None:
    assert type(refusal(payload)) is InvalidRequest


@pytest.mark.parametrize("task", [None, "", "Imagegen", "imagegen ", SECRET, 7, math.nan, ["imagegen"], {}, "\ud800"])
def test_an_unknown_task_error_lists_the_known_tasks(task: object) -> None:
    error = refusal({"task": task})

    assert type(error) is UnknownTask
    assert all(f"`{known}`" in error.message for known in REQUESTS)
    assert SECRET not in error.message


def test_worker_refuses_the_orchestrators_tasks() -> None:
    assert type(refusal(imagegen(), stage=True)) is UnknownTask


def test_every_task_is_parsed_as_its_request_class() -> None:
    for tasks in (REQUESTS, STAGE_REQUESTS):
        for task, model in tasks.items():
            annotation = model.model_fields["task"].annotation
            named = get_args(annotation) if get_origin(annotation) is Literal else list(annotation or ())
            assert task in named


def test_every_route_has_a_request_and_all_but_three_worker_tasks_a_route() -> None:
    assert set(REQUESTS) == set(Route)
    assert set(STAGE_REQUESTS) == {ANALYZE_TASK, CAPTION_TASK, CHECK_TASK, MODERATE_TASK, *ExpandTask, *GenerateTask}
    assert set(STAGE_REQUESTS) - set(ROUTE_OF_TASK) == {CAPTION_TASK, CHECK_TASK, MODERATE_TASK}


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"task": "imagegen"}, "prompt"),
        ({"task": "profile/create"}, "selfie"),
        ({"task": "chat/scenes/generate"}, "messages"),
        (chat(messages=[{"role": "user"}]), "messages.0.content"),
        (imagegen(prompt=None), "prompt"),
        (imagegen(prompt=""), "prompt"),
        (imagegen(prompt=" \n\t"), "prompt"),
        (imagegen(prompt="\u200b\u00a0\x00"), "prompt"),
        (imagegen(caption="yes"), "caption"),
        (
            chat(task="chat/1to1/imagegen", subject={"kind": "self", "adult_use_consent": True, "age_attested": 1}),
            "subject.age_attested",
        ),
        (imagegen(prompt=7), "prompt"),
        (imagegen(prompt=f"{SECRET} \ud800"), "prompt"),
        (imagegen(sed=7), "sed"),
        (imagegen(messages=[TURN]), "messages"),
        (imagegen(seed=-2), "seed"),
        (imagegen(seed=2**64), "seed"),
        (imagegen(seed=7.5), "seed"),
        (imagegen(seed=True), "seed"),
        (imagegen(seed=math.nan), "seed"),
        (imagegen(width=48), "width"),
        (imagegen(height=1552), "height"),
        (imagegen(output_format="gif"), "output_format"),
        (imagegen(timeout_s=0.9), "timeout_s"),
        (imagegen(timeout_s=901), "timeout_s"),
        (imagegen(timeout_s=math.nan), "timeout_s"),
        (imagegen(timeout_s=math.inf), "timeout_s"),
        (imagegen(request_id=""), "request_id"),
        (imagegen(request_id=f"{SECRET} two"), "request_id"),
        (imagegen(request_id="naïve"), "request_id"),
        (imagegen(request_id="line\n"), "request_id"),
        (imagegen(features={"hair_color": SECRET}), "features.hair_color"),
        (imagegen(features={"race": SECRET}), "features.race"),
        (imagegen(features={"confidence": {"hair_color": 1.1}}), "features.confidence.hair_color"),
        (imagegen(features={"confidence": {"hair_color": math.nan}}), "features.confidence.hair_color"),
        (imagegen(features={"confidence": {SECRET * 9: 0.5}}), "features.confidence"),
        (chat(messages=[]), "messages"),
        (chat(messages=SECRET), "messages"),
        (chat(messages={"0": TURN}), "messages"),
        (chat(messages=[{"role": SECRET, "content": "x"}]), "messages.0.role"),
        (chat(subject={"kind": "self", "adult_use_consent": True, "age_attested": True}), "subject"),
    ],
    ids=str,
)
def test_errors_name_the_field_and_never_repeat_the_value(payload: dict[str, Any], field: str) -> None:
    error = refusal(payload)

    assert type(error) is InvalidRequest
    assert f"`{field}`: " in error.message
    assert SECRET not in error.message
    assert "pydantic" not in error.to_wire()


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (imagegen(prompt=SECRET * 20_000), "prompt"),
        (imagegen(prompt="x" * (MAX_PROMPT_CHARS + 1)), "prompt"),
        (imagegen(request_id="x" * 129), "request_id"),
        (imagegen(idempotency_key="x" * 129), "idempotency_key"),
        (chat(messages=[{"role": "user", "content": SECRET * 50_000}]), "messages.0.content"),
        (chat(messages=[{"role": "user", "content": "x" * 100_000}] * 3), "messages.2.content"),
        (chat(messages=[TURN] * 1_001), "messages"),
        ({"task": "profile/create", "selfie": "A" * (MAX_SELFIE_CHARS + 1)}, "selfie"),
        ({"task": "profile/create", "selfie": "QQ==", "style": "x" * (MAX_STYLE_CHARS + 1)}, "style"),
        (imagegen(features={"signature": "x" * 257}), "features.signature"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_input_over_the_limit_is_too_large(payload: dict[str, Any], field: str) -> None:
    error = refusal(payload)

    assert type(error) is TooLarge
    assert f"`{field}`: " in error.message
    assert len(error.message) < 200


@pytest.mark.parametrize(
    "payload",
    [
        imagegen(prompt="x" * MAX_PROMPT_CHARS, seed=2**53 - 1, width=64, height=1536, timeout_s=900),
        imagegen(seed=0, request_id="~" * 128, features={"confidence": dict.fromkeys(ATTRIBUTES, 1)}),
        imagegen(prompt="\U0001f327 雨", seed=None, width=None, features=None, timeout_s=1),
        chat(messages=[{"role": "system", "content": "x" * MAX_MESSAGE_CHARS}] * 50),
        {"task": "profile/create", "selfie": "A" * MAX_SELFIE_CHARS, "style": "x" * MAX_STYLE_CHARS},
    ],
    ids=["largest", "smallest", "nulls", "longest chat", "largest selfie"],
)
def test_values_at_their_bounds_are_accepted(payload: dict[str, Any]) -> None:
    assert read_request(payload, REQUESTS).task == payload["task"]


def test_long_field_name_is_not_repeated_in_the_error() -> None:
    error = refusal(imagegen(**{f"{SECRET} is a secret": 1, SECRET * 100: 2}))

    assert error.message.startswith("`…`: there is no such field")
    assert SECRET not in error.message


def test_a_hundred_wrong_fields_are_answered_with_five() -> None:
    error = refusal(imagegen(**{f"field_{number}": number for number in range(100)}))

    assert error.message.count("there is no such field") == 5
    assert error.message.endswith("(and more).")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "payload",
    [
        imagegen(**{f"field_{number}": number for number in range(100_000)}),
        imagegen(features={"confidence": dict.fromkeys(map(str, range(100_000)), 0.5)}),
        chat(messages=[0] * 100_000),
        chat(messages=[[0] * 1_000] * 1_000),
        imagegen(features=nested(100_000)),
    ],
    ids=["wide", "features", "messages", "many lists", "deep"],
)
def test_too_many_values_are_refused_before_validation(payload: dict[str, Any]) -> None:
    error = refusal(payload)

    assert type(error) is TooLarge
    assert "more values" in error.message


def test_a_wrong_type_for_an_object_is_explained_plainly() -> None:
    assert "`messages.0`: must be an object" in refusal(chat(messages=["hello"])).message
    assert "`features`: must be an object" in refusal(chat(features="red hair")).message


def test_error_for_wrong_list_items_does_not_say_empty() -> None:
    assert "at least 1" not in refusal(chat(messages=[{"role": "nobody", "content": "x"}])).message


def test_nan_of_json_is_refused_in_every_field() -> None:
    payload = json.loads('{"task": "imagegen", "prompt": "x", "timeout_s": NaN, "seed": Infinity}')

    assert "`timeout_s`" in refusal(payload).message
    assert "`seed`" in refusal(payload).message


GENERATE = {"task": "generate", "prompt": "a lighthouse"}


def test_a_worker_refuses_an_unknown_field_of_a_direct_caller() -> None:
    assert "`sharper`" in refusal({**GENERATE, "sharper": True}, stage=True).message


def test_worker_ignores_unknown_fields_of_a_newer_orchestrator() -> None:
    context = {"trace_id": "t1", "newer": 1}
    payload = {**GENERATE, "sharper": True, "context": context}

    request = read_request(payload, STAGE_REQUESTS)

    assert isinstance(request, StageRequest)
    assert request.context is not None
    assert request.context.trace_id == "t1"


@pytest.mark.parametrize("context", [{}, {"trace_id": ""}, "ours", 7])
def test_an_invalid_context_is_refused(context: object) -> None:
    assert "`context" in refusal({**GENERATE, "context": context}, stage=True).message


def test_a_context_does_not_open_a_public_request_to_unknown_fields() -> None:
    error = refusal(imagegen(context={"trace_id": "t1"}, sharper=True))

    assert "`context`: there is no such field" in error.message
    assert "`sharper`: there is no such field" in error.message


def test_a_message_can_not_be_changed() -> None:
    request = read_request(imagegen(), REQUESTS)

    with pytest.raises(ValidationError, match="frozen"):
        request.seed = 7  # type: ignore[misc]  # the test expects an error


def test_every_attribute_defaults_to_unknown() -> None:
    assert len(ATTRIBUTES) == 13
    for name, values in ATTRIBUTES.items():
        assert issubclass(values, StrEnum)
        assert list(values)[-1] == "unknown" == getattr(Features(), name)


def test_features_exclude_race_religion_orientation_and_health() -> None:
    for name in ("race", "ethnicity", "religion", "orientation", "health", "nationality"):
        assert name not in Features.model_fields
        assert f"`features.{name}`" in refusal(imagegen(features={name: "x"})).message


def test_features_round_trip_unchanged() -> None:
    features = Features.model_validate({"hair_color": "red", "confidence": {"hair_color": 0.97}, "signature": "v1:00"})

    assert Features.model_validate_json(features.model_dump_json()) == features


@pytest.mark.parametrize("progress", [{"step": -1}, {"of": 0}, {"percent": 101}])
def test_progress_outside_its_bounds_is_refused(progress: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        StageProgress.model_validate({"stage": "generate", "step": 1, "of": 8, "percent": 12} | progress)


def test_a_result_round_trips_and_an_older_release_may_ignore_new_fields() -> None:
    made = GenerateResult(
        image_base64="QQ==",
        image_format="png",
        width=64,
        height=64,
        seed=7,
        model=ModelInfo(name="a-model", revision="r1", profile="embedded"),
        device_ms=12,
        prompt_used="a lighthouse",
        policy=PolicyReport(version="1", verdict="allowed", treated_as="moderated"),
    )
    wire = json.loads(made.model_dump_json())

    assert GenerateResult.model_validate(wire) == made
    assert GenerateResult.model_validate(wire | {"newer": 1}, extra="ignore") == made
    with pytest.raises(ValidationError):
        GenerateResult.model_validate(wire | {"newer": 1})


def test_validation_error_contains_no_value() -> None:
    with pytest.raises(ValidationError) as caught:
        ImageGen.model_validate(imagegen(prompt=[SECRET], seed=SECRET))

    assert SECRET not in str(caught.value)


def test_stage_request_and_result_share_the_picture_fields() -> None:
    assert set(GenerateRequest.model_fields) - set(StageRequest.model_fields) <= set(ImageGen.model_fields)
    assert {"image_base64", "caption", "prompt_used", "seed", "policy", "timeline", "degraded"} <= set(
        Result.model_fields
    )


@pytest.mark.parametrize(
    ("tag", "language"), [("pt", "pt"), ("pt-BR", "pt"), ("ZH_hant", "zh"), ("en-US", "en"), ("he", "he")]
)
def test_language_tag_is_reduced_to_its_primary_subtag(tag: str, language: str) -> None:
    request = read_request({"task": "chat/1to1/caption", "prompt": "A boat.", "language": tag}, STAGE_REQUESTS)
    assert isinstance(request, CaptionRequest)
    assert request.language == language


@pytest.mark.parametrize("tag", ["klingon", "", "x" * 10_000, 7, None, "-", "e"])
def test_an_unknown_language_is_refused_with_the_known_ones(tag: object) -> None:
    with pytest.raises(InvalidRequest, match="language"):
        read_request({"task": "chat/1to1/caption", "prompt": "A boat.", "language": tag}, STAGE_REQUESTS)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("webhook_url", "http://example.com/hook", "must be an https URL without spaces"),
        ("webhook_url", "https://example.com/a b", "must be an https URL without spaces"),
        ("request_id", "a b", "must be printable ASCII without spaces"),
    ],
)
def test_pattern_mismatch_is_explained_without_the_pattern(field: str, value: str, message: str) -> None:
    assert str(refusal(imagegen(**{field: value}))) == f"`{field}`: {message}."
