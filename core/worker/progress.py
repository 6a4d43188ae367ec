"""Progress of one job: ordered, coalesced, and never after the result.

The SDK sends each update from a thread and a loop of its own, so that updates overtake one another and the result
(runpod-python #250). Here one task sends, only the newest report waits, and nothing is under way once `close` returns.

May import: core.contracts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core.contracts import StageProgress

Send = Callable[[StageProgress], Awaitable[None]]

_LAST_SEND_S = 2.0
"""How long the result waits for a report that is already on the wire."""


class Progress:
    """`report` may be called as often as one likes; `send` is awaited at most once per `interval_s`."""

    def __init__(self, send: Send, *, interval_s: float) -> None:
        self._send = send
        self._interval_s = interval_s
        self._newest: StageProgress | None = None
        self._news = asyncio.Event()
        self._on_the_wire = asyncio.Lock()
        self._closed = False
        self._sender: asyncio.Task[None] | None = None

    def report(self, stage: str, step: int, of: int, percent: int | None = None) -> None:
        """`percent` is of the whole job; unset, it is step ÷ of."""
        if self._closed:
            return
        share = round(100 * step / of) if percent is None else percent
        self._newest = StageProgress(stage=stage, step=step, of=of, percent=share)
        self._news.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            report, self._newest = self._newest, None
            if report is not None and not self._closed:
                async with self._on_the_wire:
                    await self._send(report)
            await asyncio.sleep(self._interval_s)

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
