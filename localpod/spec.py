"""An endpoint as localpod runs it, and the environment its workers are born into.

The environment is RunPod's own (SDK 1.12.0: `rp_job.py`, `rp_http.py`, `rp_ping.py` read these names); the caller's
`RUNPOD_*` and `BUCKET_*` stay outside, so that a laptop's production settings don't reach a local worker by accident.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote_plus

from core.settings import EndpointSpec, Pool
from localpod.scaling import Scaler

KEPT_OUTSIDE = ("RUNPOD_", "BUCKET_")
IDLE_TIMEOUT_S = 5.0
"""RunPod's default; it also stands where `endpoints.yaml` may not name one (scaler `request_count`)."""


@dataclass(frozen=True)
class LocalEndpoint:
    """`handler` is a module for `python -m`, or a whole command. `calls_others` gives its workers the key and pools.

    Workers of an `attached` endpoint are started by somebody else, in containers say: whoever asks for jobs is one.
    """

    handler: str | tuple[str, ...]
    scaler: Scaler = field(default_factory=Scaler)
    idle_timeout_s: float = IDLE_TIMEOUT_S
    execution_timeout_s: float = 600.0
    gpu: str = "CPU"
    pools: tuple[str, ...] = ()
    calls_others: bool = False
    attached: bool = False
    secrets: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: EndpointSpec) -> Self:
        workers = spec.workers
        return cls(
            handler=spec.handler,
            scaler=Scaler(spec.scaler.type, spec.scaler.value, workers.min, workers.max),
            idle_timeout_s=workers.idle_timeout_s or IDLE_TIMEOUT_S,
            execution_timeout_s=spec.execution_timeout_s,
            gpu=spec.gpu.pools[0] if spec.gpu else "CPU",
            pools=tuple(pool.value for pool in spec.pools),
            calls_others="RUNPOD_API_KEY" in spec.secrets,
            secrets=spec.secrets,
            env=spec.env,
        )

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", self.handler] if isinstance(self.handler, str) else list(self.handler)


@dataclass(frozen=True)
class Platform:
    """What every worker is told about the platform. `worker_key` is what its SDK sends, raw, as Authorization."""

    base_url: str
    key: str
    worker_key: str
    pools: Mapping[str, str]
    mark: str
    ping_interval_s: float
    share_env: Collection[str] = ()

    def for_caller(self) -> dict[str, str]:
        """What a program needs to call the endpoints: also what `localpod run -- CMD` sets."""
        return {"RUNPOD_ENDPOINT_BASE_URL": self.base_url, "RUNPOD_API_KEY": self.key, **self.pools}


def pool_variables(endpoints: Mapping[str, LocalEndpoint]) -> dict[str, str]:
    """`ORCHESTRATOR_<POOL>_ENDPOINT_IDS`: on localpod an endpoint's id is its name."""
    serving = {pool: [name for name, endpoint in endpoints.items() if pool in endpoint.pools] for pool in Pool}
    return {f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS": ",".join(names) for pool, names in serving.items() if names}


def _kept_outside(name: str) -> bool:
    return name.startswith(KEPT_OUTSIDE) or name.endswith("_ENDPOINT_IDS")


def worker_environment(
    name: str, endpoint: LocalEndpoint, worker_id: str, platform: Platform, inherited: Mapping[str, str]
) -> dict[str, str]:
    shared = {*platform.share_env, *endpoint.secrets} - {"RUNPOD_API_KEY"}  # the caller's own key stays outside
    env = {key: value for key, value in inherited.items() if key in shared or not _kept_outside(key)}
    at, gpu = f"{platform.base_url}/{name}", quote_plus(endpoint.gpu)
    env |= {
        "PYTHONUNBUFFERED": "1",
        "LOCALPOD_MARK": platform.mark,
        "RUNPOD_ENDPOINT_BASE_URL": platform.base_url,
        "RUNPOD_ENDPOINT_ID": name,
        "RUNPOD_POD_ID": worker_id,
        "RUNPOD_POD_HOSTNAME": f"{worker_id}-localpod",
        "RUNPOD_AI_API_KEY": platform.worker_key,
        "RUNPOD_WEBHOOK_GET_JOB": f"{at}/job-take/$ID?gpu={gpu}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{at}/job-done/$RUNPOD_POD_ID/$ID?gpu={gpu}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{at}/job-stream/$RUNPOD_POD_ID/$ID?gpu={gpu}",
        "RUNPOD_WEBHOOK_PING": f"{at}/ping/$RUNPOD_POD_ID",
        # The SDK counts whole seconds, and pings without a pause where that makes none.
        "RUNPOD_PING_INTERVAL": str(round(max(1.0, platform.ping_interval_s) * 1000)),
        "RUNPOD_LOG_LEVEL": "INFO",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }
    if endpoint.calls_others:
        env |= platform.for_caller()
    return env | dict(endpoint.env)
