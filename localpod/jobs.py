"""A job, its states, and the envelope it is submitted in. Pure: no clock, no HTTP.

Source of names and limits: RunPod's operation reference and "send requests" pages (August 2026).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

DAY_S = 86_400.0
MAX_S = 7 * DAY_S
TTL_S = DAY_S
MIN_TTL_S = 10.0
MIN_EXECUTION_S = 5.0
MAX_WEBHOOK_CHARS = 2048


class State(StrEnum):
    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def final(self) -> bool:
        return self not in _OPEN


_OPEN = (State.IN_QUEUE, State.IN_PROGRESS)


class BadEnvelope(ValueError):
    """A submitted body is invalid; the message is the answer to the client (HTTP 400)."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A submitted job: its input and options. Times in s; the request has ms."""

    input: Any
    webhook: str | None = None
    s3_config: dict[str, Any] | None = None
    ttl_s: float = TTL_S
    execution_timeout_s: float | None = None
    low_priority: bool = False

    @classmethod
    def read(cls, body: object) -> Envelope:
        """Parse a request body. Raises `BadEnvelope`."""
        if not isinstance(body, dict) or body.get("input") is None:
            raise BadEnvelope("the request body needs an `input`")
        policy = _optional(body, "policy", dict) or {}
        return cls(
            input=body["input"],
            webhook=_webhook(body),
            s3_config=_optional(body, "s3Config", dict),
            ttl_s=_policy_s(policy, "ttl", MIN_TTL_S) or TTL_S,
            execution_timeout_s=_policy_s(policy, "executionTimeout", MIN_EXECUTION_S),
            low_priority=bool(policy.get("lowPriority", False)),
        )


def _optional(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadEnvelope(f"`{name}` must be {'an object' if kind is dict else 'a string'}")
    return value


def _webhook(body: dict[str, Any]) -> str | None:
    url: str | None = _optional(body, "webhook", str)
    if not url:
        return None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that can't be parsed
        valid = False
    if not valid or len(url) > MAX_WEBHOOK_CHARS or any(char.isspace() or not char.isprintable() for char in url):
        raise BadEnvelope("`webhook` must be an http or https URL, such as https://example.com/hook")
    return url


def _policy_s(policy: dict[str, Any], name: str, min_s: float) -> float | None:
    value = policy.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadEnvelope(f"`policy.{name}` must be a number of milliseconds")
    if not min_s <= value / 1000 <= MAX_S:
        raise BadEnvelope(f"`policy.{name}` must be {min_s * 1000:.0f} to {MAX_S * 1000:.0f} ms")
    return float(value) / 1000


@dataclass(eq=False, slots=True)
class Job:
    """One job. Times are in seconds of the endpoint's clock; `None` until the event has happened."""

    id: str
    envelope: Envelope
    sync: bool
    submitted_at: float
    queued_at: float
    state: State = State.IN_QUEUE
    taken_at: float | None = None
    done_at: float | None = None
    worker_id: str | None = None
    position: int = 0
    attempts: int = 0
    requeues: int = 0
    output: Any = None
    has_output: bool = False
    error: str | None = None
    expires_at: float | None = None
    chunks: list[Any] = field(default_factory=list)
    watchers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def task(self) -> str | None:
        """The `task` of its input; faults can be limited to one."""
        task = self.envelope.input.get("task") if isinstance(self.envelope.input, dict) else None
        return task if isinstance(task, str) else None

    def for_worker(self) -> dict[str, Any]:
        """The job as a worker receives it. The policy is left out, as on the platform."""
        payload = {"id": self.id, "input": self.envelope.input}
        if self.envelope.webhook is not None:
            payload["webhook"] = self.envelope.webhook
        if self.envelope.s3_config is not None:
            payload["s3Config"] = self.envelope.s3_config
        return payload

    def for_client(self, skew_ms: int = 0) -> dict[str, Any]:
        """The job as `/status` answers it; `skew_ms` is the error that a fault adds to the platform's clock."""
        answer: dict[str, Any] = {"id": self.id, "status": self.state.value}
        if self.taken_at is not None:
            answer["delayTime"] = _ms(self.taken_at - self.queued_at) + skew_ms
            answer["workerId"] = self.worker_id
            if self.done_at is not None:
                answer["executionTime"] = _ms(self.done_at - self.taken_at) - skew_ms
        if self.has_output:
            answer["output"] = self.output
        if self.error is not None:
            answer["error"] = self.error
        return answer

    def notify_watchers(self) -> None:
        """Call each callback that waits for the end of the job, once."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def new_id(*, sync: bool) -> str:
    """A new id, `sync-…-u1` or `…-u1` as in RunPod's answers and logs."""
    return f"{'sync-' if sync else ''}{uuid.uuid4()}-u1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final result of a job. Without output and error the job is completed without an output."""

    output: Any = None
    has_output: bool = False
    error: str | None = None

    @classmethod
    def read(cls, body: object) -> Outcome:
        """Parse a posted result. A non-string `error` is dropped and the job completes (runpod-python #299)."""
        if not isinstance(body, dict):
            return cls()
        error = body.get("error")
        if error and not isinstance(error, str):
            return cls()
        return cls(output=body.get("output"), has_output="output" in body, error=error or None)
