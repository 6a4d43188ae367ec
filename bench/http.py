"""Overhead and throughput of the HTTP API, with stages that take no time.

    python -m bench.http            about half a minute on two cores

The server runs in its own process, with a service whose endpoints answer at once. For comparison the same service is
called directly; the difference is HTTP, JSON, the job and its events.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

import aiohttp
import uvicorn

from core.contracts import REQUESTS, Route, read_request
from core.errors import QueueFull
from core.settings import Pool, Settings, load_settings
from core.worker.job import Job
from core.worker.progress import Progress
from http_api.app import create_app
from orchestrator.capacity import Capacity
from orchestrator.service import Service
from tests.http_api.conftest import InstantEndpoints

BODY = {"prompt": "a lighthouse at dusk", "seed": 7}
REQUESTS_IN_A_ROW = 300
IN_FLIGHT = 200
SERVE = "--serve"


def service() -> tuple[Service, Settings]:
    """A service with endpoints that answer at once."""
    for pool in Pool:
        os.environ[f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS"] = "endpoint"
    os.environ["RUNPOD_API_KEY"] = "a-key"
    os.environ["LLM_CLASSIFIER"] = "none"
    settings = load_settings()
    made = Service.from_settings(settings)
    made.endpoints = InstantEndpoints()  # type: ignore[assignment]
    made.capacity = {route: Capacity(2 * IN_FLIGHT, retry_after_cap_ms=1_000) for route in Route}
    return made, settings


def serve(port: int) -> None:
    made, settings = service()
    uvicorn.run(create_app(made, settings), port=port, log_config=None, access_log=False)


async def flow_once(made: Service) -> None:
    async def send(_: object) -> None:
        """Ignore progress."""

    request = read_request({"task": "imagegen", **BODY}, REQUESTS)
    progress = Progress(send, interval_s=0.1)
    await made.answer(request, Job("job", progress))
    await progress.close()


async def times_ms(once: Callable[[], Awaitable[None]], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        await once()
        taken.append(1000 * (time.perf_counter() - started))
    return taken


class Client:
    """A client of the server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ready(self) -> None:
        while True:
            try:
                async with self._session.get(f"{self._url}/ping") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)

    async def picture(self) -> None:
        async with self._session.post(f"{self._url}/v1/imagegen", json=BODY) as answer:
            await answer.read()
            if answer.status != 200:
                raise QueueFull(f"answered {answer.status}")

    async def first_event(self) -> None:
        headers = {"Accept": "text/event-stream"}
        async with self._session.post(f"{self._url}/v1/imagegen", json=BODY, headers=headers) as answer:
            await answer.content.readuntil(b"\n\n")

    async def concurrent_pictures(self) -> tuple[list[float], int]:
        """Times in ms of requests that run at the same time, and the number of failures."""

        async def one() -> float:
            return (await times_ms(self.picture, 1))[0]

        answers = await asyncio.gather(*(one() for _ in range(IN_FLIGHT)), return_exceptions=True)
        taken = [answer for answer in answers if isinstance(answer, float)]
        return taken, len(answers) - len(taken)


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


async def measure(port: int) -> dict[str, float]:
    made, _ = service()
    await times_ms(lambda: flow_once(made), 50)
    flow = await times_ms(lambda: flow_once(made), REQUESTS_IN_A_ROW)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = Client(session, f"http://127.0.0.1:{port}")
        await client.ready()
        await times_ms(client.picture, 50)
        over_http = await times_ms(client.picture, REQUESTS_IN_A_ROW)
        first = await times_ms(client.first_event, REQUESTS_IN_A_ROW)
        concurrent_pictures, failed = await client.concurrent_pictures()
    await made.shutdown()
    return {
        "flow_p50_ms": statistics.median(flow),
        "http_p50_ms": statistics.median(over_http),
        "http_adds_p50_ms": statistics.median(over_http) - statistics.median(flow),
        "http_p99_ms": p99(over_http),
        "first_event_p50_ms": statistics.median(first),
        "first_event_p99_ms": p99(first),
        "in_flight": IN_FLIGHT,
        "in_flight_p50_ms": statistics.median(concurrent_pictures),
        "in_flight_max_ms": max(concurrent_pictures),
        "in_flight_failed": failed,
    }


def main() -> None:
    if SERVE in sys.argv:
        serve(int(sys.argv[-1]))
        return
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "bench.http", SERVE, str(port)], stdout=subprocess.DEVNULL)
    try:
        print(json.dumps({name: round(value, 2) for name, value in asyncio.run(measure(port)).items()}, indent=2))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
