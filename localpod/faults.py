"""Fault injection: failures of the network, the platform or a worker, once, N times or always.

An HTTP fault applies to one operation of one endpoint; a job fault applies at the matching point of a job's life cycle.
Both can be limited to one task, so that one stage of a chain fails while another on the same endpoint succeeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class FaultKind(StrEnum):
    THROTTLE = "throttle"
    SERVER_ERROR = "server_error"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    STALL = "stall"
    SLOW_DRIP = "slow_drip"
    TRUNCATE = "truncate"
    NOT_JSON = "not_json"
    DUPLICATE_DELIVERY = "duplicate_delivery"
    LOSE_RESULT = "lose_result"
    LATE_RESULT = "late_result"
    KILL_WORKER = "kill_worker"
    SLOW_COLD_START = "slow_cold_start"
    EXPIRE_RESULT = "expire_result"
    CLOCK_SKEW = "clock_skew"


MEANING = {
    FaultKind.THROTTLE: "429 before anything is done; with Retry-After when retry_after_s is set",
    FaultKind.SERVER_ERROR: "a 5xx (status) before anything is done",
    FaultKind.RESET_BEFORE: "connection reset, nothing done",
    FaultKind.RESET_AFTER: "done (a job is accepted), then connection reset instead of the answer",
    FaultKind.STALL: "done, then the answer is delayed by delay_s",
    FaultKind.SLOW_DRIP: "the answer is sent in small pieces over delay_s",
    FaultKind.TRUNCATE: "the connection ends in the middle of the answer",
    FaultKind.NOT_JSON: "200 with a page of HTML instead of the answer",
    FaultKind.DUPLICATE_DELIVERY: "a job is delivered twice",
    FaultKind.LOSE_RESULT: "a result is acknowledged and dropped",
    FaultKind.LATE_RESULT: "a result is acknowledged and stored delay_s later",
    FaultKind.KILL_WORKER: "kill -9 of the worker, delay_s after it took a job",
    FaultKind.SLOW_COLD_START: "a worker's start takes delay_s longer",
    FaultKind.EXPIRE_RESULT: "a finished job is deleted delay_s after its end",
    FaultKind.CLOCK_SKEW: "delayTime is delay_s too long and executionTime delay_s too short",
}

BEFORE_KINDS = (FaultKind.THROTTLE, FaultKind.SERVER_ERROR, FaultKind.RESET_BEFORE)
AFTER_KINDS = (
    FaultKind.RESET_AFTER,
    FaultKind.STALL,
    FaultKind.SLOW_DRIP,
    FaultKind.TRUNCATE,
    FaultKind.NOT_JSON,
)
CLIENT_OPERATIONS = frozenset({"run", "runsync", "status", "stream", "cancel", "retry", "purge-queue", "health"})
WORKER_OPERATIONS = frozenset({"job-take", "job-take-batch", "job-stop", "job-done", "job-stream", "ping"})


class Fault(BaseModel):
    """A fault: its kind, where it applies, and how often. `operation` "client" means every client operation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    endpoint: str = Field(default="*", description="Endpoint's name, or `*`.")
    operation: str = Field(default="client", description="`client`, `run`, `status`, `job-done`, …; HTTP faults only.")
    task: str | None = Field(default=None, description="Only jobs whose input names this task.")
    times: int | None = Field(default=1, ge=1, description="Number of times; null for always.")
    skip: int = Field(default=0, ge=0, description="Number of matching requests that are not affected at first.")
    delay_s: float = Field(default=1.0, description="Seconds, for kinds with a duration.")
    status: int = Field(default=503, ge=500, le=599)
    retry_after_s: float | None = Field(default=None, ge=0)


@dataclass
class ActiveFault:
    id: int
    fault: Fault
    matched: int = 0
    fired: int = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.fired >= self.fault.times

    def report(self) -> dict[str, object]:
        return {"id": self.id, "fired": self.fired, "spent": self.spent, **self.fault.model_dump(mode="json")}


class Faults:
    """The registered faults. Without an active one, `any` is one comparison."""

    def __init__(self) -> None:
        self._known: dict[int, ActiveFault] = {}
        self._active: list[ActiveFault] = []
        self._ids = itertools.count(1)

    @property
    def any(self) -> bool:
        return bool(self._active)

    def add(self, fault: Fault) -> int:
        active = ActiveFault(next(self._ids), fault)
        self._known[active.id] = active
        self._active.append(active)
        return active.id

    def clear(self, fault_id: int | None = None) -> None:
        self._known = {} if fault_id is None else {key: one for key, one in self._known.items() if key != fault_id}
        self._active = [active for active in self._active if active.id in self._known]

    def report(self) -> list[dict[str, object]]:
        return [active.report() for active in self._known.values()]

    def fired(self, fault_id: int) -> int:
        return self._known[fault_id].fired

    def pick(
        self, kinds: Collection[FaultKind], endpoint: str, operation: str | None = None, task: str | None = None
    ) -> Fault | None:
        """Return the first active fault that matches, and count it as fired."""
        for active in self._active:
            if active.fault.kind in kinds and _matches(active.fault, endpoint, operation, task):
                active.matched += 1
                if active.matched > active.fault.skip:
                    return self._fire(active)
        return None

    def _fire(self, active: ActiveFault) -> Fault:
        active.fired += 1
        if active.spent:
            self._active.remove(active)
        return active.fault


def _matches(fault: Fault, endpoint: str, operation: str | None, task: str | None) -> bool:
    if fault.endpoint not in ("*", endpoint) or (fault.task is not None and fault.task != task):
        return False
    if operation is None or fault.operation == operation:
        return True
    return fault.operation == "client" and operation in CLIENT_OPERATIONS
