"""The client: one method per task, and handles of submitted jobs."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from typing_extensions import Self, Unpack

from img_pod._async.http import AsyncHttpTransport
from img_pod._async.runpod import AsyncRunpodTransport
from img_pod._async.transport import AsyncTransport
from img_pod.errors import Cancelled, ClientTimeout, ImgPodError
from img_pod.events import Event, OnProgress, Status
from img_pod.fields import (
    Chat1to1Fields,
    ChatPrivateFields,
    ChatScenesFields,
    ChatShortsFields,
    ImageGenFields,
    ProfileCreateFields,
)
from img_pod.results import Result, read_error, read_result
from img_pod.retries import Attempts
from img_pod.selfies import selfie_text

LOCAL_URL = "http://127.0.0.1:8000"
RUNPOD_URL = "https://api.runpod.ai/v2"


class AsyncImgPod:
    """A connection to a deployment, over its HTTP API.

    `base_url` defaults to `IMG_POD_URL`, else to localpod on this machine. `api_key` (or `IMG_POD_API_KEY`) is a key of
    the deployment; `runpod_api_key` (or `RUNPOD_API_KEY`) is the account's, which RunPod requires for an endpoint.
    `timeout` bounds every call in seconds; `retries` is the number of repeated attempts after failures.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        runpod_api_key: str | None = None,
        timeout: float | None = 300.0,
        retries: int = 2,
        http_client: httpx.AsyncClient | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        url = base_url or os.environ.get("IMG_POD_URL") or LOCAL_URL
        headers = _keys(
            api_key or os.environ.get("IMG_POD_API_KEY"), runpod_api_key or os.environ.get("RUNPOD_API_KEY")
        )
        self.transport = transport or AsyncHttpTransport(url, headers, http_client)
        self.timeout, self.retries = timeout, retries
        self.profile = AsyncProfile(self)
        self.chat = AsyncChat(self)
        self.imagegen = AsyncImageGen(self, "imagegen")

    @classmethod
    def runpod(
        cls,
        endpoint_id: str,
        api_key: str | None = None,
        *,
        base_url: str = RUNPOD_URL,
        timeout: float | None = 300.0,
        retries: int = 2,
        http_client: httpx.AsyncClient | None = None,
    ) -> Self:
        """A connection over RunPod's job API to the orchestrator's endpoint. `api_key` defaults to `RUNPOD_API_KEY`."""
        key = api_key or os.environ.get("RUNPOD_API_KEY") or ""
        transport = AsyncRunpodTransport(f"{base_url.rstrip('/')}/{endpoint_id}", key, http_client)
        return cls(transport=transport, timeout=timeout, retries=retries)

    def job(self, job_id: str) -> AsyncJob:
        """The handle of a job that was submitted before."""
        return AsyncJob(self, job_id)

    async def aclose(self) -> None:
        await self.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


class AsyncJob:
    """A submitted job."""

    def __init__(self, client: AsyncImgPod, job_id: str) -> None:
        self._client = client
        self.id = job_id

    async def status(self) -> Status:
        return await self._client.transport.status(self.id)

    def events(self) -> AsyncIterator[Event]:
        """The job's events from its first one to its end."""
        return self._client.transport.events(self.id)

    async def result(self, timeout: float | None = None, on_progress: OnProgress = None) -> Result:
        """Wait for the end. Raises the job's error; after `timeout` seconds, cancels the job and raises."""
        attempts = Attempts(0, timeout)
        try:
            async for event in self.events():
                if event.name == "result":
                    return read_result(event.data)
                if event.name == "error":
                    raise read_error(event.data)
                if on_progress is not None and event.progress is not None:
                    on_progress(event.progress)
                attempts.check_time()
        except ImgPodError as error:
            if isinstance(error, ClientTimeout):
                await self.cancel()
            raise
        except BaseException:
            await self.cancel()
            raise
        raise Cancelled("The job ended without a result; send the request again.")

    async def cancel(self) -> None:
        """Stop the job and its work on the GPU. An ended job is not changed."""
        await self._client.transport.cancel(self.id)


class AsyncOperation:
    """A task: call it and wait for the result, or `submit` it and get a handle."""

    def __init__(self, client: AsyncImgPod, task: str) -> None:
        self._client = client
        self._task = task

    async def _call(self, fields: Mapping[str, Any], on_progress: OnProgress, timeout: float | None) -> Result:
        timeout_s = self._client.timeout if timeout is None else timeout
        attempts = Attempts(self._client.retries, timeout_s)
        body = _with_key(fields, timeout_s)
        return read_result(await self._client.transport.call(self._task, body, attempts, on_progress))

    async def _submit(self, fields: Mapping[str, Any]) -> AsyncJob:
        attempts = Attempts(self._client.retries, self._client.timeout)
        job_id = await self._client.transport.submit(self._task, _with_key(fields, None), attempts)
        return AsyncJob(self._client, job_id)


class AsyncProfileCreate(AsyncOperation):
    """Make an avatar from a selfie: a path, bytes, an open file, an https URL or base64."""

    async def __call__(
        self, *, on_progress: OnProgress = None, timeout: float | None = None, **fields: Unpack[ProfileCreateFields]
    ) -> Result:
        return await self._call(_with_selfie(fields), on_progress, timeout)

    async def submit(self, **fields: Unpack[ProfileCreateFields]) -> AsyncJob:
        return await self._submit(_with_selfie(fields))


class AsyncOneToOne(AsyncOperation):
    """Make a captioned picture from a private chat between adults."""

    async def __call__(
        self, *, on_progress: OnProgress = None, timeout: float | None = None, **fields: Unpack[Chat1to1Fields]
    ) -> Result:
        return await self._call(fields, on_progress, timeout)

    async def submit(self, **fields: Unpack[Chat1to1Fields]) -> AsyncJob:
        return await self._submit(fields)


class AsyncShorts(AsyncOperation):
    """Make a captioned picture for a short from a chat. Moderated."""

    async def __call__(
        self, *, on_progress: OnProgress = None, timeout: float | None = None, **fields: Unpack[ChatShortsFields]
    ) -> Result:
        return await self._call(fields, on_progress, timeout)

    async def submit(self, **fields: Unpack[ChatShortsFields]) -> AsyncJob:
        return await self._submit(fields)


class AsyncScenes(AsyncOperation):
    """Make a captioned picture of a chat's scene. Moderated."""

    async def __call__(
        self, *, on_progress: OnProgress = None, timeout: float | None = None, **fields: Unpack[ChatScenesFields]
    ) -> Result:
        return await self._call(fields, on_progress, timeout)

    async def submit(self, **fields: Unpack[ChatScenesFields]) -> AsyncJob:
        return await self._submit(fields)


class AsyncPrivate(AsyncOperation):
    """Make a captioned picture from a prompt."""

    async def __call__(
        self, *, on_progress: OnProgress = None, timeout: float | None = None, **fields: Unpack[ChatPrivateFields]
    ) -> Result:
        return await self._call(fields, on_progress, timeout)

    async def submit(self, **fields: Unpack[ChatPrivateFields]) -> AsyncJob:
        return await self._submit(fields)


class AsyncImageGen(AsyncOperation):
    """Make a picture from a prompt, with a caption on request."""

    async def __call__(
        self, *, on_progress: OnProgress = None, timeout: float | None = None, **fields: Unpack[ImageGenFields]
    ) -> Result:
        return await self._call(fields, on_progress, timeout)

    async def submit(self, **fields: Unpack[ImageGenFields]) -> AsyncJob:
        return await self._submit(fields)


class AsyncProfile:
    """The tasks of a profile."""

    def __init__(self, client: AsyncImgPod) -> None:
        self.create = AsyncProfileCreate(client, "profile/create")


class AsyncChat:
    """The tasks of a chat."""

    def __init__(self, client: AsyncImgPod) -> None:
        self.one_to_one = AsyncOneToOne(client, "chat/1to1/imagegen")
        self.shorts = AsyncShorts(client, "chat/shorts/generate")
        self.scenes = AsyncScenes(client, "chat/scenes/generate")
        self.private = AsyncPrivate(client, "chat/private/imagegen")


def _keys(api_key: str | None, runpod_api_key: str | None) -> dict[str, str]:
    keys = {"X-API-Key": api_key, "Authorization": f"Bearer {runpod_api_key}" if runpod_api_key else None}
    return {name: value for name, value in keys.items() if value}


def _with_selfie(fields: ProfileCreateFields) -> dict[str, Any]:
    return {**fields, "selfie": selfie_text(fields["selfie"])}


def _with_key(fields: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
    """The request's JSON with an idempotency key per call, so that a repeated attempt gets the first one's result."""
    body = {name: _plain(value) for name, value in fields.items() if value is not None}
    body.setdefault("idempotency_key", f"client-{uuid.uuid4().hex}")
    if timeout_s is not None:
        body.setdefault("timeout_s", min(900.0, max(1.0, float(timeout_s))))
    return body


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
