"""Settings: precedence, refused values, and that no message or repr shows a value."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import Misconfigured
from core.settings import (
    ROOT,
    STAGE_LIMITS_S,
    OrchestratorSettings,
    PlatformSettings,
    Pool,
    Settings,
    load_endpoints,
    load_settings,
    secret_settings,
)
from core.weights import Model, Profile
from tools.docs.settings import variable

SECRET = "tulip"
PARTS = {name: field.annotation for name, field in Settings.model_fields.items()}
VARIABLES = [variable(part, name) for part in PARTS.values() for name in part.model_fields]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Write a config.yaml and return the settings loaded from it."""

    def load(text: str) -> Settings:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path)

    return load


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("", "refuse"),
        ("weights: {weights: full}\nllm: {classifier: none}", "translate"),
        ("weights: {weights: full}", "classify"),
        ("weights: {weights: full}\nllm: {classifier: guard}", "classify"),
        ("llm: {classifier: guard}", "refuse"),
        ("policy: {unsupported_language: translate}", "translate"),
        ("weights: {weights: full}\npolicy: {unsupported_language: refuse}", "refuse"),
    ],
)
def test_default_for_unsupported_languages_depends_on_the_deployment(config: Any, text: str, resolved: str) -> None:
    assert config(text).unsupported_language == resolved


def refusal(config: Any, text: str = "") -> str:
    with pytest.raises(Misconfigured) as caught:
        config(text)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.message


def test_the_file_overrides_the_default_and_the_environment_the_file(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "worker: {grace_s: 11}\norchestrator: {timeout_s: 120}"
    monkeypatch.setenv("WORKER_GRACE_S", "7.5")

    settings = config(text)

    assert settings.worker.grace_s == 7.5
    assert settings.orchestrator.timeout_s == 120
    assert settings.worker.loop == "own"


def test_an_empty_variable_counts_as_unset(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_GRACE_S", "")
    monkeypatch.setenv("POLICY_SIGNING_KEY", "")

    settings = config("worker: {grace_s: 11}")

    assert settings.worker.grace_s == 11
    assert settings.policy.signing_key is None


@pytest.mark.parametrize("text", ["", "# only a comment", "worker:", "worker: {}"])
def test_an_empty_file_or_section_gives_the_defaults(config: Any, text: str) -> None:
    assert config(text).worker.grace_s == 25


def test_each_worker_has_its_own_prefix_and_defaults(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MAX_BATCH", "16")

    settings = config("")

    assert (settings.llm.max_batch, settings.zimage.max_batch, settings.selfie.max_batch) == (16, 1, 1)
    assert (settings.llm.concurrency, settings.zimage.concurrency) == (8, 2)


@pytest.mark.parametrize(
    ("value", "ids"),
    [("abc", ("abc",)), ("abc,def", ("abc", "def")), (" abc , def ,", ("abc", "def")), (",", ()), ("a,a", ("a", "a"))],
)
def test_a_pool_is_a_list_separated_by_commas(
    config: Any, monkeypatch: pytest.MonkeyPatch, value: str, ids: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_CHAT1TO1_ENDPOINT_IDS", value)

    assert config("").orchestrator.chat1to1_endpoint_ids == ids


def test_pool_in_the_file_may_be_a_list(config: Any) -> None:
    settings = config("orchestrator: {llm_endpoint_ids: [abc, def], selfie_endpoint_ids: 'ghi, jkl'}")

    assert settings.orchestrator.endpoint_ids(Pool.LLM) == ("abc", "def")
    assert settings.orchestrator.endpoint_ids(Pool.SELFIE) == ("ghi", "jkl")


@pytest.mark.parametrize("pool", Pool)
def test_every_pool_has_a_setting_and_an_empty_pool_is_reported_by_its_variable(pool: Pool) -> None:
    with pytest.raises(Misconfigured, match=f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS"):
        OrchestratorSettings().endpoint_ids(pool)


def test_restricted_platform_key_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_AI_API_KEY", "the worker's")
    assert PlatformSettings().key == "the worker's"
    monkeypatch.setenv("RUNPOD_API_KEY", "the restricted")
    assert PlatformSettings().key == "the restricted"


def test_a_missing_key_is_reported_by_its_variable() -> None:
    with pytest.raises(Misconfigured, match="RUNPOD_API_KEY"):
        _ = PlatformSettings().key


def test_stage_limit_defaults_to_that_of_the_weights_profile(config: Any) -> None:
    settings = config("weights: {weights: full}\norchestrator: {caption_limit_s: 9}")

    assert settings.stage_limit_s("caption") == 9
    assert settings.stage_limit_s("expand") == STAGE_LIMITS_S["full"]["expand"]


def test_both_weights_profiles_have_a_limit_for_every_stage_that_can_be_set() -> None:
    stages = {name.removesuffix("_limit_s") for name in OrchestratorSettings.model_fields if name.endswith("_limit_s")}

    assert STAGE_LIMITS_S.keys() == set(Profile)
    assert all(limits.keys() == stages for limits in STAGE_LIMITS_S.values())


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("WORKER_GRACE_S", "worker.grace_s"),
        ("WORKER_LOOP", "worker.loop"),
        ("WORKER_MAX_RESULT_BYTES", "worker.max_result_bytes"),
        ("LLM_MAX_BATCH", "llm.max_batch"),
        ("BUCKET_ALLOW_PRIVATE", "storage.allow_private"),
        ("ZIMAGE_UNSAFE_THRESHOLD", "zimage.unsafe_threshold"),
        ("ORCHESTRATOR_RETRY_BUDGET", "orchestrator.retry_budget"),
        ("WEIGHTS", "weights.weights"),
    ],
)
def test_a_wrong_variable_is_reported_by_both_names_without_its_value(
    config: Any, monkeypatch: pytest.MonkeyPatch, name: str, setting: str
) -> None:
    monkeypatch.setenv(name, SECRET)

    message = refusal(config)

    assert f"{setting} (or {name})" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("worker: {grace_s: 0}", "worker.grace_s (or WORKER_GRACE_S)"),
        ("worker: {grace_s: .nan}", "worker.grace_s (or WORKER_GRACE_S)"),
        ("worker: {grace: 5}", "worker.grace (or WORKER_GRACE)"),
        ("orchestrator: {timeout_s: 901}", "orchestrator.timeout_s (or ORCHESTRATOR_TIMEOUT_S)"),
        ("orchestrater: {timeout_s: 9}", "unknown section `orchestrater`"),
        (f"worker: {SECRET}", "`worker` must contain settings by name"),
        ("worker: [1]", "`worker` must contain settings by name"),
        ("worker: {1: 2}", "`worker` must contain settings by name"),
        (f"- {SECRET}", "must contain sections"),
        (f"worker: {{grace_s: 1\n{SECRET}", "is not YAML at line 2"),
        (f"policy: {{signing_key: {SECRET}}}", "set POLICY_SIGNING_KEY instead of policy.signing_key"),
        (f"platform: {{api_key: {SECRET}}}", "set RUNPOD_API_KEY instead of platform.api_key"),
    ],
)
def test_a_wrong_file_is_reported_by_the_setting_without_its_value(config: Any, text: str, expected: str) -> None:
    message = refusal(config, text)

    assert expected in message
    assert SECRET not in message


def test_a_missing_file_is_reported_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"^config\.yaml can't be read"):
        load_settings(tmp_path / "config.yaml")


def test_setting_named_like_a_secret_is_a_secret_type() -> None:
    for part in PARTS.values():
        named = {name for name in part.model_fields if re.search(r"(secret|password|token|private_key|_key$)", name)}
        assert named == secret_settings(part), part
    assert secret_settings(PlatformSettings) == {"api_key", "ai_api_key"}


def test_no_secret_is_in_a_repr_or_a_dump(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNPOD_API_KEY", "RUNPOD_AI_API_KEY", "POLICY_SIGNING_KEY"):
        monkeypatch.setenv(name, SECRET)

    settings = config("")

    assert settings.platform.key == SECRET
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_config_of_the_repository_is_valid_and_equals_the_defaults() -> None:
    """config.yaml documents the defaults, so it must not differ from them."""
    written = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    settings = load_settings()

    for part, section in written.items():
        for name, value in section.items():
            assert getattr(getattr(settings, part), name) == value
            assert PARTS[part].model_fields[name].default == value, f"{part}.{name}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("endpoints*.yaml")), ids=lambda path: path.name)
def test_each_list_of_endpoints_serves_every_pool_and_names_real_handlers(path: Path) -> None:
    endpoints = load_endpoints(path)

    assert all(endpoints.serving(pool) for pool in Pool)
    for name, spec in endpoints.endpoints.items():
        module = ROOT / spec.handler.replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), name
        assert spec.workers.min <= spec.workers.max


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"gpu": None}, "either `gpu` or `cpu`"),
        ({"cpu": {"id": "cpu5c", "vcpu": 2}}, "either `gpu` or `cpu`"),
        ({"pools": ["chat"]}, "endpoints.llm.pools.0"),
        ({"scaler": {"type": "queue_delay", "value": 0}}, "endpoints.llm.scaler.value"),
        ({"idle": SECRET}, "endpoints.llm.idle"),
        ({"execution_timeout_s": SECRET}, "endpoints.llm.execution_timeout_s"),
    ],
)
def test_a_wrong_endpoint_is_reported_by_its_path_in_the_file(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    good = {
        "handler": "handlers.llm",
        "image": "img-pod-llm",
        "gpu": {"pools": ["ADA_24"]},
        "scaler": {"type": "queue_delay", "value": 2},
    }
    path = tmp_path / "endpoints.yaml"
    path.write_text(yaml.safe_dump({"endpoints": {"llm": good}}))
    assert load_endpoints(path).endpoints["llm"].workers.max == 3

    path.write_text(yaml.safe_dump({"endpoints": {"llm": good | changed}}))
    with pytest.raises(Misconfigured) as caught:
        load_endpoints(path)
    assert expected in caught.value.message
    assert SECRET not in caught.value.message


def test_missing_weights_are_a_configuration_error_with_a_remedy(
    tmp_path: Path, config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))

    with pytest.raises(Misconfigured, match=r"python -m core\.weights"):
        config("").weights.locate(Model.TEXT)
