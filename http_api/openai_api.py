"""OpenAI-compatible routes for `imagegen`: `POST /v1/images/generations`, `GET /v1/models`.

    client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="…")
    client.images.generate(model="any", prompt="a lighthouse at dusk", n=2, size="1024x1024")

Any model name is accepted. An unsupported `size` is refused. Pictures are base64, or URLs if storage is configured.
Fields without an effect here (quality, style, user, …) are ignored; unsupported features are refused.

May import: core, starlette, http_api.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core.contracts import MAX_PICTURES, REQUESTS, ImageFormat, ImageItem, PictureRequest, Result, Route, read_request
from core.errors import DeadlineExceeded, ImgPodError, InvalidRequest, Refused, UnsupportedMediaType
from http_api.answers import ends_before_disconnect, json_response
from http_api.bodies import MAX_BODY_BYTES, read_body_in_time, read_json
from http_api.problems import wait_headers
from http_api.routes import CLIENT_GONE, Routes

MODEL = "z-image-turbo"
_CREATED = 1764028800


class ImagesRequest(BaseModel):
    """The fields of OpenAI's request that are read; others are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    prompt: Annotated[str, Field(description="What the picture shows.")]
    model: Annotated[str | None, Field(description="Any name.")] = None
    n: Annotated[int | None, Field(ge=1, le=MAX_PICTURES, description="How many pictures.")] = None
    size: Annotated[str | None, Field(description="`auto` or WIDTHxHEIGHT in px.")] = None
    output_format: Annotated[ImageFormat | None, Field(description="The file format.")] = None
    response_format: Annotated[
        Literal["b64_json", "url"] | None, Field(description="`url` needs storage; unset: a URL if there is storage.")
    ] = None
    stream: Annotated[Literal[False] | None, Field(description="Streams are at `/v1/imagegen`.")] = None
    background: Annotated[Literal["auto", "opaque"] | None, Field(description="Never transparent.")] = None


@dataclass(frozen=True, slots=True)
class OpenAiRoutes:
    """The handlers of OpenAI's routes."""

    routes: Routes

    async def generate(self, request: Request) -> Response:
        try:
            return await self._generate(request)
        except ImgPodError as error:
            return openai_error(error)

    async def models(self, request: Request) -> Response:
        try:
            self.routes.callers.identify(request.headers)
        except ImgPodError as error:
            return openai_error(error)
        model = {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "img-pod"}
        return json_response({"object": "list", "data": [model]})

    async def _generate(self, request: Request) -> Response:
        caller = self.routes.callers.identify(request.headers)
        release = caller.admission()
        try:
            parsed = await self._read(request)
            self.routes.jobs.check_open()
        except ClientDisconnect:
            release()
            return Response(status_code=CLIENT_GONE)
        except BaseException:
            release()
            raise
        job = self.routes.jobs.start(parsed, caller.name, release)
        wait_s = self.routes.settings.wait_s
        try:
            ended = await ends_before_disconnect(request, job, wait_s)
        finally:
            self.routes.abandon(job)
        if job.result is None or not ended:
            raise job.error or DeadlineExceeded(f"The picture was not finished within {wait_s:g} s, the limit.")
        return json_response(_as_images(job.result), headers={"X-Request-Id": parsed.request_id or job.id})

    async def _read(self, request: Request) -> PictureRequest:
        images_request = await _read_images_request(request, self.routes.settings.body_timeout_s)
        if images_request.response_format == "url" and self.routes.stored is None:
            raise InvalidRequest("`response_format`: this deployment stores no pictures; use `b64_json`.")
        return read_request(_as_input(images_request, request), REQUESTS)


async def _read_images_request(request: Request, timeout_s: float) -> ImagesRequest:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("Send `Content-Type: application/json`.")
    body = read_json(await read_body_in_time(request, MAX_BODY_BYTES, timeout_s))
    try:
        return ImagesRequest.model_validate(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise InvalidRequest(f"`{first['loc'][0]}`: {first['msg']}.") from None


def _as_input(images_request: ImagesRequest, request: Request) -> dict[str, Any]:
    given = {
        "task": str(Route.GENERAL),
        "prompt": images_request.prompt,
        "n": images_request.n or 1,
        "output_format": images_request.output_format or "png",
        "idempotency_key": request.headers.get("idempotency-key"),
        "request_id": request.headers.get("x-request-id"),
        "size": images_request.size,
    }
    return {name: value for name, value in given.items() if value is not None}


def _as_images(result: Result) -> dict[str, Any]:
    listed: Sequence[ImageItem | Result] = [item for item in result.images if item.error is None]
    data = [
        {"revised_prompt": picture.prompt_used, "url": picture.image_url}
        if picture.image_base64 is None
        else {"revised_prompt": picture.prompt_used, "b64_json": picture.image_base64}
        for picture in listed or [result]
    ]
    return {
        "created": int(time.time()),
        "data": data,
        "background": "opaque",
        "output_format": result.image_format,
        "size": f"{result.width}x{result.height}",
    }


def openai_error(error: ImgPodError) -> Response:
    """The error in OpenAI's format, which its clients raise as their own classes."""
    refused = isinstance(error, Refused)
    kind = "invalid_request_error" if error.http_status < 500 else "server_error"
    code = "content_policy_violation" if refused else error.code
    body = {"error": {"message": error.message, "type": kind, "param": None, "code": code}}
    # OpenAI refuses a prompt with 400; its clients check the code.
    status = 400 if refused else error.http_status
    return json_response(body, status, wait_headers(error.retry_after_ms, status))
