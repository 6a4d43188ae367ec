"""Post results to the request's webhook address, signed according to Standard Webhooks.

    {"type": "picture.completed", "timestamp": "…", "data": {"job_id": "…", …the result without picture bytes}}
    {"type": "picture.failed",    "timestamp": "…", "data": {"job_id": "…", "request_id": …, "task": …, "error": {…}}}

The platform's own webhook is unsigned and repeats the request's input, a selfie included; this one contains no input.
Addresses are restricted like a selfie's URL: public https only, no redirects (`core.safe_http`).
Specification: github.com/standard-webhooks/standard-webhooks.

May import: core, httpcore, standardwebhooks.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpcore
from pydantic import SecretStr

from core.contracts import PictureRequest, Result
from core.errors import BadUrl, ImgPodError, InvalidRequest, Misconfigured
from core.logs import logger
from core.safe_http import CheckedBackend, public_authorities

log = logger()

_TIMEOUT_S = 15.0
_PAUSES_S = (2.0, 10.0, 60.0, 300.0)
"""Pauses between attempts, in seconds. There are no further attempts after the process has ended."""
_CLOSE_S = 3.0
_MAX_PENDING = 1_000
_GONE = 410
_PICTURE_BYTES: Any = {"image_base64": True, "images": {"__all__": {"image_base64"}}}


class Webhooks:
    """Posts webhooks in the background. `close` when done. Without a secret, a request with a webhook is refused."""

    def __init__(
        self,
        secret: SecretStr | None,
        *,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._secret = None if secret is None else secret.get_secret_value()
        self._network = network or CheckedBackend(ports=None)
        self._ssl = ssl_context
        self._sleep = sleep
        self._pending: set[asyncio.Task[None]] = set()
        if self._secret is not None:
            _signer(self._secret)

    def check(self, request: PictureRequest) -> None:
        """Check a request's webhook before any stage runs. Raises `InvalidRequest` or `BadUrl`."""
        if request.webhook_url is None:
            return
        if self._secret is None:
            raise InvalidRequest("`webhook_url`: this deployment has no ORCHESTRATOR_WEBHOOK_SECRET to sign with.")
        try:
            url = urlsplit(request.webhook_url)
            valid = url.scheme == "https" and bool(url.hostname) and "@" not in url.netloc and url.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise BadUrl("`webhook_url` must be an https URL without a user name.")

    def completed(self, request: PictureRequest, job_id: str, result: Result) -> None:
        data = result.model_dump(mode="json", exclude=_PICTURE_BYTES)
        self._post(request, "picture.completed", {"job_id": job_id, **data})

    def failed(self, request: PictureRequest, job_id: str, error: ImgPodError) -> None:
        named = {"job_id": job_id, "request_id": request.request_id, "task": str(request.task)}
        self._post(request, "picture.failed", {**named, "error": error.body()})

    async def close(self) -> None:
        """Wait a few seconds for pending deliveries."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=_CLOSE_S)
        for task in list(self._pending):
            task.cancel()
            log.warning("webhook given up", reason="process ends")

    def _post(self, request: PictureRequest, kind: str, data: Mapping[str, Any]) -> None:
        if request.webhook_url is None or self._secret is None:
            return
        if len(self._pending) >= _MAX_PENDING:
            log.warning("webhook given up", reason="too many pending")
            return
        body = json.dumps({"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": data}).encode()
        task = asyncio.create_task(self._deliver(request.webhook_url, f"msg_{uuid.uuid4().hex}", body))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _deliver(self, url: str, message_id: str, body: bytes) -> None:
        outcome = ""
        for pause_s in (*_PAUSES_S, None):
            outcome = await self._attempt(url, message_id, body)
            if outcome == "delivered":
                return
            if outcome == str(_GONE) or pause_s is None:
                break
            await self._sleep(pause_s)
        log.warning("webhook given up", reason=outcome)

    async def _attempt(self, url: str, message_id: str, body: bytes) -> str:
        """Post once; return `delivered` or the reason of the failure in one word."""
        headers = list(self._signed(message_id, body).items())
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._ssl or public_authorities(), network_backend=self._network
        )
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                pool,
                pool.stream("POST", url, headers=headers, content=body) as response,
            ):
                return "delivered" if 200 <= response.status < 300 else str(response.status)
        except TimeoutError:
            return "timeout"
        except BadUrl:
            return "address not public"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.UnsupportedProtocol):
            return "not reached"

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        now = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "user-agent": "img-pod-webhook",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": _signer(self._secret or "").sign(message_id, now, body.decode()),
        }


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
    """Check a webhook's signature and age (at most five minutes) and return its message.

    Raises `InvalidRequest` if either is wrong.
    """
    from standardwebhooks.webhooks import WebhookVerificationError

    try:
        message: dict[str, Any] = _signer(secret).verify(body, {name.lower(): value for name, value in headers.items()})
    except (WebhookVerificationError, ValueError):
        raise InvalidRequest("The webhook's signature or age is not valid; do not use its content.") from None
    return message


def _signer(secret: str) -> Any:
    """The signer for `secret`. Raises `Misconfigured` if it is not the base64 of at least 24 bytes."""
    import base64
    import binascii

    from standardwebhooks import Webhook

    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise Misconfigured(
            "ORCHESTRATOR_WEBHOOK_SECRET must be `whsec_` and the base64 of 24 to 64 random bytes; "
            "create one with: python -m http_api webhook-secret"
        )
    return Webhook(key)
