"""Options of a localpod, and its endpoints from `endpoints.yaml`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.errors import Misconfigured
from core.settings import Endpoints, EndpointSpec
from localpod.api import POLL_TIMEOUT_S
from localpod.endpoint import RetentionPolicy
from localpod.load_balancer import NO_WORKER_TIMEOUT_S, REQUEST_TIMEOUT_S
from localpod.spec import LocalEndpoint
from localpod.webhooks import RETRY_AFTER_S
from localpod.workers import WorkerTimes

AnyEndpoints = Endpoints | Mapping[str, EndpointSpec | LocalEndpoint]
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Options:
    """Options of a localpod. Times in seconds; the defaults are RunPod's where it documents one.

    `key` None accepts any key. `worker_key` None creates one per start. `allow_hosts` are names accepted in the Host
    header besides loopback. `http_without_key` serves the HTTP API without a key although `host` is not loopback.
    `warm` keeps at least one worker per endpoint. `idle_timeout_s` overrides every endpoint's. `shutdown_grace_s` is
    the time workers get to exit when localpod stops. `no_worker_timeout_s` and `request_timeout_s` are those of
    load-balancing endpoints. `share_env` names environment variables that workers inherit although they are normally
    excluded. `attach` names endpoints whose workers are started elsewhere.
    """

    host: str = "127.0.0.1"
    port: int = 0
    key: str | None = None
    worker_key: str | None = None
    allow_hosts: Collection[str] = ()
    http_without_key: bool = False
    warm: bool = False
    limits: bool = True
    idle_timeout_s: float | None = None
    poll_timeout_s: float = POLL_TIMEOUT_S
    ping_interval_s: float = 10.0
    shutdown_grace_s: float = 3.0
    webhook_retry_s: float = RETRY_AFTER_S
    no_worker_timeout_s: float = NO_WORKER_TIMEOUT_S
    request_timeout_s: float = REQUEST_TIMEOUT_S
    times: WorkerTimes = field(default_factory=WorkerTimes)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    share_env: Collection[str] = ()
    attach: Collection[str] = ()
    state_dir: Path | None = None
    echo: Callable[[str, str], None] | None = None

    @property
    def on_loopback(self) -> bool:
        return self.host in LOOPBACK_HOSTS

    @property
    def open_http(self) -> bool:
        """Whether the HTTP API needs no key."""
        return self.http_without_key or (self.on_loopback and self.key is None)


def local_endpoints(endpoints: AnyEndpoints, options: Options) -> dict[str, LocalEndpoint]:
    """The endpoints of a localpod by name, with the options applied. Raises `Misconfigured`."""
    given = endpoints.endpoints if isinstance(endpoints, Endpoints) else endpoints
    locals_ = {
        name: one if isinstance(one, LocalEndpoint) else LocalEndpoint.from_spec(one) for name, one in given.items()
    }
    adapted = {name: _adapted(one, options) for name, one in locals_.items()}
    if balanced := [name for name in options.attach if adapted[name].load_balancer]:
        raise Misconfigured(f"{', '.join(balanced)}: workers of a load-balancing endpoint can't be attached.")
    return adapted | {name: _attached(adapted[name]) for name in options.attach}


def _attached(endpoint: LocalEndpoint) -> LocalEndpoint:
    return replace(endpoint, attached=True, scaler=replace(endpoint.scaler, min=0, max=0))


def _adapted(endpoint: LocalEndpoint, options: Options) -> LocalEndpoint:
    if options.idle_timeout_s is not None:
        endpoint = replace(endpoint, idle_timeout_s=options.idle_timeout_s)
    if options.warm:
        endpoint = replace(endpoint, scaler=replace(endpoint.scaler, min=max(1, endpoint.scaler.min)))
    return endpoint
