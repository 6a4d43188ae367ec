"""Progress of one job: ordered, coalesced, and never after the result.

The SDK sends each update from its own thread and event loop, so that updates arrive out of order and after the result
(runpod-python #250). Here one task sends, only the newest report waits, and no report is being sent once `close`
returns.

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
"""How long the result waits for a report that is being sent."""


class Progress:
    """Progress reporter of one job. `report` may be called at any rate; `send` runs at most once per `interval_s`."""

    def __init__(self, send: Send, *, interval_s: float, on_last_step: Callable[[], None] | None = None) -> None:
        self._send = send
        self._on_last_step = on_last_step
        self._interval_s = interval_s
        self._newest: StageProgress | None = None
        self._report_event = asyncio.Event()
        self._sending = asyncio.Lock()
        self._closed = False
        self._sender: asyncio.Task[None] | None = None
        self.last_step_at: float | None = None
        """When a stage reported its last step (monotonic, s): the device has then nearly finished the job."""

    def report(self, stage: str, step: int, of: int, percent: int | None = None) -> None:
        """Report a step. `percent` refers to the whole job; by default it is step ÷ of."""
        if self._closed:
            return
        self.last_step_at = time.monotonic() if step >= of else None
        share = min(100, round(100 * step / of)) if percent is None else percent
        self._newest = StageProgress(stage=stage, step=step, of=of, percent=share)
        self._report_event.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())
        if self.last_step_at is not None and self._on_last_step is not None:
            self._on_last_step()

    async def _run(self) -> None:
        while True:
            await self._report_event.wait()
            self._report_event.clear()
            report, self._newest = self._newest, None
            if report is not None and not self._closed:
                async with self._sending:
                    await self._send_and_log_failure(report)
            await asyncio.sleep(self._interval_s)

    async def _send_and_log_failure(self, report: StageProgress) -> None:
        """Send a report; a failure is logged and does not affect the job."""
        try:
            await self._send(report)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("progress not sent", error_type=type(error).__name__)

    async def close(self) -> None:
        """Stop reporting. A report that is being sent is awaited for at most `_LAST_SEND_S`."""
        self._closed = True
        if self._sender is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SEND_S), self._sending:
                pass
        self._sender.cancel()
        with suppress(asyncio.CancelledError):
            await self._sender
