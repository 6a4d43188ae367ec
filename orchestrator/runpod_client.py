"""Client of the platform's job API: sends a request, and converts each refusal to a typed error.

Uses aiohttp, a dependency of the SDK, instead of httpx: with hundreds of concurrent requests httpx takes so long to
choose a connection that answers are seconds late.

May import: aiohttp, core.errors, core.safe_http, core.settings.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from core.errors import (
    BadAnswer,
    Cancelled,
    DeadlineExceeded,
    EndpointUnavailable,
    ImgPodError,
    Misconfigured,
    StageFailed,
    Throttled,
    TooLarge,
    from_wire,
)
from core.safe_http import public_authorities
from core.settings import PlatformSettings

State = Mapping[str, Any]
"""A job as the platform reports it: `id`, `status`; later `output`, `error`, `delayTime`, `executionTime`."""

_CONNECT_S = 5.0
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})


class EndpointUnreachable(EndpointUnavailable):
    """The request certainly had no effect."""


class ResponseLost(EndpointUnavailable):
    """The request may have had an effect: a submitted job may run."""


class JobNotFound(StageFailed):
    """The job or the endpoint doesn't exist on the platform."""


class PlatformThrottled(Throttled):
    """The platform's own rate limit; not a job that fails as `throttled`."""


class RunpodClient:
    """A client of the job API. `close` when done."""

    def __init__(self, platform: PlatformSettings) -> None:
        self._base = platform.endpoint_base_url.rstrip("/") + "/"
        self._headers = {"Authorization": f"Bearer {platform.key}"}
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        # Created at the first request, because a worker is loaded before its event loop runs.
        if self._session is None:
            tls = public_authorities() if self._base.startswith("https:") else False
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=0, ssl=tls),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                trust_env=True,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(self, method: str, path: str, stage: str, *, within_s: float, **options: Any) -> dict[str, Any]:
        """Send a request and return the answer's JSON object.

        Raises `EndpointUnreachable`, `ResponseLost`, `PlatformThrottled`, `JobNotFound`, `Misconfigured`, `TooLarge` or
        `StageFailed`.
        """
        try:
            # Bounds the whole request; a timeout between two reads would not end a slow answer.
            async with asyncio.timeout(max(0.001, within_s)):
                sending = self._open().request(method, self._base + path, allow_redirects=False, **options)
                async with sending as response:
                    body = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise EndpointUnreachable("The platform can't be reached.", stage=stage) from None
        except (aiohttp.ClientError, TimeoutError):
            raise ResponseLost("The platform's answer was lost.", stage=stage) from None
        if response.status >= 400:
            raise _refusal(response, stage)
        try:
            state = json.loads(body)
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise ResponseLost("The platform's answer was not a JSON object.", stage=stage)
        return state


_REFUSALS: dict[int, tuple[type[ImgPodError], str]] = {
    401: (Misconfigured, "The RunPod key may not call this endpoint; check RUNPOD_API_KEY."),
    403: (Misconfigured, "The RunPod key may not call this endpoint; check RUNPOD_API_KEY."),
    404: (JobNotFound, "The endpoint or the job doesn't exist; check the endpoint's id."),
    413: (TooLarge, "The platform refuses a request this large; send the selfie as a URL."),
    429: (PlatformThrottled, "The platform's rate limit was reached."),
    503: (EndpointUnreachable, "The platform is not available."),  # a 503 means that the request was not handled
}


def _refusal(response: aiohttp.ClientResponse, stage: str) -> ImgPodError:
    status = response.status
    unnamed = ResponseLost if status >= 500 else StageFailed
    cls, message = _REFUSALS.get(status, (unnamed, f"The platform answered {status}."))
    return cls(message, stage=stage, retry_after_ms=_retry_after_ms(response))


def _retry_after_ms(response: aiohttp.ClientResponse) -> int | None:
    with suppress(KeyError, ValueError, OverflowError):
        return max(0, round(1000 * float(response.headers["Retry-After"])))
    return None


def failure(state: State, stage: str) -> ImgPodError | None:
    """The error of a final state; None if it has an output."""
    status = state["status"]
    if status == "TIMED_OUT":
        return DeadlineExceeded(f"The platform stopped {stage} at its time-out.", stage=stage)
    if status == "CANCELLED":
        return Cancelled(f"{stage} was cancelled on the platform.", stage=stage)
    if status == "FAILED":
        return from_wire(state.get("error"), stage=stage)
    if not isinstance(state.get("output"), dict):
        # The platform completes a job whose result it dropped as too large (runpod-python #309).
        return BadAnswer(f"{stage} completed without a result.", stage=stage)
    return None


def read_ms(value: object) -> int | None:
    """A duration that the platform reports; None if it is not a number. Never negative."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return max(0, round(value))
