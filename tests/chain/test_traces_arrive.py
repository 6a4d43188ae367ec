"""Spans of a request that ended just before its orchestrator left."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from core.contracts import Route
from tests.chain.conftest import Caller, eventually


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Where spans go: its URL, and the bodies that it was sent."""
    bodies: list[bytes] = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
    server.shutdown()
    server.server_close()


def test_an_orchestrator_that_leaves_sends_its_last_spans(
    stand_ins: Callable[..., Caller], collector: tuple[str, list[bytes]]
) -> None:
    url, bodies = collector
    caller = stand_ins(ORCHESTRATOR_OTLP_ENDPOINT=url)
    result = caller.output({"task": Route.GENERAL, "prompt": "a lighthouse at dusk"})
    [worker] = caller.pod.workers("orchestrator")
    os.kill(worker["pid"], signal.SIGTERM)
    eventually(lambda: psutil.pid_exists(worker["pid"]), lambda is_there: not is_there)
    assert any(bytes.fromhex(result["trace_id"]) in body for body in bodies)
