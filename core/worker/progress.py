"""Progress of one job: ordered, coalesced, and never after the result.

The SDK sends each update from a thread and a loop of its own, so that updates overtake one another and the result
(runpod-python #250). Here one task sends, only the newest report waits, and nothing is under way once `close` returns.

May import: core.contracts, core.logs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core.contracts import StageProgress
from core.logs import logger

log = logger()
Send = Callable[[StageProgress], Awaitable[None]]

_LAST_SEND_S = 1.0
"""How long the result waits for a report that is already on the wire."""


class Progress:
    """`report` may be called as often as one likes; `send` is awaited at most once per `interval_s`."""

    def __init__(self, send: Send, *, interval_s: float, on_last_step: Callable[[], None] | None = None) -> None:
        self._send = send
        self._on_last_step = on_last_step
        self._interval_s = interval_s
        self._newest: StageProgress | None = None
        self._news = asyncio.Event()
        self._on_the_wire = asyncio.Lock()
        self._closed = False
        self._sender: asyncio.Task[None] | None = None
        self.last_step_at: float | None = None
        """When (monotonic, s) a stage reported its last step: the device is then nearly done with the job."""

    def report(self, stage: str, step: int, of: int, percent: int | None = None) -> None:
        """`percent` is of the whole job; unset, it is step ÷ of."""
        if self._closed:
            return
        self.last_step_at = time.monotonic() if step >= of else None
        share = min(100, round(100 * step / of)) if percent is None else percent
        self._newest = StageProgress(stage=stage, step=step, of=of, percent=share)
        self._news.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())
        if self.last_step_at is not None and self._on_last_step is not None:
            self._on_last_step()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            report, self._newest = self._newest, None
            if report is not None and not self._closed:
                async with self._on_the_wire:
                    await self._send_quietly(report)
            await asyncio.sleep(self._interval_s)

    async def _send_quietly(self, report: StageProgress) -> None:
        """Whatever a report meets, the job goes on: its result matters and the report does not."""
        try:
            await self._send(report)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("progress not sent", error_type=type(error).__name__)

    async def close(self) -> None:
        """No report starts from here on; the one on the wire is waited for, but not for long."""
        self._closed = True
        if self._sender is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SEND_S), self._on_the_wire:
                pass
        self._sender.cancel()
        with suppress(asyncio.CancelledError):
            await self._sender
