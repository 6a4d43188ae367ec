"""Webhooks: signed, without the request's input, to public https addresses only, with retries."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
import trustme
from aiohttp import web
from pydantic import SecretStr

from core.contracts import ImageGen, ModelInfo, PolicyReport, Result, Route
from core.errors import BadUrl, InvalidRequest, Misconfigured, PolicyBlocked
from core.safe_http import CheckedBackend, is_any
from orchestrator.webhooks import Webhooks, verify_webhook

SECRET = f"whsec_{base64.b64encode(b'0123456789abcdef0123456789abcdef').decode()}"
RESULT = Result(
    image_base64="YQ==", image_format="png", width=64, height=64, seed=7, request_id="mine", task=Route.GENERAL,
    prompt_used="A lighthouse.", model=ModelInfo(name="m", revision="1", profile="embedded"),
    policy=PolicyReport(version="1", verdict="allowed", treated_as="moderated"), trace_id="abc",
)  # fmt: skip


@dataclass
class Receiver:
    """An https server that answers with `statuses` in turn, then with 200."""

    url: str = ""
    context: ssl.SSLContext | None = None
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": "https://localhost/other"} if status == 302 else {})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    made = Receiver(context=ssl.create_default_context())
    assert made.context is not None
    authority.configure_trust(made.context)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_side).start()
    made.url = f"https://localhost:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


def webhooks(receiver: Receiver, pauses: list[float] | None = None, **changed: Any) -> Webhooks:
    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)
        await asyncio.sleep(0)

    network = changed.pop("network", CheckedBackend(allowed=is_any, ports=None))
    return Webhooks(SecretStr(SECRET), network=network, ssl_context=receiver.context, sleep=sleep)


def request(receiver: Receiver) -> ImageGen:
    return ImageGen(task=Route.GENERAL, prompt="canary-words", request_id="mine", webhook_url=receiver.url)


async def test_result_is_posted_signed_and_without_pictures_or_input(receiver: Receiver) -> None:
    hooks = webhooks(receiver)
    hooks.completed(request(receiver), "job_1", RESULT)
    await hooks.close()

    [(headers, body)] = receiver.got
    message = verify_webhook(body, headers, SECRET)
    assert message["type"] == "picture.completed"
    assert message["data"]["job_id"] == "job_1"
    assert message["data"]["request_id"] == "mine"
    assert b"canary" not in body
    assert b"image_base64" not in body


async def test_failure_is_posted_with_its_error(receiver: Receiver) -> None:
    hooks = webhooks(receiver)
    hooks.failed(request(receiver), "job_1", PolicyBlocked("Refused.", categories=("minor",)))
    await hooks.close()

    [(headers, body)] = receiver.got
    message = verify_webhook(body, headers, SECRET)
    assert message["type"] == "picture.failed"
    assert message["data"]["error"]["code"] == "policy_blocked"


async def test_failed_delivery_is_retried_with_backoff_under_the_same_id(receiver: Receiver) -> None:
    pauses: list[float] = []
    receiver.statuses = [500, 302, 429]
    hooks = webhooks(receiver, pauses)
    hooks.completed(request(receiver), "job_1", RESULT)
    await hooks.close()

    assert pauses == [2.0, 10.0, 60.0]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len(receiver.got) == 4


async def test_abandoned_delivery_is_logged_without_its_address(receiver: Receiver) -> None:
    receiver.statuses = [500] * 9
    hooks = webhooks(receiver)
    with structlog.testing.capture_logs() as logs:
        hooks.completed(request(receiver), "job_1", RESULT)
        await hooks.close()

    assert [(line["event"], line["reason"]) for line in logs] == [("webhook given up", "500")]
    assert "localhost" not in str(logs)
    assert len(receiver.got) == 5


async def test_webhook_to_a_removed_receiver_is_not_retried(receiver: Receiver) -> None:
    receiver.statuses = [410]
    hooks = webhooks(receiver)
    hooks.completed(request(receiver), "job_1", RESULT)
    await hooks.close()

    assert len(receiver.got) == 1


async def test_private_webhook_address_is_never_connected_to(receiver: Receiver) -> None:
    hooks = webhooks(receiver, network=CheckedBackend(ports=None))
    with structlog.testing.capture_logs() as logs:
        hooks.completed(request(receiver), "job_1", RESULT)
        await hooks.close()

    assert not receiver.got
    assert logs[-1]["reason"] == "address not public"


def test_webhook_without_a_secret_is_refused_before_the_request_runs() -> None:
    asked = ImageGen(task=Route.GENERAL, prompt="x", webhook_url="https://example.com/hook")
    with pytest.raises(InvalidRequest, match="ORCHESTRATOR_WEBHOOK_SECRET"):
        Webhooks(None).check(asked)


@pytest.mark.parametrize("url", ["https://user:password@example.com", "https://:443/x", "https://[::1/x"])
def test_malformed_webhook_address_is_refused(url: str) -> None:
    asked = ImageGen(task=Route.GENERAL, prompt="x", webhook_url=url)
    with pytest.raises(BadUrl):
        Webhooks(SecretStr(SECRET)).check(asked)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "not base64!"])
def test_unusable_webhook_secret_is_misconfigured(secret: str) -> None:
    with pytest.raises(Misconfigured, match="webhook-secret"):
        Webhooks(SecretStr(secret))


async def test_changed_body_does_not_verify(receiver: Receiver) -> None:
    hooks = webhooks(receiver)
    hooks.completed(request(receiver), "job_1", RESULT)
    await hooks.close()
    [(headers, body)] = receiver.got
    changed = json.dumps({**json.loads(body), "type": "picture.failed"}).encode()

    for wrong_headers, wrong_body in ((headers, changed), ({}, body)):
        with pytest.raises(InvalidRequest, match="signature"):
            verify_webhook(wrong_body, wrong_headers, SECRET)
