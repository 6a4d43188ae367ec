"""A platform on loopback that answers as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.settings import OrchestratorSettings, PlatformSettings, Pool
from orchestrator.endpoints import Endpoints
from orchestrator.stage_call import Call

OUTPUT = {"ok": True}


@dataclass(frozen=True)
class Said:
    """One scripted answer. `drop` ends the connection instead."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    drop: bool = False


@dataclass(frozen=True)
class Asked:
    operation: str
    endpoint: str
    body: Any
    job_id: str | None


def done(**more: Any) -> dict[str, Any]:
    return {"status": "COMPLETED", "output": OUTPUT, "executionTime": 5, **more}


DEFAULT = {
    "run": {"status": "IN_QUEUE"},
    "runsync": done(),
    "status": done(),
    "cancel": {"status": "CANCELLED"},
    "health": {"workers": {"idle": 0, "running": 0}},
}


class ScriptedPlatform:
    """`says(operation, *answers)` is used up answer by answer, then the default holds; `endpoint` narrows it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._script: dict[tuple[str, str], deque[Said]] = defaultdict(deque)
        self._always: dict[tuple[str, str], Said] = {}

    def says(self, operation: str, *answers: Said, endpoint: str = "*") -> None:
        self._script[operation, endpoint].extend(answers)

    def always(self, operation: str, answer: Said, endpoint: str = "*") -> None:
        self._always[operation, endpoint] = answer

    def asked_for(self, *operations: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.operation in operations]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        endpoint, operation, *rest = request.path.removeprefix("/v2/").split("/")
        body = await request.json() if request.can_read_body else None
        self.asked.append(Asked(operation, endpoint, body, rest[0] if rest else None))
        said = self._next(operation, endpoint)
        await asyncio.sleep(said.after_s)
        if said.drop:
            assert request.transport is not None
            request.transport.abort()
        if isinstance(said.body, str):
            return web.Response(text=said.body, status=said.status, headers=said.headers)
        answer = DEFAULT[operation] if said.body is None else said.body
        named = {"id": rest[0] if rest else f"job-{len(self.asked)}", **answer}
        return web.json_response(named, status=said.status, headers=said.headers)

    def _next(self, operation: str, endpoint: str) -> Said:
        for key in ((operation, endpoint), (operation, "*")):
            if self._script[key]:
                return self._script[key].popleft()
            if key in self._always:
                return self._always[key]
        return Said()


@pytest.fixture
async def platform() -> ScriptedPlatform:
    return ScriptedPlatform()


Connect = Callable[..., Endpoints]


@pytest.fixture
async def connect(platform: ScriptedPlatform) -> AsyncIterator[Connect]:
    """Endpoints over the scripted platform; the text2img pool has those named `ids`, every other one `only`."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", platform.serve)
    server = TestServer(app)
    await server.start_server()
    made: list[Endpoints] = []

    def make(*ids: str, **settings: Any) -> Endpoints:
        pools = {f"{pool}_endpoint_ids": ("only",) for pool in Pool}
        pools["text2img_endpoint_ids"] = ids or ("a",)
        where = PlatformSettings(endpoint_base_url=str(server.make_url("/v2")), api_key="key")
        made.append(Endpoints(where, OrchestratorSettings(**pools, **settings)))
        return made[-1]

    yield make
    for endpoints in made:
        await endpoints.close()
    await server.close()


def long_call(**more: Any) -> Call:
    return Call(**{"stage": "generate", "pool": Pool.TEXT2IMG, "payload": {"key": "k"}, "limit_s": 5, **more})


def short_call(**more: Any) -> Call:
    return long_call(wait_ms=1000, **more)
