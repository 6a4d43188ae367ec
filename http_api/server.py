"""The server process: answers /ping while the service is loading, and drains on SIGTERM.

May import: core, orchestrator, uvicorn, http_api.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import ImgPodError, Misconfigured, WorkerStopping
from core.logs import logger
from core.settings import HttpSettings, Settings
from core.worker.entry import exit_at_once
from http_api.app import create_app
from http_api.problems import error_response
from orchestrator.service import Service

log = logger()

_KEEP_ALIVE_S = 75
_CLOSE_S = 5


class StartingApp:
    """The application after it has loaded; before, /ping answers 204 and all other paths 503."""

    def __init__(self, load: Callable[[], Service], settings: Settings) -> None:
        self._load = load
        self._settings = settings
        self._loading: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        self.app: FastAPI | None = None
        self.error: ImgPodError | None = None
        self.failed: Callable[[], None] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/ping":
            await Response(status_code=204)(scope, receive, send)
        elif scope["type"] == "http":
            starting = WorkerStopping("The process is starting; send the request again.", retry_after_ms=1_000)
            await error_response(starting)(scope, receive, send)

    async def drain(self, within_s: float) -> None:
        if self.app is not None:
            await self.app.state.jobs.drain(within_s)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._loading = asyncio.create_task(self._start())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._loading.cancel()
        await asyncio.gather(self._loading, return_exceptions=True)
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        try:
            service = await asyncio.to_thread(self._load)
            self._stack.push_async_callback(service.shutdown)
            app = create_app(service, self._settings)
        except ImgPodError as error:
            self.error = error
            self.failed()
            return
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        self.app = app
        log.info("http api ready")


class DrainingServer(uvicorn.Server):
    """On SIGTERM, continue to answer (/ping with 503) until running requests have ended; then stop listening."""

    def __init__(self, config: uvicorn.Config, starting: StartingApp, drain_s: float) -> None:
        super().__init__(config)
        self._starting = starting
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._draining is None and not self.should_exit:
            log.info("http api draining", signal=signal.Signals(sig).name)
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(self._begin_draining)
        else:
            super().handle_exit(sig, frame)

    def _begin_draining(self) -> None:
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        await self._starting.drain(self._drain_s)
        self.should_exit = True


def serve(load: Callable[[], Service], settings: Settings) -> NoReturn:
    """Listen until SIGTERM or Ctrl-C, then exit. Raises `Misconfigured` if the service can't load or be exposed."""
    own = settings.http
    check_exposure(own)
    starting = StartingApp(load, settings)
    config = uvicorn.Config(
        starting,
        host=own.host,
        port=own.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_CLOSE_S,
    )
    server = DrainingServer(config, starting, own.drain_s)
    starting.failed = lambda: setattr(server, "should_exit", True)
    log.info("http api listening", port=own.port)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve())
        if starting.error is None:
            exit_at_once(0)  # before asyncio waits for its threads: one of them may still be loading
    raise starting.error


def check_exposure(settings: HttpSettings) -> None:
    """Raise `Misconfigured` if callers without a key could reach the API from the network."""
    if settings.keys_file is None and not settings.allow_without_keys and not _is_loopback(settings.host):
        raise Misconfigured(
            f"Without keys the HTTP API listens on loopback only, not on {settings.host}: set HTTP_KEYS_FILE, or "
            "HTTP_ALLOW_WITHOUT_KEYS=true if a proxy in front authenticates callers."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
