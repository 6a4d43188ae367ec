"""The HTTP API with a real service whose endpoints answer at once, in this process."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image

from core.contracts import AgeBand, Features
from core.settings import HttpSettings, Pool, Settings, load_settings
from http_api.app import create_app
from http_api.server import DrainingServer, StartingApp
from orchestrator.polling import StageDurations
from orchestrator.service import Service
from orchestrator.stage_call import Call, StageAnswer

MODEL = {"name": "stand-in", "revision": "0", "profile": "none"}
CHECKED = {"checker": "stand-in", "score": 0.01, "threshold": 0.85, "outcome": "passed"}
WORDS = "A lighthouse stands on a cliff at dusk while waves roll in below."


def picture_bytes(side: int = 16) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (200, 120, 40)).save(file, "png")
    return file.getvalue()


PNG = picture_bytes()


class InstantEndpoints:
    """Answers stages in-process. `hold` keeps the generate stage waiting; `fail(stage, error)` makes a stage fail."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.waiting = 0
        self.held = asyncio.Event()
        """Set while a generate stage waits."""
        self.cancelled = 0
        self.open_circuits = 0
        self.failures: dict[str, Exception] = {}

    async def call(self, call: Call, deadline: Any, on_progress: Any = None) -> StageAnswer:
        self.calls.append(call)
        if call.stage == "generate":
            await self._held()
        if call.stage in self.failures:
            raise self.failures[call.stage]
        return StageAnswer(_output(call), "endpoint", "job", "worker", 1, 2, 1, 0)

    async def _held(self) -> None:
        self.waiting += 1
        self.held.set()
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1

    def expected(self, pool: Pool, stage: str, size: int = 0) -> StageDurations:
        return StageDurations()

    def wake(self, pool: Pool) -> None:
        """Do nothing: there are no workers to start."""

    def pool_states(self) -> dict[str, dict[str, int]]:
        return {str(pool): {"endpoints": 1, "open_circuits": self.open_circuits} for pool in Pool}

    async def close(self) -> None:
        """Do nothing: there are no connections."""


def _output(call: Call) -> dict[str, Any]:
    common = {"model": MODEL, "device_ms": 1}
    if call.stage == "analyze":
        features = Features(age_band=AgeBand.FROM_25_TO_34, confidence={"age_band": 0.99}).model_dump(mode="json")
        face = {"detected": True, "box": [0, 0, 9, 9], "confidence": 1, "faces_in_picture": 1, "quality_score": 1}
        return {**common, "features": features, "face": {**face, "components": {}}}
    if call.stage == "expand":
        return {**common, "prompt": "A lighthouse on a cliff at dusk, waves below, warm light."}
    if call.stage == "caption":
        return {**common, "caption": WORDS}
    return {
        **common,
        "image_base64": base64.b64encode(PNG).decode(),
        "image_format": "png",
        "width": 16,
        "height": 16,
        "seed": call.payload.get("seed", 5),
        "prompt_used": call.payload["prompt"],
        "policy": {"version": "0", "verdict": "allowed", "treated_as": "moderated", "picture": CHECKED},
    }


@pytest.fixture
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def endpoints() -> InstantEndpoints:
    return InstantEndpoints()


def with_http(settings: Settings, **changed: Any) -> Settings:
    http = HttpSettings(**{**settings.http.model_dump(), **changed})
    return settings.model_copy(update={"http": http})


Open = Callable[..., Any]


@pytest.fixture
def make_service(endpoints: InstantEndpoints, monkeypatch: pytest.MonkeyPatch) -> Callable[[Settings], Service]:
    for pool in Pool:
        monkeypatch.setenv(f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS", "endpoint")
    monkeypatch.setenv("RUNPOD_API_KEY", "a-key")
    monkeypatch.setenv("LLM_CLASSIFIER", "none")

    def make(settings: Settings) -> Service:
        loaded = load_settings()
        used = loaded.model_copy(update={"http": settings.http})
        service = Service.from_settings(used)
        service.endpoints = endpoints  # type: ignore[assignment]
        return service

    return make


@pytest.fixture
def http(settings: Settings, make_service: Callable[[Settings], Service]) -> Callable[..., Any]:
    """`async with http(**settings) as client:` is a client of a new application."""

    @asynccontextmanager
    async def opened(**changed: Any) -> AsyncIterator[httpx.AsyncClient]:
        used = with_http(load_settings(), **changed)
        service = make_service(used)
        app = create_app(service, used)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                client.app = app  # type: ignore[attr-defined]
                client.service = service  # type: ignore[attr-defined]
                yield client
        await service.shutdown()

    return opened


class Served:
    """A running server and its address."""

    def __init__(self, server: DrainingServer, starting: StartingApp) -> None:
        self.server = server
        self.starting = starting
        sockets = server.servers[0].sockets if server.servers else ()
        self.port: int = sockets[0].getsockname()[1] if sockets else 0
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def jobs(self) -> Any:
        assert self.starting.app is not None
        return self.starting.app.state.jobs


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.005)


@pytest.fixture
def serve(settings: Settings, make_service: Callable[[Settings], Service]) -> Callable[..., Any]:
    @asynccontextmanager
    async def serving(load: Callable[[], Service] | None = None, **changed: Any) -> AsyncIterator[Served]:
        used = with_http(settings, **changed)
        starting = StartingApp(load or (lambda: make_service(used)), used)
        config = uvicorn.Config(starting, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        server = DrainingServer(config, starting, drain_s=20)
        starting.failed = lambda: setattr(server, "should_exit", True)
        running = asyncio.create_task(server.serve())
        await until(lambda: server.started or running.done())
        if load is None:
            await until(lambda: starting.app is not None)
        try:
            yield Served(server, starting)
        finally:
            server.should_exit = True
            await running

    return serving
