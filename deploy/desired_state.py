"""The endpoints of `endpoints.yaml` as bodies for RunPod's API.

Every managed field is always sent, even with the API's default: an omitted field would keep its value of the console.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.errors import Misconfigured
from core.settings import Endpoints, EndpointSpec, Pool

DEFAULT_IDLE_TIMEOUT_S = 10
"""The API's default."""
_TYPES = {"queue": "QUEUE", "load_balancer": "LOAD_BALANCER"}
_FLASHBOOT = {"off": "OFF", "flashboot": "FLASHBOOT", "priority_flashboot": "PRIORITY_FLASHBOOT"}


@dataclass(frozen=True)
class Images:
    """Image references, `registry/image:tag`. An image that names its own registry is used unchanged."""

    registry: str
    tag: str
    credential: str | None = None
    """Id of RunPod's registry credential, for private images."""

    def __post_init__(self) -> None:
        if self.tag == "latest":
            raise Misconfigured("The tag `latest` is mutable, so workers could run different images. Name a version.")

    def reference(self, image: str) -> str:
        if "/" in image or ":" in image or "@" in image:
            return image
        return f"{self.registry.rstrip('/')}/{image}:{self.tag}"


@dataclass(frozen=True)
class DesiredEndpoint:
    """The desired state of an endpoint. `pool_endpoints`: by pool, the endpoints whose ids it calls."""

    name: str
    spec: EndpointSpec
    body: dict[str, Any]
    """The body of `POST /v2/serverless`, without the endpoint ids of the pools."""
    pool_endpoints: dict[Pool, tuple[str, ...]] = field(default_factory=dict)

    def with_pool_ids(self, ids: dict[str, str]) -> dict[str, Any]:
        """The body with the endpoint ids of the pools. `ids` maps names in the file to ids on RunPod."""
        pools = {
            f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS": ",".join(ids[name] for name in names if name in ids)
            for pool, names in self.pool_endpoints.items()
        }
        return {**self.body, "env": {**self.body["env"], **pools}}


def desired_endpoints(endpoints: Endpoints, images: Images, prefix: str) -> list[DesiredEndpoint]:
    """All endpoints in the order of their creation: those that call others come last, when the ids are known.

    Raises `Misconfigured` when a called pool has no endpoint.
    """
    made = [_desired_endpoint(name, spec, endpoints, images, prefix) for name, spec in endpoints.endpoints.items()]
    return sorted(made, key=lambda one: bool(one.pool_endpoints))


def _desired_endpoint(
    name: str, spec: EndpointSpec, endpoints: Endpoints, images: Images, prefix: str
) -> DesiredEndpoint:
    body = {
        "name": f"{prefix}-{name}",
        "type": _TYPES[spec.type],
        "image": images.reference(spec.image),
        "registry": images.credential,
        "env": _environment(spec),
        "workers": _workers(spec),
        "scaling": _scaling(spec),
        "timeout": round(spec.execution_timeout_s * 1000),
        "flashboot": _FLASHBOOT[spec.flashboot],
        **_hardware(spec),
    }
    if spec.container_disk_gb:
        body["disk"] = spec.container_disk_gb
    if spec.type == "load_balancer":
        body["ports"] = [f"{spec.port}/http"]
    return DesiredEndpoint(name, spec, body, _pools_called(endpoints) if spec.calls_others else {})


def _environment(spec: EndpointSpec) -> dict[str, str]:
    """The environment without the pools. `PORT` and `PORT_HEALTH` must agree with `ports`, or every request hangs."""
    env = {**spec.env, **{secret: f"{{{{ RUNPOD_SECRET_{secret} }}}}" for secret in spec.secrets}}
    if spec.type == "load_balancer":
        port = str(spec.port)
        env |= {"PORT": port, "PORT_HEALTH": port, "HEALTH_CHECK_PATH": "/ping", "HTTP_PORT": port}
    return env


def _hardware(spec: EndpointSpec) -> dict[str, Any]:
    if spec.cpu:
        return {"cpu": [{"id": spec.cpu.id, "vcpuCount": spec.cpu.vcpu}]}
    gpu = spec.gpu
    if gpu is None:
        raise Misconfigured("An endpoint needs either `gpu` or `cpu`.")
    desired: dict[str, Any] = {"pools": list(gpu.pools), "excludedTypes": sorted(gpu.exclude), "count": gpu.count}
    if spec.min_cuda_version:
        desired["minCudaVersion"] = spec.min_cuda_version
    return {"gpu": desired}


def _workers(spec: EndpointSpec) -> dict[str, int]:
    workers = {"min": spec.workers.min, "max": spec.workers.max}
    if spec.type == "load_balancer" or spec.scaler.type == "queue_delay":
        # The API rejects an idle timeout for queue endpoints that scale by request count.
        workers["idleTimeout"] = spec.workers.idle_timeout_s or DEFAULT_IDLE_TIMEOUT_S
    return workers


def _scaling(spec: EndpointSpec) -> dict[str, Any]:
    if spec.scaler.type == "queue_delay":
        return {"type": "QUEUE_DELAY", "queueDelay": spec.scaler.value}
    return {"type": "REQUEST_COUNT", "requestCount": round(spec.scaler.value)}


def _pools_called(endpoints: Endpoints) -> dict[Pool, tuple[str, ...]]:
    serving = {pool: tuple(endpoints.serving(pool)) for pool in Pool}
    missing = [pool for pool, names in serving.items() if not names]
    if missing:
        raise Misconfigured(f"No endpoint serves {', '.join(missing)}: add it to the `pools` of one in the file.")
    return serving
