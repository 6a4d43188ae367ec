"""Settings of a deployment: `config.yaml` and `endpoints.yaml`, overridden by the environment.

Read once, in a `__main__`, and passed down; nothing else in the project reads the environment. Every section has a
prefix (`ORCHESTRATOR_`, `HTTP_`, `SELFIE_`, `LLM_`, `ZIMAGE_`, `WORKER_`, `POLICY_`, `BUCKET_`, `C2PA_`). Secrets come
from the environment only.

May import: core.contracts, core.errors, core.weights, pydantic, pydantic-settings.
"""

from __future__ import annotations

from core.settings.endpoints import (
    ROOT,
    CpuSpec,
    Endpoints,
    EndpointSpec,
    GpuSpec,
    Part,
    Pool,
    ScalerSpec,
    WorkersSpec,
    load_endpoints,
    read_yaml,
)
from core.settings.loading import STAGE_LIMITS_S, Settings, load_settings, secret_settings
from core.settings.sections import (
    MAX_URL_EXPIRY_S,
    DeviceSettings,
    HttpSettings,
    LlmSettings,
    Names,
    OrchestratorSettings,
    PlatformSettings,
    PolicySettings,
    Seconds,
    SelfieSettings,
    SigningSettings,
    StorageSettings,
    WeightsSettings,
    WorkerSettings,
    ZimageSettings,
)

__all__ = [
    "MAX_URL_EXPIRY_S",
    "ROOT",
    "STAGE_LIMITS_S",
    "CpuSpec",
    "DeviceSettings",
    "EndpointSpec",
    "Endpoints",
    "GpuSpec",
    "HttpSettings",
    "LlmSettings",
    "Names",
    "OrchestratorSettings",
    "Part",
    "PlatformSettings",
    "PolicySettings",
    "Pool",
    "ScalerSpec",
    "Seconds",
    "SelfieSettings",
    "Settings",
    "SigningSettings",
    "StorageSettings",
    "WeightsSettings",
    "WorkerSettings",
    "WorkersSpec",
    "ZimageSettings",
    "load_endpoints",
    "load_settings",
    "read_yaml",
    "secret_settings",
]
