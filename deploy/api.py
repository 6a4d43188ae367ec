"""Client of RunPod's management API, version 2: typed answers and typed errors.

    ApiError
    ├── Unauthorized     401  the key is missing, wrong or expired
    ├── Forbidden        403  the key may not do this
    ├── NotFound         404
    ├── Rejected         400, 422  the request is malformed, or breaks a rule of the platform
    ├── Conflict         409
    ├── RateLimited      429  after the retries; `retry_after_s` says how long to wait
    ├── ServerFailed     5xx
    ├── Unreachable      no answer
    └── InvalidResponse    an answer that doesn't match the API description

Errors are RFC 9457 problem documents. Reads, updates and deletions are retried; a creation isn't, because an endpoint
whose answer was lost may exist: `deploy.apply` looks for it by name instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import urlencode

import httpx
import stamina
from pydantic import BaseModel, ConfigDict, Field, ValidationError

BASE_URL = "https://api.runpod.io"
_MAX_WAIT_S = 60.0
_ENDPOINTS_PATH = "/v2/serverless"
_LISTING = "Listing endpoints"
_RESET = re.compile(r";\s*t=(\d{1,9})(?!\d)")


class ApiError(Exception):
    """An operation (`what`) failed, with the problem's detail and what to `do`. Never contains the key."""

    do: ClassVar[str] = ""

    def __init__(self, what: str, *, status: int | None = None, detail: str = "", errors: tuple[str, ...] = ()) -> None:
        self.what, self.status, self.detail, self.errors = what, status, detail, errors
        self.retry_after_s: float | None = None
        summary = ": ".join(part for part in (f"{what} failed ({status or 'no answer'})", detail) if part)
        super().__init__(". ".join(part.rstrip(".") for part in (summary, *errors, self.do) if part) + ".")


class Unauthorized(ApiError):
    do = "Set RUNPOD_API_KEY to a key that RunPod's console shows as active"


class Forbidden(ApiError):
    do = "Give the key write access to serverless endpoints in RunPod's console"


class NotFound(ApiError):
    do = "It may have been deleted in the console; `python -m deploy plan` shows what exists"


class Rejected(ApiError):
    do = "Correct endpoints.yaml"


class Conflict(ApiError):
    do = "Something else is changing it: wait and run the command again"


class RateLimited(ApiError):
    do = "Wait and run the command again: it continues where it stopped"


class ServerFailed(ApiError):
    do = "Run the command again: it continues where it stopped"


class Unreachable(ApiError):
    do = "Check the network and run the command again: it continues where it stopped"


class InvalidResponse(ApiError):
    do = "This version may be too old for RunPod's API"


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Rejected,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Rejected,
    429: RateLimited,
}


class Answer(BaseModel):
    """Base of the answers. Unknown fields are ignored, so that RunPod can add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class LiveGpu(Answer):
    pools: tuple[str, ...]
    excluded_types: tuple[str, ...] = Field(default=(), alias="excludedTypes")
    count: int = 1
    allowed_cuda_versions: tuple[str, ...] = Field(default=(), alias="allowedCudaVersions")
    min_cuda_version: str | None = Field(default=None, alias="minCudaVersion")


class LiveCpu(Answer):
    id: str
    vcpu_count: int = Field(alias="vcpuCount")


class LiveWorkers(Answer):
    min: int
    max: int
    idle_timeout: int | None = Field(default=None, alias="idleTimeout")


class LiveEndpoint(Answer):
    """An endpoint that exists on RunPod."""

    id: str
    name: str
    type: str | None = None
    image: str | None = None
    disk: int | None = None
    ports: tuple[str, ...] = ()
    registry: str | None = None
    env: dict[str, str] = Field(default_factory=dict)
    gpu: LiveGpu | None = None
    cpu: tuple[LiveCpu, ...] | None = None
    workers: LiveWorkers
    scaling: dict[str, Any]
    timeout: int = Field(description="Time limit of one job's execution, ms.")
    flashboot: str
    request_urls: dict[str, str] = Field(default_factory=dict, alias="requestUrls")

    @property
    def load_balancer(self) -> bool:
        return self.type == "LOAD_BALANCER"

    @property
    def http_url(self) -> str:
        """The base URL of a load-balancing endpoint: the answer's own, or the documented form."""
        return self.request_urls.get("base", f"https://{self.id}.api.runpod.ai").rstrip("/")


class LiveWorker(Answer):
    id: str
    status: str
    is_stale: bool = Field(alias="isStale")
    gpu_type_id: str | None = Field(default=None, alias="gpuTypeId")


class GpuType(Answer):
    id: str
    pool: str | None
    price: dict[str, float]


class CpuType(Answer):
    id: str
    price: dict[str, float]


class _Pagination(Answer):
    has_next_page: bool = Field(default=True, alias="hasNextPage")
    next_cursor: str | None = Field(default=None, alias="nextCursor")


class _Endpoints(Answer):
    endpoints: tuple[LiveEndpoint, ...]
    pagination: _Pagination | None = None

    @property
    def next_cursor(self) -> str | None:
        return self.pagination.next_cursor if self.pagination and self.pagination.has_next_page else None


class _Workers(Answer):
    workers: tuple[LiveWorker, ...]


class _Gpus(Answer):
    gpus: tuple[GpuType, ...]


class _Cpus(Answer):
    cpus: tuple[CpuType, ...]


A = TypeVar("A", bound=Answer)


class Api:
    """The client. `key` is sent as the Authorization header only.

    `max_attempts` applies to calls that can be repeated.
    """

    def __init__(self, key: str, base_url: str = BASE_URL, *, timeout_s: float = 30, max_attempts: int = 4) -> None:
        self._http = httpx.Client(
            base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s, follow_redirects=False
        )
        self._max_attempts = max_attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def endpoints(self) -> tuple[LiveEndpoint, ...]:
        """Every endpoint of the account, over all pages: one that is missed here would be created a second time."""
        page = self._read(_LISTING, _ENDPOINTS_PATH, _Endpoints)
        found, cursors = list(page.endpoints), set[str]()
        while (cursor := page.next_cursor) is not None:
            if cursor in cursors:
                raise InvalidResponse(_LISTING, detail="the pages repeat")
            cursors.add(cursor)
            page = self._read(_LISTING, f"{_ENDPOINTS_PATH}?{urlencode({'cursor': cursor})}", _Endpoints)
            found += page.endpoints
        return tuple(found)

    def create(self, body: dict[str, Any]) -> LiveEndpoint:
        what = f"Creating {body['name']}"
        return _parsed(what, self._send(what, "POST", _ENDPOINTS_PATH, body), LiveEndpoint)

    def update(self, endpoint: LiveEndpoint, body: dict[str, Any]) -> LiveEndpoint:
        what = f"Updating {endpoint.name}"
        path = f"{_ENDPOINTS_PATH}/{endpoint.id}"
        return _parsed(what, self._with_retries(lambda: self._send(what, "PATCH", path, body)), LiveEndpoint)

    def delete(self, endpoint: LiveEndpoint) -> None:
        """Delete an endpoint; one that no longer exists is no error."""
        what, path = f"Deleting {endpoint.name}", f"{_ENDPOINTS_PATH}/{endpoint.id}"
        with suppress(NotFound):
            self._with_retries(lambda: self._send(what, "DELETE", path))

    def workers(self, endpoint: LiveEndpoint) -> tuple[LiveWorker, ...]:
        what = f"Listing the workers of {endpoint.name}"
        return self._read(what, f"{_ENDPOINTS_PATH}/{endpoint.id}/workers", _Workers).workers

    def gpu_types(self) -> tuple[GpuType, ...]:
        return self._read("Reading the GPU catalogue", "/v2/catalog/gpus", _Gpus).gpus

    def cpu_types(self) -> tuple[CpuType, ...]:
        return self._read("Reading the CPU catalogue", "/v2/catalog/cpus", _Cpus).cpus

    def _read(self, what: str, path: str, answer: type[A]) -> A:
        return _parsed(what, self._with_retries(lambda: self._send(what, "GET", path)), answer)

    def _with_retries(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        retrying = stamina.RetryingCaller(attempts=self._max_attempts, timeout=None, wait_max=_MAX_WAIT_S)
        return retrying.on(_retry_delay)(call)

    def _send(self, what: str, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unreachable(what, detail=type(error).__name__) from None
        if response.is_success:
            return response
        raise _failure(what, response)


def _retry_delay(error: Exception) -> bool | float:
    """Return whether to retry; a number is the delay in seconds that the API requested."""
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        return min(error.retry_after_s, _MAX_WAIT_S)
    return isinstance(error, RateLimited | ServerFailed | Unreachable)


def _failure(what: str, response: httpx.Response) -> ApiError:
    """The error for an answer; its body is normally a problem document."""
    status = response.status_code
    try:
        problem = response.json()
    except ValueError:
        problem = None
    problem = problem if isinstance(problem, dict) else {}
    listed = problem.get("errors")
    error = _BY_STATUS.get(status, ServerFailed if status >= 500 else InvalidResponse)(
        what,
        status=status,
        detail=str(problem.get("detail") or problem.get("title") or response.reason_phrase),
        errors=tuple(map(str, listed)) if isinstance(listed, list) else (),
    )
    error.retry_after_s = _retry_after_s(response.headers)
    return error


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """`Retry-After`, or else the time until the limit resets from `RateLimit: "default";r=0;t=30`."""
    wait = headers.get("retry-after", "")
    if wait.isascii() and wait.isdecimal():
        return float(wait)
    resets = [int(seconds) for seconds in _RESET.findall(headers.get("ratelimit", ""))]
    return float(max(resets)) if resets else None


def _parsed(what: str, response: httpx.Response, answer: type[A]) -> A:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise InvalidResponse(what, status=response.status_code, detail=f"{where}: {first['msg']}") from None
