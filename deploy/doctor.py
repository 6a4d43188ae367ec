"""Looks at a live deployment and says what is wrong with it and what to do.

Each check is a function from what was seen to findings; `examine` gathers what they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from core.settings import STAGE_LIMITS_S, EndpointSpec, OrchestratorSettings, Pool
from deploy.api import Api, CpuType, Forbidden, GpuType, LiveEndpoint, LiveWorker, Unauthorized
from deploy.desired_state import Wanted
from deploy.plan import make_plan, named

STAGES_OF_POOL = {Pool.SELFIE: ("analyze",), Pool.LLM: ("expand", "moderate", "caption")}
"""The others paint: `generate`."""
PRICE_TOLERANCE = 0.05
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
class Seen:
    """One endpoint as it should be and as it is, with its workers."""

    wanted: Wanted
    live: LiveEndpoint
    workers: tuple[LiveWorker, ...]

    @property
    def name(self) -> str:
        return self.live.name

    def finding(self, level: Level, what: str, do: str) -> Finding:
        return Finding(level, self.name, what, do)


def examine(api: Api, wanted: list[Wanted]) -> list[Finding]:
    """Raises `ApiError` where the API doesn't answer; a key without rights is a finding."""
    try:
        live = api.endpoints()
        seen = [Seen(one, found[0], api.workers(found[0])) for one in wanted if (found := named(one, live))]
        gpus, cpus = api.gpu_types(), api.cpu_types()
    except (Unauthorized, Forbidden) as error:
        return [Finding(Level.ERROR, None, error.detail or "the key was refused", _lowered(type(error).do))]
    findings = [*_missing(wanted, live), *_drift(wanted, live), *_wiring(seen, live)]
    for one in seen:
        findings += [
            *_scaled_down(one),
            *_health(one),
            *_settings(one),
            *_hardware(one, gpus),
            *_price(one, gpus, cpus),
        ]
    return findings


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _missing(wanted: list[Wanted], live: tuple[LiveEndpoint, ...]) -> Iterator[Finding]:
    for one in wanted:
        found = named(one, live)
        if not found:
            yield Finding(Level.ERROR, str(one.body["name"]), "doesn't exist", APPLY)
        if len(found) > 1:
            listed = ", ".join(endpoint.id for endpoint in found)
            yield Finding(Level.ERROR, found[0].name, f"exists {len(found)} times: {listed}", "delete all but one")


def _drift(wanted: list[Wanted], live: tuple[LiveEndpoint, ...]) -> Iterator[Finding]:
    """What differs from the file and isn't said better by another check."""
    for action in make_plan(wanted, live).actions:
        fields = {change.field for change in action.changes} - {"workers", "flashboot", "timeout"}
        if action.live and action.reason:
            yield Finding(Level.ERROR, action.live.name, action.reason, "delete it, then " + APPLY)
        elif action.live and fields:
            listed = ", ".join(sorted(fields))
            yield Finding(Level.WARNING, action.live.name, f"differs from the file in {listed}", APPLY)


def _wiring(seen: list[Seen], live: tuple[LiveEndpoint, ...]) -> Iterator[Finding]:
    alive = {endpoint.id for endpoint in live}
    for one in seen:
        for pool in one.wanted.wired_to:
            variable = f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS"
            ids = [part.strip() for part in one.live.env.get(variable, "").split(",") if part.strip()]
            if not ids:
                yield one.finding(Level.ERROR, f"pool {pool} has no endpoint ({variable} is empty)", APPLY)
            for gone in sorted(set(ids) - alive):
                yield one.finding(Level.ERROR, f"pool {pool} points to {gone}, which doesn't exist", APPLY)


def _scaled_down(one: Seen) -> Iterator[Finding]:
    has, asked = one.live.workers.max, one.wanted.spec.workers.max
    if has < asked:
        what = f"may have {has} workers, the file says {asked}: RunPod lowers the figure after days without requests, "
        do = APPLY + "; RunPod never restores it by itself"
        yield one.finding(Level.WARNING if has else Level.ERROR, what + "or where workers keep failing", do)


def _health(one: Seen) -> Iterator[Finding]:
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


def _settings(one: Seen) -> Iterator[Finding]:
    if one.live.flashboot == "OFF" and one.wanted.spec.flashboot != "off":
        yield one.finding(Level.WARNING, "FlashBoot is off, so each start loads the weights anew", APPLY)
    needed = needed_timeout_s(one.wanted.spec)
    if one.live.timeout / 1000 < needed:
        what = f"ends jobs after {one.live.timeout / 1000:g} s, where its stages may need {needed:g} s"
        yield one.finding(Level.ERROR, what, "raise `execution_timeout_s` in the file, then " + APPLY)


def needed_timeout_s(spec: EndpointSpec) -> float:
    """Seconds: the longest execution limit of the stages it serves, or a whole request's where it calls others."""
    if spec.calls_others:
        return float(OrchestratorSettings.model_fields["timeout_s"].default)
    stages = {stage for pool in spec.pools for stage in STAGES_OF_POOL.get(pool, ("generate",))}
    return max((STAGE_LIMITS_S["full"][stage] for stage in stages), default=0)


def allowed_gpus(spec: EndpointSpec, catalogue: tuple[GpuType, ...]) -> list[GpuType]:
    """The catalogue's types of the endpoint's pools, without the excluded."""
    if spec.gpu is None:
        return []
    return [gpu for gpu in catalogue if gpu.pool in spec.gpu.pools and gpu.id not in spec.gpu.exclude]


def _hardware(one: Seen, gpus: tuple[GpuType, ...]) -> Iterator[Finding]:
    if one.wanted.spec.gpu is None:
        return
    allowed = {gpu.id for gpu in allowed_gpus(one.wanted.spec, gpus)}
    if not allowed:
        what = "asks for GPUs that RunPod's catalogue doesn't have"
        yield one.finding(Level.ERROR, what, "correct `gpu` in the file")
    for worker in one.workers:
        if allowed and worker.gpu_type_id and worker.gpu_type_id not in allowed:
            what = f"worker {worker.id} runs on {worker.gpu_type_id}"
            yield one.finding(Level.WARNING, what, "terminate it in the console; " + APPLY + " if the file differs")


def _price(one: Seen, gpus: tuple[GpuType, ...], cpus: tuple[CpuType, ...]) -> Iterator[Finding]:
    listed = listed_usd_per_s(one.wanted.spec, gpus, cpus)
    said = one.wanted.spec.price_per_s
    if listed is not None and (said is None or abs(said - listed) > PRICE_TOLERANCE * listed):
        what = f"costs ${listed:.6f} a second by RunPod's catalogue, the file says {said or 'nothing'}"
        yield one.finding(Level.WARNING, what, "set `price_per_s` in the file: results and plans reckon with it")


def listed_usd_per_s(spec: EndpointSpec, gpus: tuple[GpuType, ...], cpus: tuple[CpuType, ...]) -> float | None:
    """List price of one worker, of the dearest hardware it may get; the catalogue's figures are per hour."""
    if spec.gpu:
        prices = [gpu.price.get("serverless", 0) * spec.gpu.count for gpu in allowed_gpus(spec, gpus)]
    elif spec.cpu:
        flavour, vcpu = spec.cpu.id, spec.cpu.vcpu
        prices = [cpu.price.get("serverlessPerVcpu", 0) * vcpu for cpu in cpus if cpu.id == flavour]
    else:
        prices = []
    dearest = max(prices, default=0)
    return dearest / 3600 if dearest else None
