"""OpenAI's images route, called by the official client."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import httpx2
import openai
import pytest

from core.errors import QueueFull
from tests.http_api.conftest import PNG, InstantEndpoints


def client_of(http_client: httpx.AsyncClient, key: str = "any") -> openai.AsyncOpenAI:
    transport = httpx2.ASGITransport(http_client.app)  # type: ignore[attr-defined]
    inner = openai.DefaultAsyncHttpxClient(transport=transport)
    return openai.AsyncOpenAI(base_url="http://test/v1", api_key=key, http_client=inner, max_retries=0)


async def test_official_client_gets_its_pictures(http: Any, endpoints: InstantEndpoints) -> None:
    async with http() as client, client_of(client) as ai:
        answer = await ai.images.generate(model="dall-e-9", prompt="a lighthouse", n=2, size="512x256", quality="high")

    assert [base64.b64decode(picture.b64_json or "") for picture in answer.data or []] == [PNG, PNG]
    assert {(call.payload["width"], call.payload["height"]) for call in endpoints.calls} == {(512, 256)}


async def test_official_client_lists_one_model(http: Any) -> None:
    async with http() as client, client_of(client) as ai:
        assert [model.id async for model in await ai.models.list()] == ["z-image-turbo"]


async def test_impossible_size_is_a_bad_request(http: Any) -> None:
    async with http() as client, client_of(client) as ai:
        for size in ("50x50", "large", "4096x4096"):
            with pytest.raises(openai.BadRequestError, match="`size` must"):
                await ai.images.generate(prompt="a lighthouse", size=size)  # type: ignore[call-overload]


async def test_refused_prompt_has_openais_code(http: Any) -> None:
    async with http() as client, client_of(client) as ai:
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.images.generate(prompt="a naked child")

    assert caught.value.code == "content_policy_violation"


async def test_full_queue_is_a_rate_limit_error(http: Any, endpoints: InstantEndpoints) -> None:
    endpoints.failures["generate"] = QueueFull("full", retry_after_ms=1_800)
    async with http() as client, client_of(client) as ai:
        with pytest.raises(openai.RateLimitError) as caught:
            await ai.images.generate(prompt="a lighthouse")

    assert caught.value.response.headers["retry-after-ms"] == "1800"


@pytest.mark.parametrize(
    "more", [{"stream": True}, {"response_format": "url"}, {"background": "transparent"}, {"n": 9}]
)
async def test_unsupported_openai_parameters_are_refused(http: Any, more: dict[str, Any]) -> None:
    async with http() as client:
        response = await client.post("/v1/images/generations", json={"prompt": "a lighthouse", **more})

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
