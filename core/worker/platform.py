"""What the job loop needs of the platform, and the three ways in which it fails. `sdk.py` has the real one.

May import: core.contracts.
"""

from __future__ import annotations

from typing import Any, Protocol

from core.contracts import StageProgress


class Throttling(Exception):
    """The platform asks for fewer requests."""


class Unreachable(Exception):
    """The platform gave no usable answer; the message is the kind of failure."""


class NotDelivered(Exception):
    """The platform did not take a reply. `status` is its answer's; None where there was none."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status

    @property
    def worth_retrying(self) -> bool:
        return self.status is None or self.status >= 500 or self.status in {408, 425, 429}


class Platform(Protocol):
    async def take(self, count: int) -> list[dict[str, Any]]:
        """Waits for up to `count` jobs while the platform holds the request open. Raises the first two errors."""
        ...

    async def stops(self) -> list[str]:
        """Waits for ids of jobs that the platform wants stopped. Raises the first two errors."""
        ...

    async def post(self, job_id: str, body: bytes) -> None:
        """One try. Raises `NotDelivered`."""
        ...

    async def post_progress(self, job_id: str, progress: StageProgress) -> None:
        """One try: a lost report is made good by the next. Raises `NotDelivered`."""
        ...


class Heartbeat(Protocol):
    """Tells the platform which jobs are in hand."""

    def holds(self, job_id: str) -> None: ...

    def released(self, job_id: str) -> None: ...
