"""The sections of the settings, one class per prefix of environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from core.errors import Misconfigured
from core.settings.endpoints import Pool
from core.weights import Located, Model, WeightsMissing, locate

Seconds = Annotated[float, Field(gt=0)]
Names = Annotated[tuple[str, ...], NoDecode]


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], NoDecode, BeforeValidator(_split)]


class _FromEnvironment(BaseSettings):
    """The environment wins over `config.yaml`, whose part is handed in as arguments."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


class WeightsSettings(_FromEnvironment):
    """Which weights are used, and where they lie."""

    model_config = SettingsConfigDict(env_prefix="")

    weights: Literal["full", "embedded"] = Field(default="embedded", description="The production images set `full`.")
    weights_dir: Path | None = Field(default=None, description="Unset: `img-pod/weights` in the user's cache folder.")

    def locate(self, model: Model) -> Located:
        """The checked weights of `model`. Raises `Misconfigured` with what to do where they aren't there or whole."""
        try:
            return locate(self.weights, model, self.weights_dir)
        except WeightsMissing as error:
            raise Misconfigured(str(error)) from None


class WorkerSettings(_FromEnvironment):
    """How a worker talks to the platform."""

    model_config = SettingsConfigDict(env_prefix="WORKER_")

    loop: Literal["own", "stock"] = Field(
        default="own", description="`own`: event-driven job loop; `stock`: the one of the RunPod SDK."
    )
    grace_s: Seconds = Field(default=25, description="After SIGTERM, how long running jobs may take to finish.")
    max_result_bytes: Annotated[int, Field(ge=10_000)] = Field(
        default=9_500_000,
        description="A larger result is re-encoded, uploaded or refused, before the platform drops it.",
    )
    progress_interval_s: Annotated[float, Field(ge=0)] = Field(
        default=0.3, description="At most one progress report per job in this time."
    )
    replay_keep_s: Seconds = Field(
        default=600, description="How long a finished job's answer is kept for a redelivery."
    )
    replay_max_bytes: Annotated[int, Field(ge=0)] = Field(default=64_000_000, description="And how much of them.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="What is logged.")


class DeviceSettings(_FromEnvironment):
    """How one worker uses its device. Each worker has its own prefix."""

    device: str | None = Field(default=None, description="A torch device; unset: CUDA where there is one, else CPU.")
    concurrency: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Jobs taken at a time, the running included."
    )
    max_batch: Annotated[int, Field(ge=1)] = Field(default=1, description="Jobs that may run as one batch.")
    batch_window_s: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="How long, at most, a batch waits for the jobs that lately came with it."
    )
    threads: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="CPU threads; unset: torch's default."
    )


class SelfieSettings(DeviceSettings):
    """The selfie worker, and what the orchestrator asks of its answers."""

    model_config = SettingsConfigDict(env_prefix="SELFIE_")

    min_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.4, description="An attribute read with less is `unknown`."
    )
    url_ports: Ports = Field(default=(443,), description="Ports that a selfie's URL may name.")


class LlmSettings(DeviceSettings):
    """The llm worker."""

    model_config = SettingsConfigDict(env_prefix="LLM_")

    concurrency: Annotated[int, Field(ge=1)] = Field(
        default=8, description="Jobs taken at a time, the running included."
    )
    max_batch: Annotated[int, Field(ge=1)] = Field(default=8, description="Jobs that may run as one batch.")
    classifier: Literal["none", "guard"] = Field(
        default="guard",
        description="`guard`: the profile's text classifier beside the rules; the same for the orchestrator.",
    )


class ZimageSettings(DeviceSettings):
    """The zimage worker."""

    model_config = SettingsConfigDict(env_prefix="ZIMAGE_")

    unsafe_threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.85, description="From this score on, a moderated picture is generated once more, then refused."
    )
    encoder_quantization: Literal["none", "int8", "fp8"] = Field(
        default="none", description="8-bit weights for the text encoder: 3.3 GiB less memory. Not measured on a GPU."
    )
    transformer_quantization: Literal["none", "int8", "fp8"] = Field(
        default="none",
        description="8-bit weights and activations (W8A8) for the transformer. Not measured on a GPU.",
    )
    channels_last: bool = Field(
        default=False, description="Store the VAE's weights channels-last. Not measured on a GPU."
    )
    compile: bool = Field(
        default=False,
        description="Compile the transformer's blocks at start; needs an image built with COMPILER=true. "
        "Not measured on a GPU.",
    )


class PolicySettings(_FromEnvironment):
    """What the content policy needs beside its rules."""

    model_config = SettingsConfigDict(env_prefix="POLICY_")

    signing_key: SecretStr | None = Field(
        default=None, description="Signs the features that `profile/create` returns; the same key in every worker."
    )
    minor_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.3, description="From this probability of `under_18` on, a profile or a picture is refused."
    )
    age_check_score: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="From this output score on, a picture's people are read for age before it is released.",
    )
    audit_file: Path | None = Field(
        default=None, description="Refusals as JSON lines: hashes and categories, no words."
    )

    unsupported_language: Literal["auto", "classify", "translate", "refuse"] = Field(
        default="auto",
        description="What happens to a text in a language without rules: `classify`: the text classifier judges it, "
        "`translate`: the llm brings it to English first, `refuse`: `language_not_supported`. `auto` is the first that "
        "the full weights have, and `refuse` for the embedded ones.",
    )

    @property
    def key(self) -> bytes | None:
        return self.signing_key.get_secret_value().encode() if self.signing_key else None


class OrchestratorSettings(_FromEnvironment):
    """How requests are chained. `<pool>_endpoint_ids` are comma-separated endpoint ids, taken round robin."""

    model_config = SettingsConfigDict(env_prefix="ORCHESTRATOR_")

    selfie_endpoint_ids: Names = Field(default=(), description="Where selfies are read.")
    llm_endpoint_ids: Names = Field(default=(), description="Where prompts and captions are written.")
    profile_endpoint_ids: Names = Field(default=(), description="Where `profile/create` has its pictures painted.")
    chat1to1_endpoint_ids: Names = Field(default=(), description="Where `chat/1to1/imagegen` has its pictures painted.")
    shorts_endpoint_ids: Names = Field(default=(), description="Where `chat/shorts/generate` has its pictures painted.")
    scenes_endpoint_ids: Names = Field(default=(), description="Where `chat/scenes/generate` has its pictures painted.")
    text2img_endpoint_ids: Names = Field(
        default=(), description="Where `chat/private/imagegen` and `imagegen` have their pictures painted."
    )

    concurrency: Annotated[int, Field(ge=1)] = Field(default=50, description="Requests taken at a time.")
    timeout_s: Annotated[float, Field(ge=1, le=900)] = Field(default=300, description="For requests that name none.")
    analyze_limit_s: Seconds | None = Field(
        default=None, description="How long the stage may run; unset: by the weights."
    )
    expand_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    moderate_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    caption_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    check_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    generate_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    queue_allowance_s: Seconds = Field(default=180, description="A stage's allowance for queue and cold start.")
    route_capacity: Annotated[int, Field(ge=1)] = Field(
        default=32, description="Requests of one route at a time; more are answered `queue_full`."
    )
    retry_after_cap_ms: Annotated[int, Field(ge=100)] = Field(
        default=30_000, description="The longest wait that a busy answer advises."
    )
    retry_budget: Annotated[float, Field(ge=0, le=1)] = Field(default=0.2, description="Retries per first attempt.")
    circuit_failures: Annotated[int, Field(ge=1)] = Field(
        default=5, description="In a row, that open an endpoint's circuit."
    )
    circuit_open_s: Seconds = Field(default=20, description="Until an open circuit lets one call through.")
    keep_results_s: Seconds = Field(default=3600, description="How long an idempotency key's answer is kept.")
    ledger: Literal["memory", "s3"] = Field(
        default="memory",
        description="Where those answers are: in each process, or for all of them in the storage of BUCKET_*.",
    )
    otlp_endpoint: str | None = Field(
        default=None, description="Traces are sent there over OTLP/HTTP, such as http://collector:4318/v1/traces."
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="Signs webhooks: `whsec_…`, from `python -m http_api webhook-secret`."
    )
    wake_pools: bool = Field(
        default=False, description="Wake the picture pool while the prompt is written. It bills: off by default."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _comma_separated(cls, value: object, info: ValidationInfo) -> object:
        if (info.field_name or "").endswith("_endpoint_ids") and isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def endpoint_ids(self, pool: Pool) -> tuple[str, ...]:
        """Raises `Misconfigured` where none is set."""
        ids: tuple[str, ...] = getattr(self, f"{pool}_endpoint_ids")
        if not ids:
            raise Misconfigured(f"No endpoint serves pool {pool}: set ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS.")
        return ids


class HttpSettings(_FromEnvironment):
    """The HTTP API, `python -m http_api`."""

    model_config = SettingsConfigDict(env_prefix="HTTP_")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8000, description="Port to listen on; on a load-balancing endpoint, the same as `PORT`."
    )
    keys_file: Path | None = Field(default=None, description="Hashes and limits of the callers' API keys; unset: none.")
    allow_without_keys: bool = Field(
        default=False, description="Listen beyond loopback without keys: where something in front checks callers."
    )
    wait_s: Annotated[float, Field(ge=1, le=900)] = Field(
        default=300, description="The longest that a request waits for its answer; RunPod cuts connections at 330 s."
    )
    body_timeout_s: Seconds = Field(default=30, description="How long a request's body may take to arrive.")
    keep_jobs_s: Seconds = Field(default=1800, description="How long a job is kept after its end.")
    keep_jobs_bytes: Annotated[int, Field(ge=1_000_000)] = Field(
        default=256_000_000, description="And how many bytes of results."
    )
    drain_s: Seconds = Field(default=25, description="After SIGTERM, how long running requests may take to finish.")
    results_folder: Path | None = Field(
        default=None, description="Results that the playground puts into its gallery, as `./demo` writes them to `out`."
    )


MAX_URL_EXPIRY_S = 7 * 24 * 3600
"""The longest that a URL presigned by signature version 4 may live."""


class StorageSettings(_FromEnvironment):
    """The deployment's bucket, from `BUCKET_*`: the SDK's own three names, and what they leave open."""

    model_config = SettingsConfigDict(env_prefix="BUCKET_", hide_input_in_errors=True)

    endpoint_url: str | None = Field(
        default=None, description="Such as https://my-bucket.s3.eu-west-1.amazonaws.com; unset, nothing is stored."
    )
    access_key_id: str | None = Field(default=None, description="A key that may write into the bucket.")
    secret_access_key: SecretStr | None = Field(default=None, description="That key's secret.")
    name: str | None = Field(default=None, description="The bucket, where the endpoint's URL does not hold it.")
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_/-]*$", description="Folder within the bucket.")
    region: str | None = Field(default=None, description="Unset, it is read from the endpoint's host.")
    public_url: str | None = Field(default=None, description="Base of a public bucket: its URLs are not presigned.")
    url_expiry_s: Annotated[int, Field(ge=1, le=MAX_URL_EXPIRY_S)] = Field(
        default=MAX_URL_EXPIRY_S, description="How long a presigned URL opens."
    )
    timeout_s: Annotated[float, Field(gt=0, le=300)] = Field(default=30, description="For one attempt at an upload.")
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(default=3, description="At an upload, before it has failed.")
    allow_private: bool = Field(
        default=False, description="Let a job's own bucket be on a private network, on http, or on any port."
    )
    job_ports: Ports = Field(default=(443,), description="Ports that the endpoint of a job's own bucket may name.")


class SigningSettings(_FromEnvironment):
    """Who signs pictures, from `C2PA_*`."""

    model_config = SettingsConfigDict(env_prefix="C2PA_", hide_input_in_errors=True)

    certificates: str | None = Field(default=None, description="PEM chain, signer first, or the path of its file.")
    private_key: SecretStr | None = Field(default=None, description="PEM, PKCS #8, or the path of its file.")
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = Field(
        default="es256", description="Of the key."
    )
    timestamp_url: str | None = Field(
        default=None, description="RFC 3161 authority; keeps a signature valid after the certificate has expired."
    )


class PlatformSettings(_FromEnvironment):
    """Where RunPod is, by the SDK's own names."""

    model_config = SettingsConfigDict(env_prefix="RUNPOD_")

    endpoint_base_url: str = Field(
        default="https://api.runpod.ai/v2", description="localpod's, to work on one machine."
    )
    api_key: SecretStr | None = Field(default=None, description="A key restricted to the workers' endpoints.")
    ai_api_key: SecretStr | None = Field(
        default=None, description="The worker's own key; serves when `api_key` is unset."
    )
    endpoint_id: str | None = Field(default=None, description="Set by the platform: logs are then JSON.")
    pod_id: str | None = Field(default=None, description="Set by the platform: the worker's id.")
    webhook_get_job: str | None = Field(default=None, description="Set by the platform; unset, one local job is tried.")

    @property
    def key(self) -> str:
        """Raises `Misconfigured` where neither key is set."""
        secret = self.api_key or self.ai_api_key
        if secret is None:
            raise Misconfigured("Set RUNPOD_API_KEY to a RunPod key that may call the workers' endpoints.")
        return secret.get_secret_value()
