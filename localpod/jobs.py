"""A job, its states, and the envelope it is submitted in. Pure: no clock, no HTTP.

Source of names and limits: RunPod's operation reference and "send requests" pages (August 2026).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

DAY_S = 86_400.0
LONGEST_S = 7 * DAY_S
TTL_S = DAY_S
SHORTEST_TTL_S = 10.0
SHORTEST_EXECUTION_S = 5.0


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
    """A submitted body is not what the platform takes; the message is the client's answer (HTTP 400)."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds a job's input. Times in seconds, though the wire has milliseconds."""

    input: Any
    webhook: str | None = None
    s3_config: dict[str, Any] | None = None
    ttl_s: float = TTL_S
    execution_timeout_s: float | None = None
    low_priority: bool = False

    @classmethod
    def read(cls, body: object) -> Envelope:
        """Raises `BadEnvelope`."""
        if not isinstance(body, dict) or body.get("input") is None:
            raise BadEnvelope("the request body needs an `input`")
        policy = _optional(body, "policy", dict) or {}
        return cls(
            input=body["input"],
            webhook=_optional(body, "webhook", str),
            s3_config=_optional(body, "s3Config", dict),
            ttl_s=_policy_s(policy, "ttl", SHORTEST_TTL_S) or TTL_S,
            execution_timeout_s=_policy_s(policy, "executionTimeout", SHORTEST_EXECUTION_S),
            low_priority=bool(policy.get("lowPriority", False)),
        )


def _optional(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadEnvelope(f"`{name}` must be {'an object' if kind is dict else 'a string'}")
    return value


def _policy_s(policy: dict[str, Any], name: str, shortest_s: float) -> float | None:
    value = policy.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadEnvelope(f"`policy.{name}` must be a number of milliseconds")
    if not shortest_s <= value / 1000 <= LONGEST_S:
        raise BadEnvelope(f"`policy.{name}` must be {shortest_s * 1000:.0f} to {LONGEST_S * 1000:.0f} ms")
    return float(value) / 1000


@dataclass(eq=False, slots=True)
class Job:
    """One job through its life. Times are the line's clock, in seconds; `None` until the moment has come."""

    id: str
    envelope: Envelope
    sync: bool
    submitted_at: float
    queued_at: float
    state: State = State.IN_QUEUE
    taken_at: float | None = None
    done_at: float | None = None
    worker_id: str | None = None
    place: int = 0
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
        """The task its input names, by which a fault may choose it."""
        task = self.envelope.input.get("task") if isinstance(self.envelope.input, dict) else None
        return task if isinstance(task, str) else None

    def for_worker(self) -> dict[str, Any]:
        """What a worker is handed. The policy stays behind, as on the platform."""
        handed = {"id": self.id, "input": self.envelope.input}
        if self.envelope.webhook is not None:
            handed["webhook"] = self.envelope.webhook
        if self.envelope.s3_config is not None:
            handed["s3Config"] = self.envelope.s3_config
        return handed

    def for_client(self, skew_ms: int = 0) -> dict[str, Any]:
        """What `/status` answers; `skew_ms` is what a fault puts the platform's clock off by."""
        seen: dict[str, Any] = {"id": self.id, "status": self.state.value}
        if self.taken_at is not None:
            seen["delayTime"] = _ms(self.taken_at - self.queued_at) + skew_ms
            seen["workerId"] = self.worker_id
            if self.done_at is not None:
                seen["executionTime"] = _ms(self.done_at - self.taken_at) - skew_ms
        if self.has_output:
            seen["output"] = self.output
        if self.error is not None:
            seen["error"] = self.error
        return seen

    def wake(self) -> None:
        """Calls whoever waits for the job's end, each once."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def new_id(*, sync: bool) -> str:
    """`sync-…-u1` or `…-u1`: the shapes seen in RunPod's own answers and logs."""
    return f"{'sync-' if sync else ''}{uuid.uuid4()}-u1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker posted as a job's end. No output and no error is a completed job with nothing to show."""

    output: Any = None
    has_output: bool = False
    error: str | None = None

    @classmethod
    def read(cls, body: object) -> Outcome:
        """An `error` that is no string is lost and the job counts as completed: runpod-python issue 299."""
        if not isinstance(body, dict):
            return cls()
        error = body.get("error")
        if error and not isinstance(error, str):
            return cls()
        return cls(output=body.get("output"), has_output="output" in body, error=error or None)
