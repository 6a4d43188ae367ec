"""A real HTTP server on loopback with scripted answers, for faults that a healthy deployment doesn't have."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

PICTURE = "iVBORw0KGgo="
RESULT: dict[str, Any] = {
    "image_base64": PICTURE,
    "image_format": "png",
    "width": 16,
    "height": 16,
    "seed": 7,
    "request_id": None,
    "task": "imagegen",
    "prompt_used": "a lighthouse",
    "model": {"name": "model", "revision": "1", "profile": "embedded"},
    "policy": {"version": "1", "verdict": "allowed", "treated_as": "moderated"},
    "trace_id": "trace",
}


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """`hold` keeps the connection open after the body until the caller closes it or the test ends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hold: bool = False
    drop: bool = False


def json_answer(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def problem(code: str, status: int, **more: Any) -> Answer:
    body = {"code": code, "detail": f"{code} happened.", "retryable": True, "stage": None, **more}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/problem+json"})


def stream(*events: tuple[str, Any], hold: bool = False) -> Answer:
    text = "".join(
        f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n" for number, (name, data) in enumerate(events, 1)
    )
    return Answer(200, b": keep-alive\n\n" + text.encode(), {"Content-Type": "text/event-stream"}, hold=hold)


class ScriptedServer:
    """A server that gives `answers[method, path]` one by one, and repeats the last one."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.closing = threading.Event()
        self.dropped = threading.Event()
        """Set when a caller closed a connection that was held open."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def paths(self, method: str) -> list[str]:
        return [one.path for one in self.received if one.method == method]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _next(self, method: str, path: str) -> Answer:
        scripted = self.answers.get((method, path), [])
        return scripted.pop(0) if len(scripted) > 1 else (scripted or [Answer(404)])[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.received.append(Received(self.command, self.path, headers, json.loads(raw) if raw else None))
                answer = server._next(self.command, self.path)
                if answer.drop:
                    self.connection.close()
                    return
                self.send_response(answer.status)
                for name, value in {**answer.headers, "Connection": "close"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
                self.wfile.flush()
                if answer.hold:
                    self.wait_for_the_caller()

            def wait_for_the_caller(self) -> None:
                self.connection.settimeout(0.05)
                while not (server.closing.is_set() or server.dropped.is_set()):
                    with suppress(TimeoutError):
                        if not _reads(self.connection):
                            server.dropped.set()

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 (names that http.server calls)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        return Handler


def _reads(connection: socket.socket) -> bytes:
    """Read one byte; empty if the caller has closed the connection. Raises `TimeoutError`."""
    try:
        return connection.recv(1)
    except TimeoutError:
        raise
    except OSError:
        return b""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


Waits = list[float]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Record the client's pauses instead of sleeping."""
    pauses: Waits = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    record: Callable[[float], None] = pauses.append
    for module in ("http", "runpod"):
        monkeypatch.setattr(f"img_pod._sync.{module}.pause", record)
        monkeypatch.setattr(f"img_pod._async.{module}.pause", pause)
    return pauses
