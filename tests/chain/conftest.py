"""Two platforms: one with the real workers on embedded weights, one with stand-ins for tests of their callers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from core.settings import load_endpoints
from localpod import LocalEndpoint, LocalpodThread, Options, Scaler
from localpod.spec import http_endpoint

Seen = TypeVar("Seen")
FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}


class Caller:
    """A client of one endpoint; `error` and `output` unpack a final state."""

    def __init__(self, pod: LocalpodThread, endpoint: str = "orchestrator") -> None:
        self.pod = pod
        self.http = httpx.Client(
            base_url=f"{pod.base_url}/{endpoint}/", headers={"Authorization": f"Bearer {pod.key}"}, timeout=200
        )

    def submit(self, request: dict[str, Any], **envelope: Any) -> str:
        response = self.http.post("run", json={"input": request, **envelope})
        response.raise_for_status()
        job_id: str = response.json()["id"]
        return job_id

    def status(self, job_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.http.get(f"status/{job_id}").json()
        return state

    def wait(self, job_id: str, within_s: float = 100) -> dict[str, Any]:
        return eventually(lambda: self.status(job_id), lambda state: state["status"] in FINAL, within_s)

    def ends(self, request: dict[str, Any], **envelope: Any) -> dict[str, Any]:
        return self.wait(self.submit(request, **envelope))

    def output(self, request: dict[str, Any], **envelope: Any) -> dict[str, Any]:
        state = self.ends(request, **envelope)
        assert state["status"] == "COMPLETED", state.get("error")
        output: dict[str, Any] = state["output"]
        return output

    def error(self, request: Any, **envelope: Any) -> dict[str, Any]:
        state = self.ends(request, **envelope)
        assert state["status"] == "FAILED", state
        error: dict[str, Any] = json.loads(state["error"])
        return error


def eventually(look: Callable[[], Seen], holds: Callable[[Seen], bool], within_s: float = 20) -> Seen:
    until = time.monotonic() + within_s
    while not holds(seen := look()):
        assert time.monotonic() < until, seen
        time.sleep(0.02)
    return seen


def children(pod: LocalpodThread, *endpoints: str) -> list[dict[str, Any]]:
    return [job for endpoint in endpoints for job in pod.jobs(endpoint)]


@pytest.fixture(scope="session")
def real_pod() -> Iterator[LocalpodThread]:
    with LocalpodThread(load_endpoints(), Options(idle_timeout_s=600)) as pod:
        yield pod


@pytest.fixture
def real(real_pod: LocalpodThread) -> Iterator[Caller]:
    caller = Caller(real_pod)
    yield caller
    caller.http.close()


STAND_IN = "tests.chain.handlers.stand_in"
POOLS = {
    "selfie": ("selfie",),
    "llm": ("llm",),
    "zimage": ("profile", "chat1to1", "shorts", "scenes", "text2img"),
}


def stand_in_workers(env: dict[str, str]) -> dict[str, LocalEndpoint]:
    return {
        name: LocalEndpoint(STAND_IN, Scaler("request_count", 1, 0, 2), pools=pools, env=env)
        for name, pools in POOLS.items()
    }


@pytest.fixture
def http_pod(tmp_path: Path) -> Iterator[Callable[..., LocalpodThread]]:
    """Start the HTTP API over stand-in workers, as `localpod up` does; `env` is set in every worker."""
    pods: list[LocalpodThread] = []

    def start(**env: str) -> LocalpodThread:
        env = {"STAND_IN_LOG": str(tmp_path / "executions"), **env}
        http = replace(http_endpoint(load_endpoints().endpoints["orchestrator"]), env=env)
        pods.append(LocalpodThread({"http": http, **stand_in_workers(env)}, Options()))
        pods[-1].start()
        return pods[-1]

    yield start
    for pod in pods:
        pod.stop()


@pytest.fixture
def stand_ins(tmp_path: Path) -> Iterator[Callable[..., Caller]]:
    """Start the real orchestrator over stand-in workers; `env` is set in every worker."""
    callers: list[Caller] = []

    def start(**env: str) -> Caller:
        env = {"STAND_IN_LOG": str(tmp_path / "executions"), **env}
        scaler = Scaler("request_count", 50, 0, 1)
        whole = LocalEndpoint("orchestrator", scaler, calls_others=True, env=env)
        pod = LocalpodThread({"orchestrator": whole, **stand_in_workers(env)}, Options())
        pod.start()
        callers.append(Caller(pod))
        return callers[-1]

    yield start
    for caller in callers:
        caller.http.close()
        caller.pod.stop()


@pytest.fixture
def executions(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        path = tmp_path / "executions"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return read
