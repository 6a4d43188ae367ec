"""Decide whether and when a failed attempt is repeated."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from img_pod.errors import ClientTimeout, ImgPodError

_FIRST_S = 0.5
_LONGEST_S = 8.0


@dataclass
class Attempts:
    """The attempts of one call: at most `retries` repetitions, and none after `timeout_s`."""

    retries: int
    timeout_s: float | None = None
    made: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds until the caller's timeout; infinite without one."""
        if self.timeout_s is None:
            return float("inf")
        return self.timeout_s - (time.monotonic() - self.started)

    def check_time(self) -> None:
        """Raise `ClientTimeout` after the caller's timeout."""
        if self.left_s <= 0:
            raise ClientTimeout(f"There was no answer within {self.timeout_s:g} s; the job was cancelled.")

    def pause_s(self, error: ImgPodError) -> float:
        """Seconds to wait before the next attempt. Raises `error` if it must not or cannot be repeated."""
        self.made += 1
        if not error.retryable or self.made > self.retries:
            raise error
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 (not a secret)
        pause: float = min(_LONGEST_S, _FIRST_S * 2 ** (self.made - 1)) * jitter
        if error.retry_after_ms is not None:
            pause = max(pause, error.retry_after_ms / 1000)
        if pause >= self.left_s:
            raise error
        return pause
