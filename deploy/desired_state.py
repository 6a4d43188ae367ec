"""What `endpoints.yaml` asks for, in the words of RunPod's API.

Every field that is managed here is always named, also where it has the API's default: a field that is left out would
keep whatever somebody set in the console.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.errors import Misconfigured
from core.settings import Endpoints, EndpointSpec, Pool

DEFAULT_IDLE_TIMEOUT_S = 10
"""The API's own idle time-out."""
_FLASHBOOT = {"off": "OFF", "flashboot": "FLASHBOOT", "priority_flashboot": "PRIORITY_FLASHBOOT"}


@dataclass(frozen=True)
class Images:
    """Where images come from: `registry/image:tag`. An image of the file that names its own registry stays as it is."""

    registry: str
    tag: str
    credential: str | None = None
    """Id of the registry credential that RunPod has, for private images."""

    def __post_init__(self) -> None:
        if self.tag == "latest":
            raise Misconfigured("The tag `latest` moves: workers would disagree about it. Name a version.")

    def reference(self, image: str) -> str:
        if "/" in image or ":" in image or "@" in image:
            return image
        return f"{self.registry.rstrip('/')}/{image}:{self.tag}"


@dataclass(frozen=True)
class Wanted:
    """One endpoint as it should be. `wired_to` names the endpoints whose ids go into its environment, by pool."""

    name: str
    spec: EndpointSpec
    body: dict[str, Any]
    """As `POST /v2/serverless` takes it, but for the ids of the pools."""
    wired_to: dict[Pool, tuple[str, ...]] = field(default_factory=dict)

    def wired(self, ids: dict[str, str]) -> dict[str, Any]:
        """The body with the pools' ids filled in. `ids`: endpoint's name in the file → its id on RunPod."""
        pools = {
            f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS": ",".join(ids[name] for name in names if name in ids)
            for pool, names in self.wired_to.items()
        }
        return {**self.body, "env": {**self.body["env"], **pools}}


def wanted(endpoints: Endpoints, images: Images, prefix: str) -> list[Wanted]:
    """In the order in which they are made: those that call others come last, when the others' ids are known.

    Raises `Misconfigured` where a pool that is called has no endpoint.
    """
    made = [_one(name, spec, endpoints, images, prefix) for name, spec in endpoints.endpoints.items()]
    return sorted(made, key=lambda one: bool(one.wired_to))


def _one(name: str, spec: EndpointSpec, endpoints: Endpoints, images: Images, prefix: str) -> Wanted:
    body = {
        "name": f"{prefix}-{name}",
        "type": "QUEUE",
        "image": images.reference(spec.image),
        "registry": images.credential,
        "env": {**spec.env, **{secret: f"{{{{ RUNPOD_SECRET_{secret} }}}}" for secret in spec.secrets}},
        "workers": _workers(spec),
        "scaling": _scaling(spec),
        "timeout": round(spec.execution_timeout_s * 1000),
        "flashboot": _FLASHBOOT[spec.flashboot],
        **_hardware(spec),
    }
    if spec.container_disk_gb:
        body["disk"] = spec.container_disk_gb
    return Wanted(name, spec, body, _wiring(endpoints) if spec.calls_others else {})


def _hardware(spec: EndpointSpec) -> dict[str, Any]:
    if spec.cpu:
        return {"cpu": [{"id": spec.cpu.id, "vcpuCount": spec.cpu.vcpu}]}
    gpu = spec.gpu
    if gpu is None:
        raise Misconfigured("An endpoint needs either `gpu` or `cpu`.")
    wanted: dict[str, Any] = {"pools": list(gpu.pools), "excludedTypes": sorted(gpu.exclude), "count": gpu.count}
    if spec.min_cuda_version:
        wanted["minCudaVersion"] = spec.min_cuda_version
    return {"gpu": wanted}


def _workers(spec: EndpointSpec) -> dict[str, int]:
    workers = {"min": spec.workers.min, "max": spec.workers.max}
    if spec.scaler.type == "queue_delay":
        # The API refuses an idle time-out beside a scaler that counts requests.
        workers["idleTimeout"] = spec.workers.idle_timeout_s or DEFAULT_IDLE_TIMEOUT_S
    return workers


def _scaling(spec: EndpointSpec) -> dict[str, Any]:
    if spec.scaler.type == "queue_delay":
        return {"type": "QUEUE_DELAY", "queueDelay": spec.scaler.value}
    return {"type": "REQUEST_COUNT", "requestCount": round(spec.scaler.value)}


def _wiring(endpoints: Endpoints) -> dict[Pool, tuple[str, ...]]:
    serving = {pool: tuple(endpoints.serving(pool)) for pool in Pool}
    missing = [pool for pool, names in serving.items() if not names]
    if missing:
        raise Misconfigured(f"No endpoint serves {', '.join(missing)}: add it to the `pools` of one in the file.")
    return serving
