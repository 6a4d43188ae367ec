"""The playground for a remote deployment: this process adds the key, and no page receives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from core.errors import Misconfigured
from http_api.upstream import create_app

HOST = "127.0.0.1:8000"
Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, host: str = HOST) -> httpx.AsyncClient:
    app = create_app("https://abc.api.runpod.ai", "account-key", httpx.MockTransport(handler))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")


def answering(seen: list[httpx.Request], **answer: Any) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(**{"status_code": 200, "json": {"ok": True}, **answer})

    return handle


async def test_request_is_forwarded_with_the_server_key_instead_of_the_pages() -> None:
    seen: list[httpx.Request] = []
    async with client(answering(seen)) as page:
        answer = await page.post(
            "/v1/imagegen?x=1", json={"prompt": "a"}, headers={"Cookie": "c=1", "Accept": "text/event-stream"}
        )

    assert answer.json() == {"ok": True}
    [request] = seen
    assert str(request.url) == "https://abc.api.runpod.ai/v1/imagegen?x=1"
    assert request.headers["authorization"] == "Bearer account-key"
    assert request.headers["accept"] == "text/event-stream"
    assert "cookie" not in request.headers


async def test_answer_does_not_contain_the_key_and_keeps_its_headers() -> None:
    headers = {"Retry-After": "3", "Set-Cookie": "edge=1", "Content-Type": "application/problem+json"}
    async with client(answering([], status_code=429, json={"code": "queue_full"}, headers=headers)) as page:
        answer = await page.get("/v1/jobs/j")

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"
    assert "set-cookie" not in answer.headers
    assert "account-key" not in answer.text + str(answer.headers)


async def test_stream_is_passed_on_as_it_arrives() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"event: accepted\n\n"
        yield b"event: result\n\n"

    async with (
        client(answering([], json=None, content=chunks())) as page,
        page.stream("POST", "/v1/imagegen") as answer,
    ):
        text = "".join([part async for part in answer.aiter_text()])

    assert text == "event: accepted\n\nevent: result\n\n"


@pytest.mark.parametrize(
    ("host", "headers"),
    [("evil.example:8000", {}), (HOST, {"Origin": "https://evil.example"}), (HOST, {"Origin": "null"})],
)
async def test_cross_origin_request_is_refused(host: str, headers: dict[str, str]) -> None:
    seen: list[httpx.Request] = []
    async with client(answering(seen), host) as page:
        answer = await page.post("/v1/imagegen", json={"prompt": "a"}, headers=headers)

    assert answer.status_code == 401
    assert seen == []


async def test_deployment_that_is_unreachable_is_a_problem() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with client(fail) as page:
        answer = await page.get("/openapi.json")

    assert (answer.status_code, answer.json()["code"]) == (503, "endpoint_unavailable")


def test_key_is_sent_over_https_only() -> None:
    with pytest.raises(Misconfigured, match="https"):
        create_app("http://abc.api.runpod.ai", "account-key")


async def test_page_itself_is_served() -> None:
    async with client(answering([])) as page:
        answer = await page.get("/")

    assert "img-pod playground" in answer.text
    assert "account-key" not in answer.text
