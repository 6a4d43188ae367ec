"""The playground for a remote deployment: `python -m http_api --upstream https://ID.api.runpod.ai`.

A browser can't call a load-balancing endpoint directly, because every path needs a key. This process serves the page on
loopback, forwards its requests, and adds the key, which the page never receives.

May import: httpx, starlette, http_api.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from core.errors import EndpointUnavailable, ImgPodError, Misconfigured, Unauthorized
from http_api import playground
from http_api.problems import error_response

_METHODS = ["GET", "POST", "DELETE"]
_FORWARDED = {"accept", "content-type", "prefer", "idempotency-key", "last-event-id", "x-request-id", "x-api-key"}
_RETURNED = {
    "content-type", "retry-after", "retry-after-ms", "location", "preference-applied", "x-job-id", "x-request-id",
    "x-seed", "x-caption",
}  # fmt: skip
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
_TIMEOUT = httpx.Timeout(10, read=340, write=60)
"""RunPod ends a request after 330 s."""


def create_app(upstream: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """The page, and a proxy to `upstream`. Raises `Misconfigured` for an address that is not https."""
    address = urlsplit(upstream)
    if address.scheme != "https" and address.hostname not in {"127.0.0.1", "localhost"}:
        raise Misconfigured("--upstream must be an https address, because the key is sent to it.")
    client = httpx.AsyncClient(
        base_url=upstream.rstrip("/"),
        headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        timeout=_TIMEOUT,
        transport=transport,
    )

    async def forward(request: Request) -> Response:
        return await _forward(request, client)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    forwarded = [
        Route(path, forward, methods=_METHODS)
        for path in ("/v1/{rest:path}", "/openapi.json", "/healthz", "/ping", "/errors/{code}")
    ]
    return Starlette(
        routes=[*playground.routes(None), *forwarded], exception_handlers={ImgPodError: _on_error}, lifespan=lifespan
    )


async def _forward(request: Request, client: httpx.AsyncClient) -> Response:
    """Forward a request and stream the answer; if the page disconnects, the upstream connection is closed."""
    _check_origin(request)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    headers = {name: value for name, value in request.headers.items() if name in _FORWARDED}
    outgoing = client.build_request(request.method, path, headers=headers, content=await request.body())
    try:
        answer = await client.send(outgoing, stream=True)
    except httpx.TransportError as error:
        raise EndpointUnavailable(
            f"The deployment could not be reached ({type(error).__name__}); try again later."
        ) from error
    returned = {name: value for name, value in answer.headers.items() if name in _RETURNED}

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        finally:
            await answer.aclose()

    return StreamingResponse(body(), status_code=answer.status_code, headers=returned)


def _check_origin(request: Request) -> None:
    """Refuse requests of other pages, which would cause costs, by host name (against DNS rebinding) and by origin."""
    host = request.headers.get("host", "").rsplit(":", 1)[0]
    origin = request.headers.get("origin")
    if host not in _LOOPBACK or (origin is not None and urlsplit(origin).netloc != request.headers.get("host")):
        raise Unauthorized("This address serves its own page only: open it at 127.0.0.1.")


async def _on_error(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, ImgPodError):
        raise error
    return error_response(error)


def serve(upstream: str, api_key: str, port: int) -> None:
    """Serve on loopback until Ctrl-C. Raises `Misconfigured`."""
    import uvicorn

    app = create_app(upstream, api_key)
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, server_header=False)
