"""Compare the desired endpoints with the live ones: changes, costs and worker quota."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from core.settings import EndpointSpec
from deploy.api import LiveEndpoint
from deploy.desired_state import DesiredEndpoint

FIRST_QUOTA = 5
"""Workers of a new RunPod account, over all endpoints."""


class Kind(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Change:
    """A changed field. A change of the environment has only the names of variables, because a value may be a secret."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Action:
    desired: DesiredEndpoint
    kind: Kind
    live: LiveEndpoint | None = None
    changes: tuple[Change, ...] = ()
    patch: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    actions: tuple[Action, ...]
    quota: int
    workers_elsewhere: int
    """Workers of endpoints outside this deployment."""

    @property
    def workers(self) -> int:
        return sum(action.desired.spec.workers.max for action in self.actions)

    @property
    def fits(self) -> bool:
        return self.workers + self.workers_elsewhere <= self.quota

    @property
    def changes_something(self) -> bool:
        return any(action.kind is not Kind.KEEP for action in self.actions)

    def worst_case_usd_per_hour(self) -> float | None:
        """Cost with every worker busy. None when a price isn't set."""
        return _usd_per_hour([(action.desired.spec, action.desired.spec.workers.max) for action in self.actions])

    def idle_usd_per_hour(self) -> float | None:
        """Cost of the workers that are always running."""
        return _usd_per_hour([(action.desired.spec, action.desired.spec.workers.min) for action in self.actions])


def _usd_per_hour(counted: list[tuple[EndpointSpec, int]]) -> float | None:
    prices = [(spec.price_per_s, workers) for spec, workers in counted]
    if any(price is None and workers for price, workers in prices):
        return None
    return sum((price or 0) * workers * 3600 for price, workers in prices)


def make_plan(desired: list[DesiredEndpoint], live: tuple[LiveEndpoint, ...], quota: int = FIRST_QUOTA) -> Plan:
    ids = known_ids(desired, live)
    actions = tuple(_action(one, find_live(one, live), ids) for one in desired)
    ours = {endpoint.id for one in desired for endpoint in find_live(one, live)}
    elsewhere = sum(endpoint.workers.max for endpoint in live if endpoint.id not in ours)
    return Plan(actions, quota, elsewhere)


def find_live(desired: DesiredEndpoint, live: tuple[LiveEndpoint, ...]) -> list[LiveEndpoint]:
    """The live endpoints of that name. RunPod's console appends ` -fb` to the names of endpoints with FlashBoot."""
    return [endpoint for endpoint in live if endpoint.name.removesuffix(" -fb") == desired.body["name"]]


def known_ids(desired: list[DesiredEndpoint], live: tuple[LiveEndpoint, ...]) -> dict[str, str]:
    """The ids of the existing endpoints, by name in the file."""
    return {one.name: found[0].id for one in desired if (found := find_live(one, live))}


def _action(desired: DesiredEndpoint, found: list[LiveEndpoint], ids: dict[str, str]) -> Action:
    if not found:
        return Action(desired, Kind.CREATE)
    if len(found) > 1:
        listed = ", ".join(endpoint.id for endpoint in found)
        return Action(desired, Kind.BLOCKED, found[0], reason=f"{len(found)} endpoints have this name ({listed})")
    [live] = found
    if live.type not in (None, desired.body["type"]) or (live.cpu is None) != (desired.spec.cpu is None):
        reason = "its type (queue or load balancer, GPU or CPU) can't be changed: delete it"
        return Action(desired, Kind.BLOCKED, live, reason=reason)
    body = desired.with_pool_ids(ids)
    changes = tuple(_differences(body, live))
    patch = {change.field: body[change.field] for change in changes if change.field != "gpu"}
    if any(change.field == "gpu" for change in changes):
        patch["gpu"] = _gpu_patch(body["gpu"], live)
    return Action(desired, Kind.UPDATE if changes else Kind.KEEP, live, tuple(map(_readable, changes)), patch)


def _differences(body: dict[str, Any], live: LiveEndpoint) -> list[Change]:
    has = _as_body(live)
    return [
        Change(name, has.get(name), desired)
        for name, desired in body.items()
        if name not in ("name", "type") and has.get(name) != _canonical(name, desired)
    ]


def _as_body(live: LiveEndpoint) -> dict[str, Any]:
    """A live endpoint in the form of a create body, for comparison field by field."""
    has: dict[str, Any] = {
        "image": live.image,
        "registry": live.registry,
        "disk": live.disk,
        "ports": list(live.ports),
        "env": live.env,
        "workers": live.workers.model_dump(by_alias=True, exclude_none=True),
        "scaling": live.scaling,
        "timeout": live.timeout,
        "flashboot": live.flashboot,
    }
    if live.cpu:
        has["cpu"] = [cpu.model_dump(by_alias=True) for cpu in live.cpu]
    if live.gpu:
        has["gpu"] = _canonical("gpu", live.gpu.model_dump(by_alias=True))
    return has


def _canonical(name: str, value: Any) -> Any:
    if name != "gpu":
        return value
    return {
        "pools": list(value["pools"]),
        "excludedTypes": sorted(map(str.strip, value.get("excludedTypes") or ())),
        "count": value.get("count", 1),
        "allowedCudaVersions": list(value.get("allowedCudaVersions") or ()),
        "minCudaVersion": value.get("minCudaVersion") or None,
    }


def _gpu_patch(desired: dict[str, Any], live: LiveEndpoint) -> dict[str, Any]:
    """The patch of `gpu`. Omitted fields keep their value, and the two CUDA fields exclude each other."""
    patch = {**desired, "minCudaVersion": desired.get("minCudaVersion") or ""}
    if live.gpu and live.gpu.allowed_cuda_versions:
        patch["allowedCudaVersions"] = []
    return patch


def _readable(change: Change) -> Change:
    if change.field != "env":
        return change
    old, new = change.old or {}, change.new
    marks = (
        [f"+{name}" for name in new if name not in old]
        + [f"~{name}" for name in new if name in old and old[name] != new[name]]
        + [f"-{name}" for name in old if name not in new]
    )
    return Change("env", None, sorted(marks, key=lambda mark: mark[1:]))
