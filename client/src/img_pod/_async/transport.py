"""The protocol between the client and a deployment; `http.py` and `runpod.py` implement it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from img_pod.events import Event, OnProgress, Status
from img_pod.retries import Attempts

Fields = Mapping[str, Any]


class AsyncTransport(Protocol):
    async def call(self, task: str, fields: Fields, attempts: Attempts, on_progress: OnProgress) -> Any:
        """Run a request to its end and return the result's JSON. Ending early cancels the remote job."""
        ...

    async def submit(self, task: str, fields: Fields, attempts: Attempts) -> str:
        """Start a request that continues without the connection; return its job id."""
        ...

    async def status(self, job_id: str) -> Status: ...

    def events(self, job_id: str) -> AsyncIterator[Event]:
        """The events of a job from its first one to its last, which is `result` or `error`."""
        ...

    async def cancel(self, job_id: str) -> None: ...

    async def aclose(self) -> None: ...
