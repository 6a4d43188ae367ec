"""Connections on real sockets: disconnecting callers, endless bodies, start and stop of the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from core.errors import Misconfigured
from core.settings import Settings
from orchestrator.service import Service
from tests.http_api.conftest import PNG, InstantEndpoints, until

IMAGE = {"prompt": "a lighthouse at dusk"}


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_disconnect_of_the_caller_cancels_the_stages(
    serve: Any, endpoints: InstantEndpoints, accept: str
) -> None:
    endpoints.hold.clear()
    async with serve() as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            asking = asyncio.create_task(client.post("/v1/imagegen", json=IMAGE, headers={"Accept": accept}))
            await endpoints.held.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: served.jobs.running == 0)

    assert (endpoints.cancelled, endpoints.waiting) == (1, 0)


async def test_disconnect_does_not_cancel_an_asynchronous_request(serve: Any, endpoints: InstantEndpoints) -> None:
    endpoints.hold.clear()
    headers = {"Accept": "text/event-stream", "Prefer": "respond-async"}
    async with serve() as served, httpx.AsyncClient(base_url=served.url) as client:
        async with client.stream("POST", "/v1/imagegen", json=IMAGE, headers=headers) as response:
            job_id = response.headers["x-job-id"]
            await endpoints.held.wait()
        endpoints.hold.set()
        await client.get(f"/v1/jobs/{job_id}/events")
        view = (await client.get(f"/v1/jobs/{job_id}")).json()

    assert view["status"] == "completed"
    assert endpoints.cancelled == 0


async def test_two_hundred_disconnecting_callers_leak_nothing(serve: Any, endpoints: InstantEndpoints) -> None:
    endpoints.hold.clear()
    async with serve() as served:
        for capacity in served.starting.app.state.service.capacity.values():
            capacity._limit = 1_000
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=served.url, limits=limits, timeout=None) as client:
            asking = [asyncio.create_task(client.post("/v1/imagegen", json=IMAGE)) for _ in range(200)]
            await until(lambda: endpoints.waiting == 200)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        await until(lambda: served.jobs.running == 0)

        assert (endpoints.waiting, endpoints.cancelled) == (0, 200)
        assert not served.jobs._jobs
        assert served.starting.app.state.service.capacity["imagegen"].running == 0


async def raw_answer(port: int, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read(4_000)
    finally:
        writer.close()


async def test_body_that_stops_arriving_is_408(serve: Any) -> None:
    head = b"POST /v1/imagegen HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    async with serve(body_timeout_s=0.2) as served:
        answer = await raw_answer(served.port, head)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_timeout" in answer


async def test_declared_size_over_the_limit_is_413_before_the_body(serve: Any) -> None:
    head = b"POST /v1/imagegen HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    async with serve() as served:
        answer = await raw_answer(served.port, head, b"Content-Length: 99999999999\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413")


async def test_endless_body_is_413(serve: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1_000_000

    async with serve() as served, httpx.AsyncClient(base_url=served.url) as client:
        try:
            headers = {"Content-Type": "application/json"}
            response = await client.post("/v1/imagegen", content=endless(), headers=headers)
        except (httpx.ReadError, httpx.WriteError):
            return  # the server closed the connection, which ends the body as well
        assert response.status_code == 413


async def test_selfie_is_never_written_to_disk(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    watching = threading.Event()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        flags = arguments[2] if event == "open" else 0
        if watching.is_set() and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            opened.append(arguments[0])

    sys.addaudithook(watch)
    rolled: list[bool] = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: rolled.append(True))
    large = PNG + b"\0" * 6_000_000
    async with serve() as served, httpx.AsyncClient(base_url=served.url) as client:
        watching.set()
        response = await client.post("/v1/profile/create", files={"selfie": ("me.png", large)})
        watching.clear()

    assert response.status_code == 200, response.text
    assert (opened, rolled) == ([], [])


async def test_process_answers_204_until_it_is_loaded(
    serve: Any, settings: Settings, make_service: Callable[[Settings], Service]
) -> None:
    may_load = threading.Event()

    def load() -> Service:
        may_load.wait()
        return make_service(settings)

    async with serve(load=load) as served, httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/ping")).status_code == 204
        refused = await client.post("/v1/imagegen", json=IMAGE)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        may_load.set()
        await until(lambda: served.starting.app is not None)
        assert (await client.get("/ping")).status_code == 200


async def test_process_that_fails_to_load_exits_with_the_reason(serve: Any) -> None:
    def load() -> Service:
        raise Misconfigured("Set RUNPOD_API_KEY.")

    async with serve(load=load) as served:
        await until(lambda: served.server.should_exit)

    assert str(served.starting.error) == "Set RUNPOD_API_KEY."


async def test_draining_process_finishes_running_requests_and_refuses_new_ones(
    serve: Any, endpoints: InstantEndpoints
) -> None:
    endpoints.hold.clear()
    async with serve() as served, httpx.AsyncClient(base_url=served.url) as client:
        asking = asyncio.create_task(client.post("/v1/imagegen", json=IMAGE))
        await endpoints.held.wait()
        served.server.handle_exit(signal.SIGTERM, None)
        await until(lambda: served.jobs.draining)
        ping = await client.get("/ping")
        refused = await client.post("/v1/imagegen", json=IMAGE)
        endpoints.hold.set()
        finished = await asking
        await until(lambda: served.server.should_exit)

    assert (ping.status_code, refused.status_code, finished.status_code) == (503, 503, 200)
    assert refused.json()["code"] == "worker_stopping"


@pytest.mark.parametrize("path", ["/ping", "/healthz", "/metrics", "/v1/models", "/", "/docs"])
async def test_head_returns_the_headers_of_get_without_a_body(serve: Any, path: str) -> None:
    async with serve() as served, httpx.AsyncClient(base_url=served.url) as client:
        head, get = await client.head(path), await client.get(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", ["/v1/imagegen/", "/v1/jobs/", "/ping/", "/docs/"])
async def test_path_with_a_trailing_slash_is_not_redirected(serve: Any, path: str) -> None:
    async with serve() as served, httpx.AsyncClient(base_url=served.url) as client:
        response = await client.post(path, json=IMAGE)

    assert response.status_code == 404
    assert "location" not in response.headers
