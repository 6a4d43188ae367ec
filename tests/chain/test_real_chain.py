"""The whole chain on embedded weights, from a client's side: the plain SDK, invalid inputs, a killed worker.

With RUNPOD_API_KEY and ORCHESTRATOR_ENDPOINT_ID set, what `answers` holds comes from that deployment instead.
"""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.contracts import Features, Result
from core.images import inspect
from core.settings import ROOT
from embedded.drawing.faces import SELFIES, draw_face
from localpod import LocalpodThread
from tests.chain.conftest import Caller, eventually

BY_PLAIN_SDK = """
import json, os, sys, runpod
runpod.api_key = os.environ.get("RUNPOD_API_KEY", "any")
endpoint = runpod.Endpoint(os.environ.get("ORCHESTRATOR_ENDPOINT_ID", "orchestrator"))
print(json.dumps([endpoint.run_sync({"input": request}, timeout=100) for request in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="session")
def selfie() -> str:
    features, seed, background = SELFIES["mara"]
    file = io.BytesIO()
    draw_face(features, seed=seed, size=512, background=background).save(file, "jpeg", quality=92)
    return base64.b64encode(file.getvalue()).decode()


def chat(task: str, **more: Any) -> dict[str, Any]:
    return {"task": task, "messages": [{"role": "user", "content": "Show me the lighthouse at dusk."}], **more}


LIVE = bool(os.environ.get("RUNPOD_API_KEY") and os.environ.get("ORCHESTRATOR_ENDPOINT_ID"))


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, selfie: str) -> dict[str, Result]:
    """One request of each task, sent by `runpod.Endpoint(...).run_sync` in a process without the project's code."""
    requests = [
        {"task": "profile/create", "selfie": selfie, "seed": 1, "request_id": "mine"},
        chat("chat/1to1/imagegen", seed=2),
        chat("chat/shorts/generate"),
        chat("chat/scenes/generate", output_format="png"),
        {"task": "chat/private/imagegen", "prompt": "a lighthouse at dusk", "output_format": "jpeg"},
        {"task": "imagegen", "prompt": "a lighthouse at dusk", "include_prompt": True},
    ]
    local = {} if LIVE else {"RUNPOD_ENDPOINT_BASE_URL": request.getfixturevalue("real_pod").base_url}
    done = subprocess.run(
        [sys.executable, "-c", BY_PLAIN_SDK],
        input=json.dumps(requests),
        env={**os.environ, **local},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    results = [Result.model_validate(one) for one in json.loads(done.stdout.splitlines()[-1])]
    return {result.task: result for result in results}


def picture(result: Result) -> Image.Image:
    assert result.image_base64 is not None
    return Image.open(io.BytesIO(base64.b64decode(result.image_base64)))


@pytest.mark.timeout(400)
def test_plain_sdk_gets_a_picture_for_every_task(answers: dict[str, Result]) -> None:
    assert len(answers) == 6
    for result in answers.values():
        shown = picture(result)
        assert (shown.size, (shown.format or "").lower()) == ((result.width, result.height), result.image_format)
        assert result.degraded == ()
        assert result.model.profile == ("full" if LIVE else "embedded")


def test_profile_contains_features_and_face(answers: dict[str, Result]) -> None:
    profile = answers["profile/create"]
    assert profile.request_id == "mine"
    assert profile.features is not None
    assert profile.face is not None
    assert profile.features.confidence
    assert [record.stage for record in profile.timeline] == ["analyze", "generate"]


@pytest.mark.parametrize(
    "task", ["chat/1to1/imagegen", "chat/shorts/generate", "chat/scenes/generate", "chat/private/imagegen"]
)
def test_chat_picture_has_a_caption_of_10_to_15_words(answers: dict[str, Result], task: str) -> None:
    caption = answers[task].caption
    assert caption is not None
    assert 10 <= len(caption.split()) <= 15


def test_timeline_has_worker_times_and_cost(answers: dict[str, Result]) -> None:
    result = answers["chat/scenes/generate"]
    assert {record.stage for record in result.timeline} == {"expand", "generate", "caption"}
    for record in result.timeline:
        assert record.job_id
        assert record.worker_id
        assert record.device_ms is not None
        assert record.execution_ms is not None
        assert record.device_ms <= record.execution_ms + 50
        assert record.cost_usd is not None
        assert record.cost_usd > 0
    assert result.cost_usd == pytest.approx(sum(record.cost_usd or 0 for record in result.timeline))


def test_unset_seed_is_drawn_and_returned(answers: dict[str, Result]) -> None:
    drawn = answers["chat/shorts/generate"].seed, answers["chat/scenes/generate"].seed
    assert drawn[0] != drawn[1]
    assert answers["chat/1to1/imagegen"].seed == 2


def test_pictures_are_marked_as_made_by_a_model(answers: dict[str, Result]) -> None:
    for result in answers.values():
        assert result.image_base64 is not None
        marks = inspect(base64.b64decode(result.image_base64))
        assert "trainedAlgorithmicMedia" in json.dumps(marks)
        assert ("lighthouse" in json.dumps(marks)) == (result.task == "imagegen")


def test_same_seed_gives_the_same_bytes(real: Caller) -> None:
    request = {"task": "imagegen", "prompt": "a lighthouse at dusk", "seed": 5, "output_format": "png"}
    assert real.output(request)["image_base64"] == real.output(request)["image_base64"]


def test_features_of_a_profile_describe_the_person_of_a_chat(real: Caller) -> None:
    person = Features(hair_color="red", hair_length="long", glasses="eyeglasses", age_band="25_34")
    result = real.output(chat("chat/scenes/generate", features=person.model_dump(mode="json")))
    assert "long red hair" in result["prompt_used"]
    assert "eyeglasses" in result["prompt_used"]


def written_and_generated(real: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """The output for the first seed whose prompt passes: the embedded classifier refuses some that the model writes."""
    for seed in range(8):
        state = real.ends({**request, "seed": seed})
        if state["status"] == "COMPLETED":
            output: dict[str, Any] = state["output"]
            return output
        error = json.loads(state["error"])
        assert error["stage"] == "expand", error
        assert all(category.startswith("classifier: ") for category in error["categories"]), error
    raise AssertionError("no prompt of eight passed the classifier")


def test_explicit_request_is_constrained_on_moderated_routes_only(real: Caller) -> None:
    request = {"messages": [{"role": "user", "content": "a naked woman on a bed"}]}
    covered = written_and_generated(real, {"task": "chat/scenes/generate", **request})
    assert covered["policy"]["verdict"] == "constrained"
    assert covered["policy"]["treated_as"] == "moderated"
    kept = written_and_generated(real, {"task": "chat/1to1/imagegen", **request})
    assert kept["policy"]["verdict"] == "allowed"
    assert kept["policy"]["treated_as"] == "adult_allowed"


def test_orchestrator_never_loads_torch(real_pod: LocalpodThread, answers: dict[str, Result]) -> None:
    [worker] = real_pod.workers("orchestrator")
    maps = Path(f"/proc/{worker['pid']}/maps").read_text()
    assert "torch" not in maps
    assert "numpy" not in maps


LONE_SURROGATE = "\ud800"
BAD_INPUTS: dict[str, tuple[Any, str]] = {
    "wrong task": ({"task": "profile/destroy"}, "unknown_task"),
    "no task": ({"prompt": "a lighthouse"}, "unknown_task"),
    "missing field": ({"task": "imagegen"}, "invalid_request"),
    "unknown field": ({"task": "imagegen", "prompt": "x", "promt": "y"}, "invalid_request"),
    "no object": ("a lighthouse", "invalid_request"),
    "text as a selfie": (
        {"task": "profile/create", "selfie": base64.b64encode(b"dear diary " * 40).decode()},
        "bad_picture",
    ),
    "broken base64": ({"task": "profile/create", "selfie": "!!!not base64!!!"}, "bad_picture"),
    "selfie inside the network": ({"task": "profile/create", "selfie": "https://169.254.169.254/latest"}, "bad_url"),
    "selfie over plain http": ({"task": "profile/create", "selfie": "http://169.254.169.254"}, "bad_url"),
    "prompt over the limit": ({"task": "imagegen", "prompt": "x" * 100_000}, "too_large"),
    "lone surrogate": ({"task": "imagegen", "prompt": "a " + LONE_SURROGATE}, "invalid_request"),
    "side of 50": ({"task": "imagegen", "prompt": "x", "width": 50}, "invalid_request"),
    "side beyond the weights": ({"task": "imagegen", "prompt": "x", "width": 1536}, "invalid_request"),
    "seed of letters": ({"task": "imagegen", "prompt": "x", "seed": "abc"}, "invalid_request"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_invalid_input_gets_a_typed_error(real: Caller, name: str) -> None:
    request, code = BAD_INPUTS[name]
    raw = json.dumps({"input": request})
    state = real.http.post("runsync", content=raw, headers={"Content-Type": "application/json"}).json()
    error = json.loads(real.wait(state["id"])["error"] if state["status"] != "FAILED" else state["error"])
    assert error["code"] == code, error
    assert error["http_status"] in {400, 413}
    assert "diary" not in error["message"]


def test_job_after_invalid_ones_is_served(real: Caller) -> None:
    for request, _ in BAD_INPUTS.values():
        real.http.post("run", content=json.dumps({"input": request}), headers={"Content-Type": "application/json"})
    real.output({"task": "imagegen", "prompt": "a lighthouse at dusk"})


def test_nan_is_refused(real: Caller) -> None:
    raw = '{"input": {"task": "imagegen", "prompt": "x", "timeout_s": NaN}}'
    response = real.http.post("runsync", content=raw, headers={"Content-Type": "application/json"})
    if response.status_code == 200:
        assert json.loads(response.json()["error"])["code"] == "invalid_request"
    else:
        assert response.status_code == 400


def test_inline_selfie_of_30_mb_is_refused_by_the_platform(real: Caller) -> None:
    raw = json.dumps({"input": {"task": "profile/create", "selfie": "A" * 30_000_000}})
    assert real.http.post("runsync", content=raw).status_code in {400, 413}


@pytest.mark.parametrize(
    ("endpoint", "request_of"),
    [
        ("zimage", lambda _: {"task": "imagegen", "prompt": "a lighthouse at dusk"}),
        ("llm", lambda _: chat("chat/scenes/generate")),
        ("selfie", lambda selfie: {"task": "profile/create", "selfie": selfie}),
        ("orchestrator", lambda _: chat("chat/scenes/generate")),
    ],
)
@pytest.mark.timeout(300)
def test_job_of_a_killed_worker_ends(real: Caller, selfie: str, endpoint: str, request_of: Any) -> None:
    job = real.submit(request_of(selfie))
    busy = lambda: [one for one in real.pod.jobs(endpoint) if one["status"] == "IN_PROGRESS"]  # noqa: E731
    [victim] = eventually(busy, bool, within_s=60)[:1]
    [pid] = [worker["pid"] for worker in real.pod.workers(endpoint) if worker["id"] == victim["workerId"]]
    os.kill(pid, signal.SIGKILL)
    state = real.wait(job, within_s=150)
    assert state["status"] in {"COMPLETED", "FAILED"}
    if state["status"] == "FAILED":
        assert json.loads(state["error"])["retryable"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [("handlers.llm", "prompt"), ("handlers.zimage", "image_base64"), ("handlers.selfie", "features")],
)
def test_local_run_of_each_worker_prints_a_result(module: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert expected in json.loads(done.stdout)
