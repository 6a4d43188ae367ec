"""Logs: allowed keys, in the platform's format; other keys are dropped and counted."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from core.logs import ALLOWED, configure, logger

SECRET = "tulip"


@pytest.fixture(autouse=True)
def _own_configuration() -> Iterator[None]:
    before, level = structlog.get_config(), logging.getLogger().level
    yield
    structlog.configure(**before)
    logging.getLogger().setLevel(level)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Any:
    """Logs as on the platform; gives one dictionary a line."""

    def lines(log: Any, *, level: str = "INFO") -> list[dict[str, Any]]:
        configure(on_platform=True, level=level)
        log(logger())
        captured = capsys.readouterr()
        assert captured.out == "", "stdout holds results alone"
        return [json.loads(line) for line in captured.err.splitlines()]

    return lines


def test_line_is_one_object_with_the_platforms_keys(logged: Any) -> None:
    [line] = logged(lambda log: log.warning("job failed", job_id="j1", code="bad_url", retryable=False))

    assert line == {
        "requestId": "j1",
        "message": "job failed",
        "level": "WARNING",
        "code": "bad_url",
        "retryable": False,
    }


def test_a_line_outside_of_a_job_has_no_job_id(logged: Any) -> None:
    [line] = logged(lambda log: log.info("worker ready", worker="llm"))

    assert line["requestId"] is None


@pytest.mark.parametrize("fact", ["prompt", "messages", "selfie", "image_base64", "url", "api_key", "caption", "body"])
def test_key_that_is_not_on_the_list_is_dropped_and_counted(logged: Any, fact: str) -> None:
    [line] = logged(lambda log: log.info("stage done", stage="expand", **{fact: SECRET}))

    assert fact not in ALLOWED
    assert line["stage"] == "expand"
    assert line["dropped_facts"] == 1
    assert SECRET not in json.dumps(line)


def test_keys_bound_to_a_job_are_filtered_by_the_same_list(logged: Any) -> None:
    with structlog.contextvars.bound_contextvars(job_id="j1", trace_id="t1", prompt=SECRET, selfie=SECRET):
        [line] = logged(lambda log: log.info("stage done"))

    assert (line["requestId"], line["trace_id"], line["dropped_facts"]) == ("j1", "t1", 2)
    assert SECRET not in json.dumps(line)


def test_an_exceptions_message_and_traceback_are_not_logged(logged: Any) -> None:
    def log_it(log: Any) -> None:
        try:
            int(SECRET)
        except ValueError:
            log.exception("internal error", error_id="e1")

    [line] = logged(log_it)

    assert line["error_id"] == "e1"
    assert SECRET not in json.dumps(line)
    assert "Traceback" not in json.dumps(line)


def test_lines_below_the_level_are_not_written(logged: Any) -> None:
    def log_all(log: Any) -> None:
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)(level)

    assert [line["message"] for line in logged(log_all, level="WARNING")] == ["warning", "error"]
    assert [line["message"] for line in logged(log_all, level="DEBUG")] == ["debug", "info", "warning", "error"]


def test_same_keys_are_dropped_at_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure(on_platform=False)

    logger().info("stage done", stage="expand", prompt=SECRET)

    said = capsys.readouterr().err
    assert "stage done" in said
    assert "expand" in said
    assert SECRET not in said


def test_log_lines_of_libraries_are_written_from_warning_up() -> None:
    configure(on_platform=True)

    assert logging.getLogger("httpx").getEffectiveLevel() == logging.WARNING


def test_no_allowed_key_can_hold_a_users_text() -> None:
    assert not ALLOWED & {
        "prompt",
        "messages",
        "message",
        "content",
        "caption",
        "style",
        "selfie",
        "url",
        "key",
        "error",
    }
