"""The local form of an endpoint, and the environment of its workers.

The variables are RunPod's (SDK 1.12.0: `rp_job.py`, `rp_http.py`, `rp_ping.py` read these names). The `RUNPOD_*` and
`BUCKET_*` of the calling shell are excluded, so that production settings don't reach a local worker by accident.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote_plus

from core.settings import EndpointSpec, Pool
from localpod.scaling import Scaler

EXCLUDED_PREFIXES = ("RUNPOD_", "BUCKET_")
IDLE_TIMEOUT_S = 5.0
"""RunPod's default; also used where `endpoints.yaml` may not set one (scaler `request_count`)."""


HTTP_HANDLER = "http_api"
HTTP_REQUESTS_PER_WORKER = 50


@dataclass(frozen=True)
class LocalEndpoint:
    """An endpoint. `handler` is a module for `python -m`, or a whole command.

    `calls_others` gives its workers the API key and the endpoint ids of the pools. Workers of an `attached` endpoint
    are started elsewhere, for example in containers: every process with the worker key that requests jobs is one. A
    worker of a `load_balancer` endpoint is an HTTP server on 127.0.0.1, port `PORT`, that answers `/ping`.
    """

    handler: str | tuple[str, ...]
    scaler: Scaler = field(default_factory=Scaler)
    idle_timeout_s: float = IDLE_TIMEOUT_S
    execution_timeout_s: float = 600.0
    gpu: str = "CPU"
    pools: tuple[str, ...] = ()
    calls_others: bool = False
    attached: bool = False
    load_balancer: bool = False
    secrets: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_spec(cls, spec: EndpointSpec) -> Self:
        workers = spec.workers
        return cls(
            handler=spec.handler,
            scaler=Scaler(spec.scaler.type, spec.scaler.value, workers.min, workers.max),
            idle_timeout_s=workers.idle_timeout_s or IDLE_TIMEOUT_S,
            execution_timeout_s=spec.execution_timeout_s,
            gpu=spec.gpu.pools[0] if spec.gpu else "CPU",
            pools=tuple(pool.value for pool in spec.pools),
            calls_others="RUNPOD_API_KEY" in spec.secrets,
            load_balancer=spec.type == "load_balancer",
            secrets=spec.secrets,
            env=spec.env,
        )

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", self.handler] if isinstance(self.handler, str) else list(self.handler)


@dataclass(frozen=True)
class Platform:
    """The platform's part of a worker's environment. The SDK sends `worker_key` as Authorization, without `Bearer`."""

    base_url: str
    key: str
    worker_key: str
    pools: Mapping[str, str]
    mark: str
    ping_interval_s: float
    share_env: Collection[str] = ()

    def caller_environment(self) -> dict[str, str]:
        """Variables for a program that calls the endpoints; `localpod run -- CMD` sets them too."""
        return {"RUNPOD_ENDPOINT_BASE_URL": self.base_url, "RUNPOD_API_KEY": self.key, **self.pools}


def pool_variables(endpoints: Mapping[str, LocalEndpoint]) -> dict[str, str]:
    """`ORCHESTRATOR_<POOL>_ENDPOINT_IDS`; on localpod the id of an endpoint is its name."""
    serving = {pool: [name for name, endpoint in endpoints.items() if pool in endpoint.pools] for pool in Pool}
    return {f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS": ",".join(names) for pool, names in serving.items() if names}


def _excluded(name: str) -> bool:
    return name.startswith(EXCLUDED_PREFIXES) or name.endswith("_ENDPOINT_IDS")


def worker_environment(
    name: str,
    endpoint: LocalEndpoint,
    worker_id: str,
    platform: Platform,
    inherited: Mapping[str, str],
    *,
    port: int | None = None,
) -> dict[str, str]:
    """The whole environment of a worker process. `port` is that of a load-balancing endpoint's worker."""
    shared = {*platform.share_env, *endpoint.secrets} - {"RUNPOD_API_KEY"}  # never the key of the calling shell
    env = {key: value for key, value in inherited.items() if key in shared or not _excluded(key)}
    env |= {
        "PYTHONUNBUFFERED": "1",
        "LOCALPOD_MARK": platform.mark,
        "RUNPOD_ENDPOINT_BASE_URL": platform.base_url,
        "RUNPOD_ENDPOINT_ID": name,
        "RUNPOD_POD_ID": worker_id,
        "RUNPOD_POD_HOSTNAME": f"{worker_id}-localpod",
        "RUNPOD_LOG_LEVEL": "INFO",
    }
    if port is None:
        env |= _queue_variables(name, endpoint, platform)
    if endpoint.calls_others:
        env |= platform.caller_environment()
    return env | dict(endpoint.env) | ({} if port is None else _http_variables(port))


def _queue_variables(name: str, endpoint: LocalEndpoint, platform: Platform) -> dict[str, str]:
    url, gpu = f"{platform.base_url}/{name}", quote_plus(endpoint.gpu)
    return {
        "RUNPOD_AI_API_KEY": platform.worker_key,
        "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu={gpu}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu={gpu}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$RUNPOD_POD_ID/$ID?gpu={gpu}",
        "RUNPOD_WEBHOOK_PING": f"{url}/ping/$RUNPOD_POD_ID",
        # The SDK rounds down to whole seconds, and pings without a pause at 0.
        "RUNPOD_PING_INTERVAL": str(round(max(1.0, platform.ping_interval_s) * 1000)),
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }


def _http_variables(port: int) -> dict[str, str]:
    """Variables of an HTTP worker. They override the endpoint's own, which are for RunPod's network."""
    return {
        "PORT": str(port),
        "PORT_HEALTH": str(port),
        "HEALTH_CHECK_PATH": "/ping",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
    }


def http_endpoint(orchestrator: EndpointSpec) -> LocalEndpoint:
    """A load-balancing endpoint for the HTTP API, with the environment of a queue orchestrator.

    Its one worker always runs, so that the first request doesn't wait and no asynchronous job in its memory is lost.
    """
    return LocalEndpoint(
        handler=HTTP_HANDLER,
        scaler=Scaler("request_count", HTTP_REQUESTS_PER_WORKER, 1, 1),
        load_balancer=True,
        calls_others=True,
        secrets=orchestrator.secrets,
        env=orchestrator.env,
    )
