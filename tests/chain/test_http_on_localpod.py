"""The HTTP API as `localpod up` serves it: behind the load balancer, on the port of the job API."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from core.settings import ROOT
from localpod import LocalpodThread
from tests.chain.conftest import children, eventually

Start = Callable[..., LocalpodThread]
PROMPT = {"prompt": "a lighthouse at dusk"}


@pytest.fixture
def selfie(tmp_path: Path) -> Path:
    picture = json.loads((ROOT / "test_inputs" / "selfie.json").read_text())["input"]["selfie"]
    path = tmp_path / "me.jpg"
    path.write_bytes(base64.b64decode(picture.rsplit(",", 1)[-1]))
    return path


def test_documented_curl_command_uploads_a_selfie(http_pod: Start, selfie: Path) -> None:
    pod = http_pod()
    curl = shutil.which("curl")
    assert curl is not None

    command = [curl, "-sS", "--fail-with-body", "-F", f"selfie=@{selfie}", f"{pod.url}/v1/profile/create"]
    done = subprocess.run(command, capture_output=True, check=False)

    assert done.returncode == 0, done.stdout[:500]
    result = json.loads(done.stdout)
    assert base64.b64decode(result["image_base64"])
    assert result["features"]


def test_load_balancer_path_needs_a_key_and_serves_the_same(http_pod: Start) -> None:
    pod = http_pod()
    url = f"{pod.url}/lb/http/v1/imagegen"

    assert httpx.post(url, json=PROMPT, timeout=60).status_code == 401
    answer = httpx.post(url, json=PROMPT, headers={"Authorization": "Bearer any"}, timeout=60)

    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Runpod-Worker-Id"] == pod.workers("http")[0]["id"]


def test_progress_events_arrive_before_the_result(http_pod: Start) -> None:
    pod = http_pod()
    with httpx.stream(
        "POST", f"{pod.url}/v1/imagegen", json=PROMPT, headers={"Accept": "text/event-stream"}, timeout=60
    ) as answer:
        events = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]

    assert events[0] == "accepted"
    assert events[-1] == "result"


def test_client_that_disconnects_cancels_the_job_of_the_gpu_worker(http_pod: Start) -> None:
    pod = http_pod(STAND_IN_GENERATE_S="60")
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{pod.url}/v1/imagegen", json=PROMPT, headers=headers, timeout=60):
        eventually(lambda: states(pod), lambda found: found == ["IN_PROGRESS"], 60)

    assert eventually(lambda: states(pod), lambda found: found == ["CANCELLED"], 30)


def states(pod: LocalpodThread) -> list[str]:
    return [job["status"] for job in children(pod, "zimage")]
