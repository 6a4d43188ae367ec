"""The list of endpoints in `endpoints.yaml`: hardware, scaling, pools and prices."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from core.errors import Misconfigured

ROOT = Path(__file__).resolve().parents[2]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Pool(StrEnum):
    """Names of the pools. A pool's endpoints are set by `ORCHESTRATOR_<POOL>_ENDPOINT_IDS`."""

    SELFIE = "selfie"
    LLM = "llm"
    PROFILE = "profile"
    CHAT1TO1 = "chat1to1"
    SHORTS = "shorts"
    SCENES = "scenes"
    TEXT2IMG = "text2img"


class GpuSpec(Part):
    pools: tuple[str, ...] = Field(min_length=1, description="RunPod GPU pools, in order of preference.")
    exclude: tuple[str, ...] = Field(default=(), description="GPU type ids of these pools that are not used.")
    count: Annotated[int, Field(ge=1)] = Field(default=1, description="GPUs per worker.")


class CpuSpec(Part):
    id: Literal["cpu3c", "cpu3g", "cpu5c", "cpu5g"] = Field(description="RunPod CPU flavour.")
    vcpu: Annotated[int, Field(ge=2)] = Field(description="Virtual CPUs per worker.")


class ScalerSpec(Part):
    type: Literal["queue_delay", "request_count"] = Field(description="Measure that controls the number of workers.")
    value: Annotated[float, Field(gt=0)] = Field(description="Seconds that a job may wait, or jobs per worker.")


class WorkersSpec(Part):
    min: Annotated[int, Field(ge=0)] = Field(default=0, description="Workers that always run and are always billed.")
    max: Annotated[int, Field(ge=0)] = Field(default=3, description="Largest number of workers.")
    idle_timeout_s: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        default=None,
        description="Time after which an idle worker stops. The platform refuses it for a queue with `request_count`.",
    )


class EndpointSpec(Part):
    type: Literal["queue", "load_balancer"] = Field(
        default="queue", description="Runs jobs from the platform's queue, or an HTTP server behind its load balancer."
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=8000, description="Port of the HTTP server of a `load_balancer` endpoint."
    )
    handler: str = Field(description="Module that `python -m` starts as the worker.")
    image: str = Field(description="Name of the container image, without registry and tag.")
    pools: tuple[Pool, ...] = Field(default=(), description="Pools that the endpoint serves.")
    gpu: GpuSpec | None = Field(default=None, description="GPU hardware; either `gpu` or `cpu` is required.")
    cpu: CpuSpec | None = Field(default=None, description="CPU hardware; either `gpu` or `cpu` is required.")
    scaler: ScalerSpec = Field(description="Scaling rule of the workers.")
    workers: WorkersSpec = Field(default=WorkersSpec(), description="Number of workers, and their idle time-out.")
    execution_timeout_s: Annotated[float, Field(ge=5)] = Field(
        default=600, description="The platform's time limit for one job."
    )
    flashboot: Literal["off", "flashboot", "priority_flashboot"] = Field(
        default="flashboot", description="RunPod's faster cold start."
    )
    container_disk_gb: Annotated[int, Field(ge=5)] | None = Field(
        default=None, description="Size of the container's disk; unset: the platform's default."
    )
    min_cuda_version: str | None = Field(default=None, description="Excludes hosts with an older driver.")
    price_per_s: Annotated[float, Field(ge=0)] | None = Field(default=None, description="US dollars per worker second.")
    env: dict[str, str] = Field(default_factory=dict, description="Variables set in its workers; no secrets.")
    secrets: tuple[str, ...] = Field(default=(), description="Names of environment variables filled from secrets.")

    @property
    def calls_others(self) -> bool:
        """Whether its workers get the platform's key and the pools' endpoint ids."""
        return "RUNPOD_API_KEY" in self.secrets

    @model_validator(mode="after")
    def _one_kind_of_hardware(self) -> EndpointSpec:
        if (self.gpu is None) == (self.cpu is None):
            raise ValueError("an endpoint needs either `gpu` or `cpu`")
        return self

    @model_validator(mode="after")
    def _load_balancer_counts_requests(self) -> EndpointSpec:
        if self.type == "load_balancer" and self.scaler.type != "request_count":
            raise ValueError("a `load_balancer` endpoint needs the scaler `request_count`")
        return self


class Endpoints(Part):
    """`endpoints.yaml`: name → endpoint."""

    endpoints: dict[str, EndpointSpec] = Field(description="Endpoints by name.")

    def serving(self, pool: Pool) -> list[str]:
        return [name for name, spec in self.endpoints.items() if pool in spec.pools]


def read_yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(
            f"{path.name} can't be read ({error.strerror}); put it into the project's root folder."
        ) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        raise Misconfigured(f"{path.name} is not YAML{f' at line {where.line + 1}' if where else ''}.") from None


def load_endpoints(path: Path = ROOT / "endpoints.yaml") -> Endpoints:
    """Load `endpoints.yaml`. Raises `Misconfigured`, which names the file and the field."""
    try:
        return Endpoints.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Misconfigured(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
