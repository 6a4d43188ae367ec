"""Diagnose a live deployment: what is wrong and how to correct it.

Each check is a function from the state of an endpoint to findings; `diagnose` reads the state and runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from core.settings import STAGE_LIMITS_S, EndpointSpec, OrchestratorSettings, Pool
from deploy.api import Api, CpuType, Forbidden, GpuType, LiveEndpoint, LiveWorker, Unauthorized
from deploy.desired_state import DesiredEndpoint
from deploy.plan import find_live, make_plan

STAGES_OF_POOL = {Pool.SELFIE: ("analyze",), Pool.LLM: ("expand", "moderate", "caption")}
"""Stages of each pool; all other pools serve `generate`."""
PRICE_TOLERANCE = 0.05
LOAD_BALANCER_LIMIT_S = 330
"""RunPod's limit for one request to a load-balancing endpoint (load-balancing overview, July 2026)."""
APPLY = "run `python -m deploy apply`"


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    level: Level
    endpoint: str | None
    what: str
    do: str


@dataclass(frozen=True)
class EndpointState:
    """One endpoint, desired and live, with its workers."""

    desired: DesiredEndpoint
    live: LiveEndpoint
    workers: tuple[LiveWorker, ...]

    @property
    def name(self) -> str:
        return self.live.name

    def finding(self, level: Level, what: str, do: str) -> Finding:
        return Finding(level, self.name, what, do)


def diagnose(api: Api, desired: list[DesiredEndpoint]) -> list[Finding]:
    """Run all checks. Raises `ApiError` when the API fails; a key without rights is a finding."""
    try:
        live = api.endpoints()
        states = [
            EndpointState(one, found[0], api.workers(found[0])) for one in desired if (found := find_live(one, live))
        ]
        gpus, cpus = api.gpu_types(), api.cpu_types()
    except (Unauthorized, Forbidden) as error:
        return [Finding(Level.ERROR, None, error.detail or "the key was refused", _uncapitalised(type(error).do))]
    findings = [*_missing(desired, live), *_drift(desired, live), *_pool_findings(states, live)]
    for one in states:
        findings += [
            *_reduced_workers(one),
            *_health(one),
            *_settings(one),
            *_load_balancing(one),
            *_hardware(one, gpus),
            *_price(one, gpus, cpus),
        ]
    return findings


def _uncapitalised(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _missing(desired: list[DesiredEndpoint], live: tuple[LiveEndpoint, ...]) -> Iterator[Finding]:
    for one in desired:
        found = find_live(one, live)
        if not found:
            yield Finding(Level.ERROR, str(one.body["name"]), "doesn't exist", APPLY)
        if len(found) > 1:
            listed = ", ".join(endpoint.id for endpoint in found)
            yield Finding(Level.ERROR, found[0].name, f"exists {len(found)} times: {listed}", "delete all but one")


def _drift(desired: list[DesiredEndpoint], live: tuple[LiveEndpoint, ...]) -> Iterator[Finding]:
    """Differences from the file that no other check reports."""
    for action in make_plan(desired, live).actions:
        fields = {change.field for change in action.changes} - {"workers", "flashboot", "timeout"}
        if action.live and action.reason:
            yield Finding(Level.ERROR, action.live.name, action.reason, "delete it, then " + APPLY)
        elif action.live and fields:
            listed = ", ".join(sorted(fields))
            yield Finding(Level.WARNING, action.live.name, f"differs from the file in {listed}", APPLY)


def _pool_findings(states: list[EndpointState], live: tuple[LiveEndpoint, ...]) -> Iterator[Finding]:
    alive = {endpoint.id for endpoint in live}
    for one in states:
        for pool in one.desired.pool_endpoints:
            variable = f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS"
            ids = [part.strip() for part in one.live.env.get(variable, "").split(",") if part.strip()]
            if not ids:
                yield one.finding(Level.ERROR, f"pool {pool} has no endpoint ({variable} is empty)", APPLY)
            for missing in sorted(set(ids) - alive):
                yield one.finding(Level.ERROR, f"pool {pool} points to {missing}, which doesn't exist", APPLY)


def _reduced_workers(one: EndpointState) -> Iterator[Finding]:
    live, desired = one.live.workers.max, one.desired.spec.workers.max
    if live < desired:
        what = (
            f"may have {live} workers, the file has {desired}: RunPod lowers the figure after days without requests, "
        )
        do = APPLY + "; RunPod never restores it by itself"
        yield one.finding(Level.WARNING if live else Level.ERROR, what + "or where workers keep failing", do)


def _health(one: EndpointState) -> Iterator[Finding]:
    sick = sorted(worker.id for worker in one.workers if worker.status == "UNHEALTHY")
    throttled = [worker for worker in one.workers if worker.status == "THROTTLED"]
    stale = sorted(worker.id for worker in one.workers if worker.is_stale)
    if sick:
        yield one.finding(
            Level.ERROR, f"workers are unhealthy: {', '.join(sick)}", "read their logs in RunPod's console"
        )
    if throttled and len(throttled) == len(one.workers):
        yield one.finding(
            Level.WARNING, "no hardware is free for its workers", "add a GPU pool to the file's `gpu.pools`"
        )
    if stale:
        what = f"workers still run an older release: {', '.join(stale)}"
        yield one.finding(
            Level.WARNING, what, "wait for their jobs to end; if they stay, terminate them in the console"
        )


def _settings(one: EndpointState) -> Iterator[Finding]:
    if one.live.flashboot == "OFF" and one.desired.spec.flashboot != "off":
        yield one.finding(Level.WARNING, "FlashBoot is off, so each start loads the weights again", APPLY)
    needed = needed_timeout_s(one.desired.spec)
    if one.live.timeout / 1000 < needed:
        what = f"ends jobs after {one.live.timeout / 1000:g} s, where its stages may need {needed:g} s"
        yield one.finding(Level.ERROR, what, "raise `execution_timeout_s` in the file, then " + APPLY)


def _load_balancing(one: EndpointState) -> Iterator[Finding]:
    if one.desired.spec.type != "load_balancer":
        return
    timeouts_s = {"execution timeout": one.live.timeout / 1000, **_timeouts_s(one.live.env)}
    for name, seconds in timeouts_s.items():
        if seconds > LOAD_BALANCER_LIMIT_S:
            what = (
                f"{name} is {seconds:g} s, but RunPod ends a load balancer's requests after {LOAD_BALANCER_LIMIT_S} s"
            )
            yield one.finding(Level.WARNING, what, f"lower it to {LOAD_BALANCER_LIMIT_S} s or less, then " + APPLY)
    if (one.live.workers.idle_timeout or 0) < LOAD_BALANCER_LIMIT_S and one.live.workers.min == 0:
        what = "may stop its last worker while asynchronous jobs run in memory, which RunPod doesn't count as requests"
        do = f"set `idle_timeout_s` to {LOAD_BALANCER_LIMIT_S} or more, then {APPLY}"
        yield one.finding(Level.WARNING, what, do)


def _timeouts_s(env: dict[str, str]) -> dict[str, float]:
    """The timeouts in an environment that bound a request, by variable."""
    found = {}
    for name in ("ORCHESTRATOR_TIMEOUT_S", "HTTP_WAIT_S"):
        with suppress(KeyError, ValueError):
            found[name] = float(env[name])
    return found


def needed_timeout_s(spec: EndpointSpec) -> float:
    """Execution limit an endpoint needs, s: that of its longest stage, or of a whole request if it calls others."""
    if spec.calls_others:
        return float(OrchestratorSettings.model_fields["timeout_s"].default)
    stages = {stage for pool in spec.pools for stage in STAGES_OF_POOL.get(pool, ("generate",))}
    return max((STAGE_LIMITS_S["full"][stage] for stage in stages), default=0)


def allowed_gpus(spec: EndpointSpec, catalogue: tuple[GpuType, ...]) -> list[GpuType]:
    """The GPU types of the endpoint's pools, without the excluded ones."""
    if spec.gpu is None:
        return []
    return [gpu for gpu in catalogue if gpu.pool in spec.gpu.pools and gpu.id not in spec.gpu.exclude]


def _hardware(one: EndpointState, gpus: tuple[GpuType, ...]) -> Iterator[Finding]:
    if one.desired.spec.gpu is None:
        return
    allowed = {gpu.id for gpu in allowed_gpus(one.desired.spec, gpus)}
    if not allowed:
        what = "requests GPUs that RunPod's catalogue doesn't contain"
        yield one.finding(Level.ERROR, what, "correct `gpu` in the file")
    for worker in one.workers:
        if allowed and worker.gpu_type_id and worker.gpu_type_id not in allowed:
            what = f"worker {worker.id} runs on {worker.gpu_type_id}"
            yield one.finding(Level.WARNING, what, "terminate it in the console; " + APPLY + " if the file differs")


def _price(one: EndpointState, gpus: tuple[GpuType, ...], cpus: tuple[CpuType, ...]) -> Iterator[Finding]:
    listed = list_price_usd_per_s(one.desired.spec, gpus, cpus)
    price = one.desired.spec.price_per_s
    if listed is not None and (price is None or abs(price - listed) > PRICE_TOLERANCE * listed):
        what = f"costs ${listed:.6f} a second by RunPod's catalogue, the file has {price or 'no price'}"
        yield one.finding(Level.WARNING, what, "set `price_per_s` in the file: results and plans compute costs with it")


def list_price_usd_per_s(spec: EndpointSpec, gpus: tuple[GpuType, ...], cpus: tuple[CpuType, ...]) -> float | None:
    """List price of one worker on the most expensive hardware allowed. The catalogue's prices are per hour."""
    if spec.gpu:
        prices = [gpu.price.get("serverless", 0) * spec.gpu.count for gpu in allowed_gpus(spec, gpus)]
    elif spec.cpu:
        flavour, vcpu = spec.cpu.id, spec.cpu.vcpu
        prices = [cpu.price.get("serverlessPerVcpu", 0) * vcpu for cpu in cpus if cpu.id == flavour]
    else:
        prices = []
    dearest = max(prices, default=0)
    return dearest / 3600 if dearest else None
