"""The protocol between the job loop and the platform, and its errors. `sdk.py` implements it.

May import: core.contracts.
"""

from __future__ import annotations

from typing import Any, Protocol

from core.contracts import StageProgress


class Throttling(Exception):
    """The platform asks for fewer requests."""


class Unreachable(Exception):
    """The platform gave no usable answer; the message names the kind of failure."""


class NotDelivered(Exception):
    """The platform did not accept a reply. `status` is the HTTP status; None without an answer."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status

    @property
    def retryable(self) -> bool:
        return self.status is None or self.status >= 500 or self.status in {408, 425, 429}


class Platform(Protocol):
    async def take(self, count: int) -> list[dict[str, Any]]:
        """Wait for up to `count` jobs (long poll). Raises `Throttling`, `Unreachable`."""
        ...

    async def stops(self) -> list[str]:
        """Wait for the ids of jobs to stop (long poll). Raises `Throttling`, `Unreachable`."""
        ...

    async def post(self, job_id: str, body: bytes) -> None:
        """Post a reply once. Raises `NotDelivered`."""
        ...

    async def post_progress(self, job_id: str, progress: StageProgress) -> None:
        """Post a progress report once; a later report replaces a lost one. Raises `NotDelivered`."""
        ...


class Heartbeat(Protocol):
    """Reports the ids of active jobs to the platform."""

    def add(self, job_id: str) -> None: ...

    def remove(self, job_id: str) -> None: ...
