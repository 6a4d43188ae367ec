"""A fake platform on loopback that gives scripted answers and records its requests."""

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
class Reply:
    """One scripted answer. `drop` ends the connection instead."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    drop: bool = False


@dataclass(frozen=True)
class ReceivedRequest:
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
    """A fake platform. `replies` queues answers for an operation (of one `endpoint`); then the default applies."""

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self._script: dict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        self._always: dict[tuple[str, str], Reply] = {}

    def replies(self, operation: str, *answers: Reply, endpoint: str = "*") -> None:
        self._script[operation, endpoint].extend(answers)

    def always_replies(self, operation: str, answer: Reply, endpoint: str = "*") -> None:
        self._always[operation, endpoint] = answer

    def requests_for(self, *operations: str) -> list[ReceivedRequest]:
        return [request for request in self.requests if request.operation in operations]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        endpoint, operation, *rest = request.path.removeprefix("/v2/").split("/")
        body = await request.json() if request.can_read_body else None
        self.requests.append(ReceivedRequest(operation, endpoint, body, rest[0] if rest else None))
        reply = self._next(operation, endpoint)
        await asyncio.sleep(reply.after_s)
        if reply.drop:
            assert request.transport is not None
            request.transport.abort()
        if isinstance(reply.body, str):
            return web.Response(text=reply.body, status=reply.status, headers=reply.headers)
        answer = DEFAULT[operation] if reply.body is None else reply.body
        named = {"id": rest[0] if rest else f"job-{len(self.requests)}", **answer}
        return web.json_response(named, status=reply.status, headers=reply.headers)

    def _next(self, operation: str, endpoint: str) -> Reply:
        for key in ((operation, endpoint), (operation, "*")):
            if self._script[key]:
                return self._script[key].popleft()
            if key in self._always:
                return self._always[key]
        return Reply()


@pytest.fixture
async def platform() -> ScriptedPlatform:
    return ScriptedPlatform()


Connect = Callable[..., Endpoints]


@pytest.fixture
async def connect(platform: ScriptedPlatform) -> AsyncIterator[Connect]:
    """Create endpoints over the scripted platform: `ids` for the text2img pool, `only` for every other pool."""
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
