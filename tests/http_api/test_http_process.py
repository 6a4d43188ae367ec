"""`python -m http_api` as a process: its exit after a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from core.settings import Pool

ROOT = Path(__file__).parents[2]
START = """
import atexit, sys, threading
from core.settings import load_settings
from http_api.server import serve
from orchestrator.service import Service

def load():
    if sys.argv[1] == "loading":
        threading.Event().wait()
    return Service.from_settings(settings)

atexit.register(print, "interpreter shutdown")
settings = load_settings()
serve(load, settings)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Process:
    """A server process and its address."""

    def __init__(self, state: str) -> None:
        port = free_port()
        pools = {f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS": "endpoint" for pool in Pool}
        env = {**os.environ, **pools, "RUNPOD_API_KEY": "a-key", "HTTP_PORT": str(port)}
        self.running = subprocess.Popen(
            [sys.executable, "-c", START, state], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.url = f"http://127.0.0.1:{port}"

    def ping(self) -> int:
        """The status of /ping; 0 while the port is closed."""
        assert self.running.poll() is None, self.running.communicate()[0]
        try:
            return httpx.get(f"{self.url}/ping").status_code
        except httpx.TransportError:
            return 0

    def stop(self, number: signal.Signals) -> str:
        """Send the signal; return what the process printed."""
        self.running.send_signal(number)
        return self.running.communicate(timeout=60)[0].decode()


@pytest.fixture
def start() -> Iterator[Callable[[str], Process]]:
    started: list[Process] = []

    def start(state: str) -> Process:
        started.append(Process(state))
        return started[-1]

    yield start
    for process in started:
        process.running.kill()
        process.running.communicate()


@pytest.mark.parametrize(
    ("state", "status", "number"), [("loading", 204, signal.SIGTERM), ("ready", 200, signal.SIGINT)]
)
async def test_idle_process_exits_at_once_on_a_signal(
    start: Callable[[str], Process], state: str, status: int, number: signal.Signals
) -> None:
    process = start(state)
    async with asyncio.timeout(120):  # a process may import for a minute on a busy machine
        while process.ping() != status:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.05)

    output = process.stop(number)

    assert process.running.returncode == 0, output
    assert "interpreter shutdown" not in output
