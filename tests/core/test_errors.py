"""The error tree: its diagram in the docstring, its format between processes, and what an error must not contain."""

import json
import re

import pytest

import core.errors
from core.errors import (
    BY_CODE,
    BadUrl,
    Busy,
    Cancelled,
    DeviceError,
    ImgPodError,
    MinorSuspected,
    PolicyBlocked,
    QueueFull,
    Refused,
    StageFailed,
    from_wire,
)

SECRET = "tulip"
_ROW = re.compile(r"^ {4}[│ ]*[├└]── (?P<name>\w+) +(?P<rest>\S.*)$")
_FACTS = re.compile(r"(?P<code>[a-z_]+) +(?P<http>\d{3}) +(?P<retryable>yes|no)$")


def drawn() -> dict[str, tuple[int, str]]:
    """Return the depth in the diagram and the columns of each class."""
    rows = (_ROW.match(line) for line in (core.errors.__doc__ or "").splitlines())
    return {row["name"]: (row.start("name") // 4 - 1, row["rest"]) for row in rows if row}


def classes(root: type[ImgPodError] = ImgPodError) -> dict[str, type[ImgPodError]]:
    """The classes of the tree that are defined in core.errors."""
    found = {child.__name__: child for child in root.__subclasses__() if child.__module__ == "core.errors.tree"}
    for child in tuple(found.values()):
        found |= classes(child)
    return found


def test_drawn_error_tree_has_exactly_the_classes() -> None:
    assert drawn().keys() == classes().keys()


def test_the_error_tree_in_the_docstring_matches_the_classes() -> None:
    path: list[str] = []
    for name, (depth, _) in drawn().items():
        path = [*path[: depth - 1], name]
        parent = path[-2] if len(path) > 1 else "ImgPodError"
        assert classes()[name].__bases__[0].__name__ == parent, name


def test_code_status_and_retryable_match_the_drawn_tree() -> None:
    for name, (_, rest) in drawn().items():
        cls = classes()[name]
        if rest.startswith("(never raised itself"):
            assert "code" not in vars(cls), name
            continue
        facts = _FACTS.fullmatch(rest)
        assert facts, f"{name} is drawn without its facts"
        said = (facts["code"], int(facts["http"]), facts["retryable"] == "yes")
        assert said == (cls.code, cls.http_status, cls.retryable), name


def test_every_code_belongs_to_one_class() -> None:
    codes = [cls.code for cls in classes().values() if "code" in vars(cls)]

    assert len(codes) == len(set(codes))
    assert set(codes) == BY_CODE.keys()


def test_refusals_are_not_retryable_and_busy_answers_are() -> None:
    for cls in classes().values():
        assert not (issubclass(cls, Refused) and cls.retryable)
        assert not (issubclass(cls, Busy | DeviceError) and not cls.retryable)


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda cls: cls.code)
def test_error_keeps_its_class_after_serialization(cls: type[ImgPodError]) -> None:
    came = from_wire(cls("Do something else.", stage="expand").to_wire())

    assert type(came) is cls
    assert (came.message, came.stage) == ("Do something else.", "expand")


def test_serialized_error_is_a_string_with_every_key() -> None:
    wire = QueueFull("Wait.", stage="generate", retry_after_ms=1800).to_wire()

    assert json.loads(wire) == {
        "code": "queue_full",
        "message": "Wait.",
        "http_status": 429,
        "retryable": True,
        "stage": "generate",
        "retry_after_ms": 1800,
    }


def test_retry_after_and_categories_are_serialized() -> None:
    blocked = from_wire(PolicyBlocked("No.", categories=("minors", "violence"), stage="request").to_wire())

    assert from_wire(QueueFull("Wait.", retry_after_ms=1800).to_wire()).retry_after_ms == 1800
    assert isinstance(blocked, PolicyBlocked)
    assert blocked.categories == ("minors", "violence")
    assert blocked.body()["categories"] == ["minors", "violence"]


def test_serialized_error_is_ascii_for_any_message() -> None:
    wire = BadUrl("Große \ud800 URL").to_wire()

    assert wire.isascii()
    assert from_wire(wire).message == "Große \ud800 URL"


def test_called_stage_overrides_the_stage_in_the_error() -> None:
    assert from_wire(Cancelled("Gone.", stage="request").to_wire(), stage="caption").stage == "caption"


def test_long_error_message_is_cut() -> None:
    assert len(from_wire(MinorSuspected("x" * 10_000).to_wire()).message) == 500


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        7,
        "",
        SECRET,
        f"Traceback (most recent call last): /src/{SECRET}.py",
        json.dumps({"error_type": SECRET, "error_message": SECRET, "error_traceback": SECRET}),
        json.dumps([SECRET]),
        json.dumps({"code": SECRET, "message": SECRET}),
        json.dumps({"code": ["internal"], "message": SECRET}),
        json.dumps({"code": {}, "message": SECRET}),
        json.dumps({"code": "bad_url", "message": {SECRET: SECRET}}),
        json.dumps({"code": "bad_url"}),
        {"code": "bad_url", "message": SECRET},
        "[" * 100_000,
        '{"code": ' + "9" * 10_000 + "}",
        f'{{"code": "bad_url", "message": "{SECRET}"',
    ],
    ids=lambda value: type(value).__name__,
)
def test_unknown_error_becomes_stage_failed_without_its_text(foreign: object) -> None:
    error = from_wire(foreign, stage="generate")

    assert type(error) is StageFailed
    assert error.stage == "generate"
    assert SECRET not in error.to_wire()


@pytest.mark.parametrize("wait", ["1800", 1.5, -1, True, None, [1]])
def test_an_invalid_retry_after_is_none(wait: object) -> None:
    body = QueueFull("Wait.").body() | {"retry_after_ms": wait}

    assert from_wire(json.dumps(body)).retry_after_ms is None


@pytest.mark.parametrize("categories", ["minors", 7, None, {"minors": 1}, [7, None]])
def test_categories_that_are_not_a_list_of_names_are_dropped(categories: object) -> None:
    error = from_wire(json.dumps(PolicyBlocked("No.").body() | {"categories": categories}))

    assert isinstance(error, PolicyBlocked)
    assert error.categories == ()


def test_stage_that_is_not_a_name_is_dropped() -> None:
    assert from_wire(json.dumps(Cancelled("Gone.").body() | {"stage": {"a": 1}})).stage is None
