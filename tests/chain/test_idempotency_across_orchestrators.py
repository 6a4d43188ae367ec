"""Idempotency across orchestrators, with an S3 server."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from core.contracts import ImageGen, ModelInfo, PolicyReport, Result, Route
from core.errors import AlreadyRunning
from core.settings import StorageSettings
from orchestrator.idempotency_s3 import Bucket, S3Idempotency


@pytest.fixture(scope="module")
def s3() -> Iterator[StorageSettings]:
    """moto's server, with one bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            httpx.put(f"http://127.0.0.1:{port}/ledger", trust_env=False).raise_for_status()
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield StorageSettings(
        endpoint_url=f"http://127.0.0.1:{port}/ledger", access_key_id="key-id", secret_access_key="secret"
    )
    server.terminate()
    server.wait()


REQUEST = ImageGen.model_validate({"task": "imagegen", "prompt": "a lighthouse", "idempotency_key": "k"})
RESULT = Result(
    request_id=None, task=Route.GENERAL, prompt_used="p", seed=7, width=16, height=16, image_format="png",
    image_base64="aGVsbG8=", model=ModelInfo(name="m", revision="0", profile="none"), trace_id="t",
    policy=PolicyReport(version="1", verdict="allowed", treated_as="moderated"),
)  # fmt: skip


async def test_one_of_eight_orchestrators_runs_and_all_return_its_answer(s3: StorageSettings) -> None:
    runs: list[int] = []

    async def slow() -> Result:
        runs.append(1)
        await asyncio.sleep(0.5)
        return RESULT

    made = [S3Idempotency(Bucket(s3), keep_s=60, lease_s=10) for _ in range(8)]
    ends = await asyncio.gather(*(one.run_once("k", REQUEST, slow) for one in made), return_exceptions=True)
    assert len(runs) == 1
    assert sum(isinstance(end, AlreadyRunning) for end in ends) == 7
    assert [await one.run_once("k", REQUEST, slow) for one in made] == [RESULT] * 8
    assert len(runs) == 1
    for one in made:
        await one.close()


async def test_expired_lease_is_taken_over_by_one_orchestrator(s3: StorageSettings) -> None:
    runs: list[int] = []

    async def run() -> Result:
        runs.append(1)
        await asyncio.sleep(0.3)
        return RESULT

    made = [S3Idempotency(Bucket(s3), keep_s=60, lease_s=-31) for _ in range(1)]
    await asyncio.wait([asyncio.create_task(made[0].run_once("dead", REQUEST, lambda: asyncio.sleep(5)))], timeout=0.5)  # type: ignore[arg-type]  # it never ends
    made += [S3Idempotency(Bucket(s3), keep_s=60, lease_s=10) for _ in range(4)]
    ends = await asyncio.gather(*(one.run_once("dead", REQUEST, run) for one in made[1:]), return_exceptions=True)
    assert len(runs) == 1
    assert sum(isinstance(end, Result) for end in ends) == 1
    for one in made:
        await one.close()
