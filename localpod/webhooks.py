"""Post a finished job to its webhook: 200 expected, two retries ten seconds apart.

Every http and https address is called, loopback included, so that tests can receive webhooks on this machine. Redirects
are not followed.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from localpod import json_codec
from localpod.jobs import Job

log = logging.getLogger("localpod")

TRIES = 3
RETRY_AFTER_S = 10.0
TIMEOUT_S = 30.0
HEADERS = {"Content-Type": "application/json"}


class Webhooks:
    """Posts webhooks in the background. Those that are pending when localpod stops are dropped."""

    def __init__(self, retry_after_s: float = RETRY_AFTER_S) -> None:
        self._retry_after_s = retry_after_s
        self._session: aiohttp.ClientSession | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def send(self, job: Job) -> None:
        if job.envelope.webhook is None:
            return
        sending = asyncio.create_task(self._send(job.envelope.webhook, json_codec.dumps(job.for_client())))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        for sending in self._sending:
            sending.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _send(self, url: str, body: bytes) -> None:
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self._retry_after_s)
            if await self._post(url, body):
                return
        log.warning("webhook not delivered after %d attempts", TRIES)

    async def _post(self, url: str, body: bytes) -> bool:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        try:
            async with self._session.post(url, data=body, headers=HEADERS, allow_redirects=False) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
