"""Parsing of `Accept` and `Prefer`."""

from __future__ import annotations

import pytest

from core.errors import NotAcceptable
from http_api.preferences import Preferences


@pytest.mark.parametrize(
    ("accept", "form", "image_format"),
    [
        ("", "json", None),
        ("*/*", "json", None),
        ("application/json", "json", None),
        ("text/event-stream", "stream", None),
        ("image/webp", "image", "webp"),
        ("image/*", "image", None),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json", None),
        ("image/png;q=0.5, application/json;q=0.9", "json", None),
        ("image/jpeg, application/json", "image", "jpeg"),
        ("IMAGE/PNG", "image", "png"),
    ],
)
def test_response_type_is_the_best_one_accepted(accept: str, form: str, image_format: str | None) -> None:
    wanted = Preferences.of({"accept": accept})

    assert (wanted.form, wanted.image_format) == (form, image_format)


@pytest.mark.parametrize("accept", ["video/mp4", "text/html", "application/json;q=0", ",", "image/gif"])
def test_type_that_is_not_offered_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        Preferences.of({"accept": accept})


@pytest.mark.parametrize(
    ("prefer", "respond_async", "wait_s", "applied"),
    [
        ("", False, None, ""),
        ("respond-async", True, None, "respond-async"),
        ("wait=10", False, 10, "wait=10"),
        ('Respond-Async, wait = "5"', True, 5, "respond-async, wait=5"),
        ("return=minimal", False, None, ""),
        ("wait=-1, wait=many", False, None, ""),
    ],
)
def test_known_preferences_are_applied(
    prefer: str,
    respond_async: bool,  # noqa: FBT001 - a parameter of the test
    wait_s: int | None,
    applied: str,
) -> None:
    wanted = Preferences.of({"prefer": prefer})

    assert (wanted.respond_async, wanted.wait_s, wanted.applied) == (respond_async, wait_s, applied)
    assert wanted.detached == bool(applied)


def test_header_of_a_million_characters_is_parsed_in_part() -> None:
    assert Preferences.of({"accept": "application/json," * 100_000, "prefer": "x," * 500_000}).form == "json"
