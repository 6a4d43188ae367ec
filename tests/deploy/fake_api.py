"""A fake of RunPod's management API, made from the shape of its OpenAPI file.

It keeps endpoints in memory, rejects what the description rejects (as problem documents), and checks its own answers
against the description too, so that a client that works with the fake works with the described API.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator

SHAPE = json.loads((Path(__file__).parent / "runpod-v2.json").read_text())
KEY = "rpa_THE-MANAGEMENT-KEY"
GPUS = {
    "NVIDIA GeForce RTX 4090": ("ADA_24", 1.116),
    "NVIDIA L40": ("ADA_48_PRO", 1.908),
    "NVIDIA L40S": ("ADA_48_PRO", 1.908),
    "NVIDIA RTX 6000 Ada Generation": ("ADA_48_PRO", 1.908),
}
TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}
TITLES |= {422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error"}


def schema_errors(schema: Any, body: Any) -> list[str]:
    validator = Draft202012Validator({**schema, "$defs": SHAPE["$defs"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


class Problem(Exception):
    def __init__(self, status: int, detail: str, errors: list[str] | None = None) -> None:
        self.status, self.detail, self.errors = status, detail, errors


@dataclass
class Fault:
    """Answer the next `times` calls of an operation with a status; with `after`, the operation still takes effect.

    Status 0 drops the connection.
    """

    operation: str
    status: int
    times: int = 1
    after: bool = False
    skip: int = 0


@dataclass
class FakeRunpodApi:
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    workers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any] | None]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    url: str = ""
    page_size: int = 0
    """Endpoints of one page; 0 for no pagination."""

    def answer(self, method: str, path: str, authorization: str | None, body: Any) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        operation, found = _matched(method, path)
        self.calls.append((operation, body))
        try:
            _authorized(authorization)
            self._fail(operation, after=False)
            if query:
                assert operation == "listEndpoints"
                status, reply = 200, self._page(parse_qs(query)["cursor"][0])
            else:
                status, reply = getattr(self, operation)(*found.groups(), *_validated(operation, body))
            self._fail(operation, after=True)
        except Problem as problem:
            status, reply = problem.status, {"title": TITLES[problem.status], "status": problem.status}
            reply |= {"detail": problem.detail} | ({"errors": problem.errors} if problem.errors else {})
        answers = SHAPE["operations"][operation]["answers"]
        if described := answers.get(str(status), answers["default"]):
            assert not schema_errors(described, reply), "the fake contradicts the description"
        return status, reply

    def _fail(self, operation: str, *, after: bool) -> None:
        for fault in self.faults:
            if fault.operation == operation and fault.after == after and fault.times:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if not fault.status:
                    raise ConnectionAbortedError
                raise Problem(fault.status, "a fault of the test")

    def listEndpoints(self) -> tuple[int, Any]:  # noqa: N802 (the description's names)
        return 200, self._page("")

    def _page(self, cursor: str) -> dict[str, Any]:
        found = list(self.endpoints.values())
        if not self.page_size:
            return {"endpoints": found}
        start = int(cursor or 0)
        end = start + self.page_size
        more = {"hasNextPage": True, "nextCursor": str(end)} if end < len(found) else {"hasNextPage": False}
        return {"endpoints": found[start:end], "pagination": more}

    def createEndpoint(self, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        if ("gpu" in body) == ("cpu" in body):
            raise Problem(400, "exactly one of gpu and cpu")
        endpoint_id = f"ep{len(self.calls):04d}"
        defaults = {"env": {}, "dataCenterIds": [], "networkVolumes": [], "timeout": 300000, "flashboot": "OFF"}
        made = {
            **defaults,
            "registry": None,
            "disk": 20,
            **body,
            "id": endpoint_id,
            "createdAt": "2026-11-22T12:00:00Z",
        }
        self.endpoints[endpoint_id] = _apply_rules(made)
        return 201, self.endpoints[endpoint_id]

    def updateEndpoint(self, endpoint_id: str, body: dict[str, Any]) -> tuple[int, Any]:  # noqa: N802
        had = self._one(endpoint_id)
        if ("gpu" in body and "cpu" in had) or ("cpu" in body and "cpu" not in had):
            raise Problem(400, "compute family is immutable")
        patched = {**had, **body}
        if "gpu" in body:
            patched["gpu"] = {**had["gpu"], **body["gpu"]}
        if "workers" in body:
            counts_jobs = had["type"] == "QUEUE" and body.get("scaling", {}).get("type") == "REQUEST_COUNT"
            kept = {} if counts_jobs else had["workers"]
            patched["workers"] = {**kept, **body["workers"]}
        self.endpoints[endpoint_id] = _apply_rules(patched)
        return 200, self.endpoints[endpoint_id]

    def getEndpoint(self, endpoint_id: str) -> tuple[int, Any]:  # noqa: N802
        return 200, self._one(endpoint_id)

    def deleteEndpoint(self, endpoint_id: str) -> tuple[int, Any]:  # noqa: N802
        self._one(endpoint_id)
        del self.endpoints[endpoint_id]
        return 204, None

    def listEndpointWorkers(self, endpoint_id: str) -> tuple[int, Any]:  # noqa: N802
        self._one(endpoint_id)
        workers = self.workers.get(endpoint_id, [])
        counted = {
            name: sum(worker["status"] == name.upper() for worker in workers)
            for name in ("running", "idle", "initializing", "throttled", "unhealthy")
        }
        return 200, {"workers": workers, "summary": {**counted, "total": len(workers)}}

    def listGpuTypes(self) -> tuple[int, Any]:  # noqa: N802
        rest = {"manufacturer": "NVIDIA", "memory": 24, "secure": True, "community": True}
        rest["maxCount"] = {"secure": 8, "community": 8}
        return 200, {
            "gpus": [
                {
                    "id": name,
                    "name": name,
                    "pool": pool,
                    "price": {"secure": 1, "community": 1, "serverless": usd},
                    **rest,
                }
                for name, (pool, usd) in GPUS.items()
            ]
        }

    def listCpuTypes(self) -> tuple[int, Any]:  # noqa: N802
        price = {"securePerVcpu": 0.04, "serverlessPerVcpu": 0.072}
        rest = {"name": "Compute", "group": "Gen 5", "vcpu": {"min": 2, "max": 32}, "ramGbPerVcpu": 2, "price": price}
        return 200, {"cpus": [{"id": "cpu5c", **rest}]}

    def _one(self, endpoint_id: str) -> dict[str, Any]:
        if endpoint_id not in self.endpoints:
            raise Problem(404, "endpoint not found")
        return self.endpoints[endpoint_id]

    def find_live(self, name: str) -> dict[str, Any]:
        [found] = [endpoint for endpoint in self.endpoints.values() if endpoint["name"] == name]
        return found

    def changing(self) -> list[str]:
        return [operation for operation, _ in self.calls if not operation.startswith(("list", "get"))]


def _apply_rules(endpoint: dict[str, Any]) -> dict[str, Any]:
    """Apply the rules that the description states only in prose; return the endpoint as the API shows it."""
    workers = {"min": 0, "max": 3, **endpoint.get("workers", {})}
    balanced = endpoint["type"] == "LOAD_BALANCER"
    if balanced and endpoint["env"].get("PORT_HEALTH", "80") + "/http" not in endpoint.get("ports", []):
        raise Problem(400, "the health port isn't exposed")
    if endpoint["scaling"]["type"] == "REQUEST_COUNT" and not balanced:
        if "idleTimeout" in workers:
            raise Problem(400, "workers.idleTimeout is not applicable to request-count scaling")
    else:
        workers.setdefault("idleTimeout", 10)
    shown = {**endpoint, "workers": workers, "requestUrls": _request_urls(endpoint["id"], balanced=balanced)}
    if "cpu" in endpoint:
        shown["cpu"] = [{**cpu, "memory": cpu["vcpuCount"] * 2} for cpu in endpoint["cpu"]]
        return shown
    gpu = {"count": 1, "excludedTypes": [], "allowedCudaVersions": [], "minCudaVersion": None, **endpoint["gpu"]}
    gpu["minCudaVersion"] = gpu["minCudaVersion"] or None
    pools = {pool for pool, _ in GPUS.values()}
    if not set(gpu["pools"]) <= pools:
        raise Problem(400, "unknown GPU pool")
    if any(GPUS.get(name, ("", 0))[0] not in gpu["pools"] for name in gpu["excludedTypes"]):
        raise Problem(400, "excludedTypes names a GPU that is in none of the pools")
    if gpu["allowedCudaVersions"] and gpu["minCudaVersion"]:
        raise Problem(400, "allowedCudaVersions and minCudaVersion exclude each other")
    return {**shown, "gpu": gpu}


def _request_urls(endpoint_id: str, *, balanced: bool) -> dict[str, str]:
    if balanced:
        base = f"https://{endpoint_id}.eu.api.runpod.invalid"
        return {"base": base, "health": f"https://api.runpod.ai/v2/{endpoint_id}/health"}
    operations = ("run", "runSync", "status", "stream", "cancel", "retry", "purgeQueue", "health")
    return {name: f"https://api.runpod.ai/v2/{endpoint_id}/{name.lower()}" for name in operations}


def _authorized(authorization: str | None) -> None:
    if authorization != f"Bearer {KEY}":
        raise Problem(401, "missing or invalid bearer token")


def _validated(operation: str, body: Any) -> list[Any]:
    """Return the validated body as an argument, if the operation takes one."""
    schema = SHAPE["operations"][operation]["request"]
    if schema and (errors := schema_errors(schema, body)):
        raise Problem(422, "Request validation failed.", errors)
    return [body] if schema else []


def _matched(method: str, path: str) -> tuple[str, re.Match[str]]:
    for name, operation in SHAPE["operations"].items():
        pattern = re.sub(r"\{\w+\}", r"([^/]+)", operation["path"])
        if operation["method"] == method and (found := re.fullmatch(pattern, path)):
            return name, found
    raise AssertionError(f"{method} {path} is no operation that is described")


@contextmanager
def running(fake_api: FakeRunpodApi) -> Iterator[FakeRunpodApi]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(raw) if raw else None
            try:
                status, reply = fake_api.answer(self.command, self.path, self.headers.get("authorization"), body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            encoded = b"" if reply is None else json.dumps(reply).encode()
            self.send_response(status)
            kind = "application/json" if status < 400 else "application/problem+json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(encoded)))
            if status == 429:
                self.send_header("retry-after", "0")
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 (http.server's names)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake_api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake_api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
