"""The HTTP API as a separate process with stand-in workers on localpod: cancels reach the workers, no job remains."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.settings import ROOT
from localpod import LocalpodThread
from tests.chain.conftest import Caller, eventually

CHAT = {"messages": [{"role": "user", "content": "the lighthouse at dusk"}]}
WORKERS = ("llm", "zimage", "selfie")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/ping").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def http_api(tmp_path: Path) -> Iterator[Callable[[LocalpodThread], httpx.Client]]:
    """Start `python -m http_api` against a platform; its log is in `http.log`."""
    running: list[tuple[subprocess.Popen[bytes], httpx.Client]] = []
    log = (tmp_path / "http.log").open("wb")

    def start(pod: LocalpodThread) -> httpx.Client:
        port = free_port()
        env = (
            os.environ
            | pod.environment()
            | {"HTTP_PORT": str(port), "RUNPOD_ENDPOINT_ID": "http", "LLM_CLASSIFIER": "none"}
        )
        process = subprocess.Popen([sys.executable, "-m", "http_api"], cwd=ROOT, env=env, stderr=log)
        http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        running.append((process, http))
        assert eventually(lambda: answers(http), bool, 60)
        return http

    yield start
    for process, http in running:
        http.close()
        process.terminate()
        assert process.wait(30) == 0
    log.close()


def statuses(pod: LocalpodThread) -> Counter[str]:
    return Counter(job["status"] for name in WORKERS for job in pod.jobs(name))


def test_selfie_uploaded_as_a_file_returns_an_avatar(
    stand_ins: Callable[..., Caller], http_api: Callable[[LocalpodThread], httpx.Client]
) -> None:
    http = http_api(stand_ins().pod)
    response = http.post("/v1/profile/create", files={"selfie": ("me.jpg", b"stand-ins read no picture")})

    assert response.status_code == 200, response.text
    assert [record["stage"] for record in response.json()["timeline"]] == ["analyze", "generate"]


def test_disconnect_of_the_caller_cancels_every_job_of_the_request(
    stand_ins: Callable[..., Caller], http_api: Callable[[LocalpodThread], httpx.Client], tmp_path: Path
) -> None:
    pod = stand_ins(STAND_IN_GENERATE_S="60").pod
    http = http_api(pod)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/imagegen", json={"prompt": "canary-words", "n": 2}, timeout=4)
    ended = eventually(lambda: statuses(pod), lambda seen: not seen["IN_PROGRESS"] and not seen["IN_QUEUE"])

    assert ended == {"CANCELLED": 2}
    assert "canary" not in (tmp_path / "http.log").read_text()


def test_jobs_of_forty_disconnecting_callers_end(
    stand_ins: Callable[..., Caller], http_api: Callable[[LocalpodThread], httpx.Client]
) -> None:
    pod = stand_ins(STAND_IN_GENERATE_S="60").pod
    http = http_api(pod)

    def connect_and_disconnect() -> None:
        with suppress(httpx.ReadTimeout):
            httpx.post(f"{http.base_url}/v1/chat/scenes/generate", json=CHAT, timeout=3)

    threads = [threading.Thread(target=connect_and_disconnect) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = eventually(lambda: statuses(pod), lambda seen: not seen["IN_PROGRESS"] and not seen["IN_QUEUE"], 40)

    assert set(ended) <= {"CANCELLED", "COMPLETED"}
    assert eventually(lambda: health(http)["jobs_running"], lambda running: running == 0) == 0


def health(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/healthz").json()
    return found
