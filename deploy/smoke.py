"""Send one small request through each route of a live deployment: six pictures, at their normal cost.

A queue endpoint is called through the job API, a load-balancing endpoint through the HTTP API.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from core.contracts import Route
from core.errors import Misconfigured, from_wire
from core.settings import ROOT

_FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}
_POLL_S = 2.0
_RETRY_S = 5.0
_HTTP_TIMEOUT_S = 340.0
_MESSAGES = [{"role": "user", "content": "I'm reading by the window while it rains outside."}]


@dataclass(frozen=True)
class Smoke:
    route: Route
    ok: bool
    seconds: float
    detail: str
    """The error's code and message, or the size of the picture."""


def requests(selfie: Path = ROOT / "test_inputs" / "selfie.json") -> dict[Route, dict[str, Any]]:
    """A harmless request for each route. Raises `Misconfigured` when the selfie's file is missing."""
    try:
        picture = json.loads(selfie.read_text(encoding="utf-8"))["input"]["selfie"]
    except (OSError, ValueError, KeyError):
        raise Misconfigured(f"{selfie.name} contains no selfie: restore it from the repository.") from None
    chat: dict[str, Any] = {"messages": _MESSAGES, "seed": 7}
    prompt: dict[str, Any] = {"prompt": "a lighthouse on a cliff at dusk", "seed": 7}
    return {
        Route.PROFILE: {"task": Route.PROFILE, "selfie": picture, "seed": 7},
        Route.CHAT_1TO1: {"task": Route.CHAT_1TO1, **chat},
        Route.SHORTS: {"task": Route.SHORTS, **chat},
        Route.SCENES: {"task": Route.SCENES, **chat},
        Route.PRIVATE: {"task": Route.PRIVATE, **prompt},
        Route.GENERAL: {"task": Route.GENERAL, **prompt},
    }


def run_smoke_tests(
    base_url: str,
    key: str,
    endpoint_id: str,
    *,
    limit_s: float = 600,
    poll_s: float = _POLL_S,
    report: Callable[[Smoke], None] = lambda _: None,
) -> list[Smoke]:
    """Send the requests. `base_url` is the job API's; `limit_s` is per route, cold start included."""
    tried = []
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{base_url.rstrip('/')}/{endpoint_id}/", headers=headers, timeout=30) as http:
        for route, request in requests().items():
            tried.append(_run_one(http, route, request, limit_s, poll_s))
            report(tried[-1])
    return tried


def run_http_smoke_tests(
    url: str,
    key: str,
    *,
    limit_s: float = 600,
    pause_s: float = _RETRY_S,
    report: Callable[[Smoke], None] = lambda _: None,
) -> list[Smoke]:
    """Send the requests to a load-balancing endpoint. `url` is its base URL; `limit_s` as above."""
    tried = []
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=_HTTP_TIMEOUT_S) as http:
        for route, request in requests().items():
            tried.append(_post_until_served(http, route, request, limit_s, pause_s))
            report(tried[-1])
    return tried


def _post_until_served(
    http: httpx.Client, route: Route, request: dict[str, Any], limit_s: float, pause_s: float
) -> Smoke:
    """Send a request, and repeat it while no worker is ready, because RunPod neither queues nor retries it."""
    started = time.monotonic()
    body = {name: value for name, value in request.items() if name != "task"}
    while True:
        try:
            answer = http.post(f"/v1/{route}", json=body)
            ok, detail = _evaluate_http(answer)
            starting = _no_worker(answer)
        except httpx.HTTPError as error:
            ok, detail, starting = False, type(error).__name__, isinstance(error, httpx.ConnectError)
        seconds = time.monotonic() - started
        if not starting or seconds + pause_s > limit_s:
            return Smoke(route, ok, seconds, detail)
        time.sleep(pause_s)


def _no_worker(answer: httpx.Response) -> bool:
    """Whether the answer is the platform's and not a worker's, whose errors are problem documents."""
    from_worker = "problem+json" in answer.headers.get("content-type", "")
    return answer.status_code in (502, 503) or (answer.status_code == 400 and not from_worker)


def _evaluate_http(answer: httpx.Response) -> tuple[bool, str]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    if answer.is_success and "width" in body:
        return True, f"{body['width']}×{body['height']} {body.get('image_format', '')}".strip()
    if "code" in body:
        return False, f"{body['code']}: {body.get('detail', '')}"
    return False, f"HTTP {answer.status_code}"


def _run_one(http: httpx.Client, route: Route, request: dict[str, Any], limit_s: float, poll_s: float) -> Smoke:
    started = time.monotonic()
    try:
        status = _wait_until_final(http, request, started + limit_s, poll_s)
    except httpx.HTTPStatusError as error:
        return Smoke(route, ok=False, seconds=time.monotonic() - started, detail=f"HTTP {error.response.status_code}")
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Smoke(route, ok=False, seconds=time.monotonic() - started, detail=type(error).__name__)
    ok, detail = _evaluate(status)
    return Smoke(route, ok, time.monotonic() - started, detail)


def _wait_until_final(http: httpx.Client, request: dict[str, Any], until: float, poll_s: float) -> dict[str, Any]:
    """The last status of the job: a final one, or the one at the deadline."""
    answer = http.post("run", json={"input": request})
    answer.raise_for_status()
    status: dict[str, Any] = answer.json()
    job_id = status["id"]
    while status["status"] not in _FINAL and time.monotonic() < until:
        time.sleep(poll_s)
        answer = http.get(f"status/{job_id}")
        answer.raise_for_status()
        status = answer.json()
    if status["status"] not in _FINAL:
        http.post(f"cancel/{job_id}")
    return status


def _evaluate(status: dict[str, Any]) -> tuple[bool, str]:
    output = status.get("output")
    if status["status"] == "COMPLETED" and isinstance(output, dict) and "width" in output:
        return True, f"{output['width']}×{output['height']} {output.get('image_format', '')}".strip()
    if "error" in status:
        error = from_wire(status["error"])
        return False, f"{error.code}: {error.message}"
    if status["status"] in ("IN_QUEUE", "IN_PROGRESS"):
        return False, f"still {status['status']}: no worker took it, or it is too slow"
    return False, f"{status['status']} without a picture"
