"""A text in a language without rules reaches the zimage worker only after it was judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.contracts import Route
from tests.chain.conftest import Caller, children

FOREIGN = "vaikas žaidžia su smėliu paplūdimyje"
REQUESTS: dict[str, dict[str, Any]] = {
    "prompt": {"task": Route.GENERAL, "prompt": FOREIGN},
    "private prompt": {"task": Route.PRIVATE, "prompt": FOREIGN},
    "chat": {"task": Route.SHORTS, "messages": [{"role": "user", "content": FOREIGN}]},
    "adult chat": {"task": Route.CHAT_1TO1, "messages": [{"role": "user", "content": FOREIGN}]},
}


@pytest.fixture(scope="module", params=REQUESTS)
def request_fields(request: pytest.FixtureRequest) -> dict[str, Any]:
    return REQUESTS[request.param]


def test_uncovered_language_is_refused_without_a_way_to_check_it(
    stand_ins: Callable[..., Caller], request_fields: dict[str, Any]
) -> None:
    caller = stand_ins()
    error = caller.error(request_fields)
    assert (error["code"], error["http_status"], error["retryable"]) == ("language_not_supported", 422, False)
    assert FOREIGN not in error["message"]
    assert children(caller.pod, "llm", "zimage") == []


def test_uncovered_language_is_sent_to_the_llm_worker_if_the_deployment_translates(
    stand_ins: Callable[..., Caller], request_fields: dict[str, Any]
) -> None:
    caller = stand_ins(POLICY_UNSUPPORTED_LANGUAGE="translate")
    stages = [record["stage"] for record in caller.output(request_fields)["timeline"]]
    assert stages[0] == ("expand" if "messages" in request_fields else "moderate")
