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
    """Base of the sections. The environment overrides `config.yaml`, whose section is passed as arguments."""

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
    """The weights profile and the weights' folder."""

    model_config = SettingsConfigDict(env_prefix="")

    weights: Literal["full", "embedded"] = Field(
        default="embedded", description="Weights profile; the production images set `full`."
    )
    weights_dir: Path | None = Field(
        default=None, description="Folder of the weights; unset: `img-pod/weights` in the user's cache folder."
    )

    def locate(self, model: Model) -> Located:
        """The verified weights of `model`. Raises `Misconfigured` if they are missing or incomplete."""
        try:
            return locate(self.weights, model, self.weights_dir)
        except WeightsMissing as error:
            raise Misconfigured(str(error)) from None


class WorkerSettings(_FromEnvironment):
    """A worker's connection to the platform."""

    model_config = SettingsConfigDict(env_prefix="WORKER_")

    loop: Literal["own", "stock"] = Field(
        default="own", description="`own`: event-driven job loop; `stock`: the RunPod SDK's job loop."
    )
    grace_s: Seconds = Field(default=25, description="Time for running jobs to finish after SIGTERM.")
    max_result_bytes: Annotated[int, Field(ge=10_000)] = Field(
        default=9_500_000,
        description="A larger result is re-encoded, uploaded or refused, before the platform drops it.",
    )
    progress_interval_s: Annotated[float, Field(ge=0)] = Field(
        default=0.3, description="Shortest time between two progress reports of a job."
    )
    replay_keep_s: Seconds = Field(
        default=600, description="Time for which a finished job's answer is kept for a redelivery."
    )
    replay_max_bytes: Annotated[int, Field(ge=0)] = Field(
        default=64_000_000, description="Largest total size of the answers that are kept for redeliveries."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level logged.")


class DeviceSettings(_FromEnvironment):
    """A worker's use of its device. Each worker has its own prefix."""

    device: str | None = Field(default=None, description="A torch device; unset: CUDA if available, else CPU.")
    concurrency: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Jobs taken at a time, running jobs included."
    )
    max_batch: Annotated[int, Field(ge=1)] = Field(default=1, description="Largest number of jobs in a batch.")
    batch_window_s: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="Longest time that a batch waits for the callers of the previous batch."
    )
    threads: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="CPU threads; unset: torch's default."
    )


class SelfieSettings(DeviceSettings):
    """The selfie worker."""

    model_config = SettingsConfigDict(env_prefix="SELFIE_")

    min_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.4, description="An attribute with a lower confidence is `unknown`."
    )
    calibration_file: Path | None = Field(
        default=None,
        description="Calibration written by `python -m tools.calibrate`; unset: the checkpoint's own, if it has one.",
    )
    url_ports: Ports = Field(default=(443,), description="Ports that a selfie's URL may use.")


class LlmSettings(DeviceSettings):
    """The llm worker."""

    model_config = SettingsConfigDict(env_prefix="LLM_")

    concurrency: Annotated[int, Field(ge=1)] = Field(
        default=8, description="Jobs taken at a time, running jobs included."
    )
    max_batch: Annotated[int, Field(ge=1)] = Field(default=8, description="Largest number of jobs in a batch.")
    classifier: Literal["none", "guard"] = Field(
        default="guard",
        description="`guard`: use a text classifier in addition to the rules. The orchestrator needs the same value.",
    )


class ZimageSettings(DeviceSettings):
    """The zimage worker."""

    model_config = SettingsConfigDict(env_prefix="ZIMAGE_")

    unsafe_threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.85, description="A moderated picture with this score or more is generated once more, then refused."
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
    """The content policy."""

    model_config = SettingsConfigDict(env_prefix="POLICY_")

    signing_key: SecretStr | None = Field(
        default=None, description="Key that signs the features of `profile/create`; the same key in every worker."
    )
    minor_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.3, description="A profile or a picture with this probability of `under_18` or more is refused."
    )
    age_check_score: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="A picture with this output score or more is released only after an age check of its people.",
    )
    audit_file: Path | None = Field(
        default=None, description="File for refusals as JSON lines: hashes and categories, no words."
    )

    unsupported_language: Literal["auto", "classify", "translate", "refuse"] = Field(
        default="auto",
        description="Treatment of a text in a language without rules. `classify`: check it with the text classifier; "
        "`translate`: translate it to English first; `refuse`: `language_not_supported`. `auto`: `classify` with full "
        "weights (`translate` if `LLM_CLASSIFIER=none`), `refuse` with embedded weights.",
    )

    @property
    def key(self) -> bytes | None:
        return self.signing_key.get_secret_value().encode() if self.signing_key else None


class OrchestratorSettings(_FromEnvironment):
    """The orchestrator. `<pool>_endpoint_ids` are comma-separated endpoint ids, used round robin."""

    model_config = SettingsConfigDict(env_prefix="ORCHESTRATOR_")

    selfie_endpoint_ids: Names = Field(default=(), description="Endpoints that analyse selfies.")
    llm_endpoint_ids: Names = Field(default=(), description="Endpoints that write prompts and captions.")
    profile_endpoint_ids: Names = Field(default=(), description="Endpoints for pictures of `profile/create`.")
    chat1to1_endpoint_ids: Names = Field(default=(), description="Endpoints for pictures of `chat/1to1/imagegen`.")
    shorts_endpoint_ids: Names = Field(default=(), description="Endpoints for pictures of `chat/shorts/generate`.")
    scenes_endpoint_ids: Names = Field(default=(), description="Endpoints for pictures of `chat/scenes/generate`.")
    text2img_endpoint_ids: Names = Field(
        default=(), description="Endpoints for pictures of `chat/private/imagegen` and `imagegen`."
    )

    concurrency: Annotated[int, Field(ge=1)] = Field(default=50, description="Requests taken at a time.")
    timeout_s: Annotated[float, Field(ge=1, le=900)] = Field(
        default=300, description="Time limit of requests without `timeout_s`."
    )
    analyze_limit_s: Seconds | None = Field(
        default=None, description="Time limit of the stage's execution; unset: a default for the weights profile."
    )
    expand_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    moderate_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    caption_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    check_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    generate_limit_s: Seconds | None = Field(default=None, description="As `analyze_limit_s`.")
    queue_allowance_s: Seconds = Field(default=180, description="Longest time of a stage in queue and cold start.")
    route_capacity: Annotated[int, Field(ge=1)] = Field(
        default=32, description="Requests of one route at a time; more get the error `queue_full`."
    )
    retry_after_cap_ms: Annotated[int, Field(ge=100)] = Field(
        default=30_000, description="Largest `retry_after_ms` of an error."
    )
    retry_budget: Annotated[float, Field(ge=0, le=1)] = Field(default=0.2, description="Retries per first attempt.")
    circuit_failures: Annotated[int, Field(ge=1)] = Field(
        default=5, description="Failures in a row that open an endpoint's circuit."
    )
    circuit_open_s: Seconds = Field(default=20, description="Time until an open circuit allows one test call.")
    keep_results_s: Seconds = Field(default=3600, description="Time for which an idempotency key's answer is kept.")
    ledger: Literal["memory", "s3"] = Field(
        default="memory",
        description="Storage of idempotent answers: `memory` of each process, or shared in the bucket of BUCKET_*.",
    )
    otlp_endpoint: str | None = Field(
        default=None, description="OTLP/HTTP address for traces, such as http://collector:4318/v1/traces."
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="Secret that signs webhooks: `whsec_…`, from `python -m http_api webhook-secret`."
    )
    wake_pools: bool = Field(
        default=False, description="Start a worker of the picture pool while the prompt is written; billed, so off."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _comma_separated(cls, value: object, info: ValidationInfo) -> object:
        if (info.field_name or "").endswith("_endpoint_ids") and isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def endpoint_ids(self, pool: Pool) -> tuple[str, ...]:
        """Endpoint ids of `pool`. Raises `Misconfigured` if there are none."""
        ids: tuple[str, ...] = getattr(self, f"{pool}_endpoint_ids")
        if not ids:
            raise Misconfigured(f"Pool {pool} has no endpoint: set ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS.")
        return ids


class HttpSettings(_FromEnvironment):
    """The HTTP API, `python -m http_api`."""

    model_config = SettingsConfigDict(env_prefix="HTTP_")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8000, description="Port to listen on; on a load-balancing endpoint, the same as `PORT`."
    )
    keys_file: Path | None = Field(
        default=None, description="File with hashes and limits of the callers' API keys; unset: no keys."
    )
    allow_without_keys: bool = Field(
        default=False, description="Listen beyond loopback without keys, if a proxy in front authenticates callers."
    )
    wait_s: Annotated[float, Field(ge=1, le=900)] = Field(
        default=300, description="Longest time that a request waits for its answer; RunPod closes connections at 330 s."
    )
    body_timeout_s: Seconds = Field(default=30, description="Longest time to receive a request's body.")
    keep_jobs_s: Seconds = Field(default=1800, description="Time for which a job is kept after its end.")
    keep_jobs_bytes: Annotated[int, Field(ge=1_000_000)] = Field(
        default=256_000_000, description="Largest total size of the results that are kept."
    )
    drain_s: Seconds = Field(default=25, description="Time for running requests to finish after SIGTERM.")
    results_folder: Path | None = Field(
        default=None, description="Folder of results for the playground's gallery; `./demo` writes them to `out`."
    )


MAX_URL_EXPIRY_S = 7 * 24 * 3600
"""The longest lifetime of a URL that is presigned with signature version 4."""


class StorageSettings(_FromEnvironment):
    """The deployment's bucket, from `BUCKET_*`. The SDK uses the first three names too."""

    model_config = SettingsConfigDict(env_prefix="BUCKET_", hide_input_in_errors=True)

    endpoint_url: str | None = Field(
        default=None, description="Such as https://my-bucket.s3.eu-west-1.amazonaws.com; unset: no storage."
    )
    access_key_id: str | None = Field(default=None, description="Id of a key that may write into the bucket.")
    secret_access_key: SecretStr | None = Field(default=None, description="The key's secret.")
    name: str | None = Field(default=None, description="Name of the bucket, if the endpoint's URL has none.")
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_/-]*$", description="Folder within the bucket.")
    region: str | None = Field(default=None, description="Region; unset: read from the endpoint's host.")
    public_url: str | None = Field(default=None, description="Base URL of a public bucket; its URLs are not presigned.")
    url_expiry_s: Annotated[int, Field(ge=1, le=MAX_URL_EXPIRY_S)] = Field(
        default=MAX_URL_EXPIRY_S, description="Lifetime of a presigned URL."
    )
    timeout_s: Annotated[float, Field(gt=0, le=300)] = Field(default=30, description="Time limit of an upload attempt.")
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(default=3, description="Attempts of an upload.")
    allow_private: bool = Field(
        default=False, description="Allow a job's own bucket on a private network, on http, or on any port."
    )
    job_ports: Ports = Field(default=(443,), description="Ports that the endpoint of a job's own bucket may use.")


class SigningSettings(_FromEnvironment):
    """Content credentials, from `C2PA_*`."""

    model_config = SettingsConfigDict(env_prefix="C2PA_", hide_input_in_errors=True)

    certificates: str | None = Field(default=None, description="PEM chain, signer first, or the path of its file.")
    private_key: SecretStr | None = Field(
        default=None, description="Private key in PEM (PKCS #8), or the path of its file."
    )
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = Field(
        default="es256", description="Signature algorithm of the key."
    )
    timestamp_url: str | None = Field(
        default=None,
        description="URL of an RFC 3161 authority; keeps signatures valid after the certificate has expired.",
    )


class PlatformSettings(_FromEnvironment):
    """Connection to RunPod, with the SDK's own names."""

    model_config = SettingsConfigDict(env_prefix="RUNPOD_")

    endpoint_base_url: str = Field(
        default="https://api.runpod.ai/v2", description="Base URL of the job API; on one machine, localpod's."
    )
    api_key: SecretStr | None = Field(default=None, description="API key, restricted to the workers' endpoints.")
    ai_api_key: SecretStr | None = Field(default=None, description="The worker's own key; used if `api_key` is unset.")
    endpoint_id: str | None = Field(default=None, description="Set by the platform; logs are then JSON.")
    pod_id: str | None = Field(default=None, description="Set by the platform: the worker's id.")
    webhook_get_job: str | None = Field(default=None, description="Set by the platform; unset: one local job is run.")

    @property
    def key(self) -> str:
        """The API key. Raises `Misconfigured` if neither key is set."""
        return self.key_that("may call the workers' endpoints")

    def key_that(self, ability: str) -> str:
        """The API key. `Misconfigured`, raised if neither key is set, names the `ability` that the key needs."""
        secret = self.api_key or self.ai_api_key
        if secret is None:
            raise Misconfigured(f"Set RUNPOD_API_KEY to a RunPod key that {ability}.")
        return secret.get_secret_value()
