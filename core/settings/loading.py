"""Load all settings from `config.yaml` and the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import (
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    SettingsError,
)

from core.errors import Misconfigured
from core.settings.endpoints import ROOT, Part, read_yaml
from core.settings.sections import (
    HttpSettings,
    LlmSettings,
    OrchestratorSettings,
    PlatformSettings,
    PolicySettings,
    SelfieSettings,
    SigningSettings,
    StorageSettings,
    WeightsSettings,
    WorkerSettings,
    ZimageSettings,
    _FromEnvironment,
)

STAGE_LIMITS_S: dict[str, dict[str, float]] = {
    "full": {"analyze": 30, "expand": 15, "moderate": 10, "caption": 5, "generate": 60, "check": 30},
    "embedded": {"analyze": 60, "expand": 60, "moderate": 30, "caption": 30, "generate": 60, "check": 60},
}
"""Execution limits by weights profile, in s; the embedded weights run on a CPU that other processes use too."""


class Settings(Part):
    """All settings of a process."""

    weights: WeightsSettings
    worker: WorkerSettings
    selfie: SelfieSettings
    llm: LlmSettings
    zimage: ZimageSettings
    policy: PolicySettings
    storage: StorageSettings
    signing: SigningSettings
    orchestrator: OrchestratorSettings
    http: HttpSettings
    platform: PlatformSettings

    @property
    def unsupported_language(self) -> Literal["classify", "translate", "refuse"]:
        """The policy's setting with `auto` resolved: the embedded weights can't translate or classify 60 languages."""
        chosen = self.policy.unsupported_language
        if chosen != "auto":
            return chosen
        if self.weights.weights == "embedded":
            return "refuse"
        return "translate" if self.llm.classifier == "none" else "classify"

    def stage_limit_s(self, stage: str) -> float:
        own: float | None = getattr(self.orchestrator, f"{stage}_limit_s")
        return own if own is not None else STAGE_LIMITS_S[self.weights.weights][stage]


def _section(given: object, name: str, cls: type[BaseSettings], path: Path) -> dict[str, Any]:
    """One section of the file. A secret in it is refused, because the file is committed and copied into images."""
    section = given or {}
    if not isinstance(section, dict) or not all(isinstance(key, str) for key in section):
        raise Misconfigured(f"{path.name}: `{name}` must contain settings by name.")
    for key in section.keys() & secret_settings(cls):
        variable = f"{cls.model_config.get('env_prefix', '')}{key}".upper()
        raise Misconfigured(f"{path.name} must not contain secrets: set {variable} instead of {name}.{key}.")
    return section


def secret_settings(cls: type[BaseSettings]) -> set[str]:
    """Names of the settings that are read from the environment only."""
    return {
        name for name, field in cls.model_fields.items() if SecretStr in (field.annotation, *get_args(field.annotation))
    }


def load_settings(path: Path = ROOT / "config.yaml") -> Settings:
    """Load `config.yaml`, overridden by the environment. Raises `Misconfigured`, which names settings, never values."""
    sections = read_yaml(path) or {}
    if not isinstance(sections, dict):
        raise Misconfigured(f"{path.name} must contain sections such as `orchestrator:`, each with its settings.")
    unknown = sections.keys() - Settings.model_fields.keys()
    if unknown:
        raise Misconfigured(
            f"{path.name} has an unknown section `{min(map(str, unknown))}`; use {', '.join(Settings.model_fields)}."
        )
    parts = {}
    for name, field in Settings.model_fields.items():
        cls = cast("type[_FromEnvironment]", field.annotation)
        try:
            parts[name] = cls(**_section(sections.get(name), name, cls, path))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            prefix = cls.model_config.get("env_prefix", "")
            raise Misconfigured(f"{name}.{where} (or {prefix}{where.upper()}): {first['msg']}.") from None
        except SettingsError:
            raise Misconfigured(f"A variable {cls.model_config.get('env_prefix', '')}… can't be read.") from None
    return Settings.model_validate(parts)
