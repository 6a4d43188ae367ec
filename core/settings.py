"""Settings: what a deployment is. `config.yaml` and `endpoints.yaml` say it, the environment overrides it.

Read once, in a `__main__`, and passed down; nothing else in the project looks at the environment. Every part has its
prefix (`ORCHESTRATOR_`, `SELFIE_`, `LLM_`, `ZIMAGE_`, `WORKER_`, `POLICY_`, `BUCKET_`). Secrets come from the
environment only.

May import: core.contracts, core.errors, core.weights, pydantic, pydantic-settings.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import Misconfigured

ROOT = Path(__file__).resolve().parent.parent


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# ── endpoints.yaml ───────────────────────────────────────────────────────────────────────────────────────────────────


class Pool(StrEnum):
    """The endpoints that can serve a stage, by the name of the setting `ORCHESTRATOR_<POOL>_ENDPOINT_IDS`."""

    SELFIE = "selfie"
    LLM = "llm"
    PROFILE = "profile"
    CHAT1TO1 = "chat1to1"
    SHORTS = "shorts"
    SCENES = "scenes"
    TEXT2IMG = "text2img"


class GpuSpec(Part):
    pools: tuple[str, ...] = Field(min_length=1, description="RunPod GPU pools, in order of preference.")
    exclude: tuple[str, ...] = Field(default=(), description="GPU type ids of those pools that are not wanted.")
    count: Annotated[int, Field(ge=1)] = 1


class CpuSpec(Part):
    id: Literal["cpu3c", "cpu3g", "cpu5c", "cpu5g"]
    vcpu: Annotated[int, Field(ge=2)]


class ScalerSpec(Part):
    type: Literal["queue_delay", "request_count"]
    value: Annotated[float, Field(gt=0)] = Field(description="Seconds a job may wait, or jobs per worker.")


class WorkersSpec(Part):
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=0)] = 3
    idle_timeout_s: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        default=None, description="Not taken by the platform where the scaler is `request_count`."
    )


class EndpointSpec(Part):
    handler: str = Field(description="Module that `python -m` starts as the worker.")
    image: str
    pools: tuple[Pool, ...] = ()
    gpu: GpuSpec | None = None
    cpu: CpuSpec | None = None
    scaler: ScalerSpec
    workers: WorkersSpec = WorkersSpec()
    execution_timeout_s: Annotated[float, Field(ge=5)] = 600
    flashboot: Literal["off", "flashboot", "priority_flashboot"] = "flashboot"
    container_disk_gb: Annotated[int, Field(ge=5)] | None = None
    min_cuda_version: str | None = None
    price_per_s: Annotated[float, Field(ge=0)] | None = Field(default=None, description="US dollars per worker second.")
    env: dict[str, str] = Field(default_factory=dict)
    secrets: tuple[str, ...] = Field(default=(), description="Names of environment variables filled from secrets.")

    @model_validator(mode="after")
    def _one_kind_of_hardware(self) -> EndpointSpec:
        if (self.gpu is None) == (self.cpu is None):
            raise ValueError("an endpoint needs either `gpu` or `cpu`")
        return self


class Endpoints(Part):
    """`endpoints.yaml`: name → endpoint."""

    endpoints: dict[str, EndpointSpec]

    def serving(self, pool: Pool) -> list[str]:
        return [name for name, spec in self.endpoints.items() if pool in spec.pools]


def read_yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(
            f"{path.name} can't be read ({error.strerror}); it belongs at the project's root."
        ) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        raise Misconfigured(f"{path.name} is not YAML{f' at line {where.line + 1}' if where else ''}.") from None


def load_endpoints(path: Path = ROOT / "endpoints.yaml") -> Endpoints:
    """Raises `Misconfigured`, which names the file and the field."""
    try:
        return Endpoints.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Misconfigured(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
