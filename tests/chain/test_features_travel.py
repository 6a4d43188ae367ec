"""Features of `profile/create` in later requests: signature, subject, and the reported treatment.

The handlers and the orchestrator are the real ones. The models are fakes; the language model writes explicit text.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.contracts import Route
from core.policy import CONSTRAINT, Treatment
from localpod import LocalEndpoint, LocalpodThread, Options, Scaler
from tests.chain.conftest import POOLS, Caller

SUBJECT = {"kind": "self", "adult_use_consent": True, "age_attested": True}
EXPLICIT = "A nude woman with red hair stands on a cliff at dusk, warm light on her skin."
Start = Callable[..., Caller]


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    callers: list[Caller] = []

    def start(**env: str) -> Caller:
        # The classifier is tested elsewhere; here a text model's fixed words must be allowed.
        env = {"WEIGHTLESS_WRITES": f'{EXPLICIT}"}}', "LLM_CLASSIFIER": "none", **env}
        worker, once = "tests.chain.handlers.weightless", Scaler("request_count", 1, 0, 1)
        endpoints = {name: LocalEndpoint(worker, once, 600, pools=of, env=env) for name, of in POOLS.items()}
        endpoints["orchestrator"] = LocalEndpoint("orchestrator", once, 600, calls_others=True, env=env)
        folder: Path = tmp_path_factory.mktemp("state")
        pod = LocalpodThread(endpoints, Options(state_dir=folder))
        pod.start()
        callers.append(Caller(pod))
        return callers[-1]

    yield start
    for caller in callers:
        caller.http.close()
        caller.pod.stop()


@pytest.fixture(scope="module")
def caller(starts: Start) -> Caller:
    return starts(POLICY_SIGNING_KEY="a-key-of-the-deployment")


@pytest.fixture(scope="module")
def selfie() -> str:
    file = io.BytesIO()
    Image.new("RGB", (256, 256), (180, 140, 120)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def features(caller: Caller, selfie: str) -> dict[str, Any]:
    """Features as a client receives them, signed by the deployment."""
    found: dict[str, Any] = caller.output({"task": Route.PROFILE, "selfie": selfie})["features"]
    assert found["signature"].startswith("v1:")
    return found


def chat(route: Route = Route.CHAT_1TO1, **fields: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "Show me yourself nude at the cliff at dusk, red hair."}]
    return {"task": route, "messages": said, **{name: value for name, value in fields.items() if value is not None}}


def treatment(result: dict[str, Any]) -> Treatment:
    """Return the treatment that the result states, after checking that the prompt agrees with it."""
    treated_as: Treatment = result["policy"]["treated_as"]
    assert result["prompt_used"].startswith(CONSTRAINT) == (treated_as == "moderated"), result["prompt_used"]
    assert ("constraint" in result["policy"]["applied"]) == (treated_as == "moderated")
    assert result["policy"]["verdict"] == ("constrained" if treated_as == "moderated" else "allowed")
    return treated_as


def test_signed_features_and_a_subject_are_accepted_on_the_adult_route(
    caller: Caller, features: dict[str, Any]
) -> None:
    assert treatment(caller.output(chat(features=features, subject=SUBJECT))) == "adult_allowed"
    synthetic = {**SUBJECT, "kind": "synthetic"}
    assert treatment(caller.output(chat(features=features, subject=synthetic))) == "adult_allowed"


def test_without_features_the_adult_route_needs_no_subject(caller: Caller) -> None:
    assert treatment(caller.output(chat())) == "adult_allowed"


@pytest.mark.parametrize(
    "edit",
    [
        {"age_band": "45_54"},
        {"hair_color": "blond"},
        {"confidence": {}},
        {"confidence": {"age_band": 1.0}},
        {"signature": None},
        {"signature": "v1:" + "0" * 64},
        {"signature": "v2:" + "0" * 64},
    ],
)
def test_edited_features_make_the_request_moderated(
    caller: Caller, features: dict[str, Any], edit: dict[str, Any]
) -> None:
    edited = {**features, **edit}
    assert treatment(caller.output(chat(features=edited, subject=SUBJECT))) == "moderated"


@pytest.mark.parametrize(
    "subject",
    [None, {**SUBJECT, "adult_use_consent": False}, {**SUBJECT, "age_attested": False}],
    ids=["none", "no consent", "no attestation"],
)
def test_a_real_person_without_a_full_subject_is_treated_as_moderated(
    caller: Caller, features: dict[str, Any], subject: dict[str, Any] | None
) -> None:
    assert treatment(caller.output(chat(features=features, subject=subject))) == "moderated"


@pytest.mark.parametrize("missing", SUBJECT)
def test_incomplete_subject_is_an_invalid_request(caller: Caller, features: dict[str, Any], missing: str) -> None:
    subject = {name: value for name, value in SUBJECT.items() if name != missing}
    assert caller.error(chat(features=features, subject=subject))["code"] == "invalid_request"


@pytest.mark.parametrize("route", [Route.SHORTS, Route.SCENES])
def test_moderated_routes_accept_unsigned_features(caller: Caller, features: dict[str, Any], route: Route) -> None:
    assert treatment(caller.output(chat(route, features={**features, "hair_color": "blond"}))) == "moderated"


def test_age_edited_to_under_18_is_refused(caller: Caller, features: dict[str, Any]) -> None:
    young = {**features, "age_band": "under_18"}
    assert caller.error(chat(features=young, subject=SUBJECT))["code"] == "minor_suspected"


def test_without_a_key_features_are_unsigned_and_only_the_subject_is_required(starts: Start, selfie: str) -> None:
    caller = starts()
    unsigned = caller.output({"task": Route.PROFILE, "selfie": selfie})["features"]
    assert unsigned["signature"] is None
    assert treatment(caller.output(chat(features=unsigned, subject=SUBJECT))) == "adult_allowed"
    assert treatment(caller.output(chat(features=unsigned))) == "moderated"


def test_selfie_with_an_apparent_age_under_18_is_refused(starts: Start, selfie: str) -> None:
    assert starts(WEIGHTLESS_AGE="under_18").error({"task": Route.PROFILE, "selfie": selfie})["code"] == (
        "minor_suspected"
    )
