"""compose.yaml's own commands: localpod becomes healthy, and a worker's variables let it take a job."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from core.settings import ROOT

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def interpolated(value: str) -> str:
    """Return a value as `docker compose` substitutes it if no variables are set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value).replace("$$", "$")


def here(command: list[str], port: int) -> list[str]:
    """Return a command of the file with this Python, and a free port instead of 8000."""
    return [sys.executable if word == "python" else word.replace("8000", str(port)) for word in command]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a localpod started with the file's command and environment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    service = SERVICES["localpod"]
    env = os.environ | {name: interpolated(value) for name, value in service["environment"].items()}
    command = [*here(service["command"], port), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as process:
        yield port
        process.terminate()


def healthy(port: int) -> bool:
    kind, *command = SERVICES["localpod"]["healthcheck"]["test"]
    assert kind == "CMD"
    done = subprocess.run(here(command, port), capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def ready_port(port: int) -> int:
    deadline = time.monotonic() + 60
    while not healthy(port):
        assert time.monotonic() < deadline, "the health check never succeeded"
        time.sleep(0.1)
    return port


def test_health_check_fails_without_a_server() -> None:
    assert not healthy(1)


def test_health_check_succeeds_once_localpod_listens(ready_port: int) -> None:
    assert healthy(ready_port)


@pytest.mark.parametrize("worker", [name for name in SERVICES if name != "localpod"])
def test_a_worker_takes_a_job_with_the_variables_of_its_service(ready_port: int, worker: str) -> None:
    env = {name: interpolated(value) for name, value in SERVICES[worker]["environment"].items()}
    url = env["RUNPOD_WEBHOOK_GET_JOB"].replace("$ID", env["RUNPOD_POD_ID"])
    local = httpx.URL(url).copy_with(host="127.0.0.1", port=ready_port)
    headers = {"Host": httpx.URL(url).netloc.decode()}
    run = f"http://127.0.0.1:{ready_port}/v2/{worker}/run"
    job_id = httpx.post(run, json={"input": {}}, headers={"Authorization": "any"}).json()["id"]

    taken = httpx.get(local, headers={**headers, "Authorization": env["RUNPOD_AI_API_KEY"]}, timeout=30)

    assert taken.json()["id"] == job_id
