"""Packages that are imported by parts of the project; times would depend on the machine."""

import json
import os
import subprocess
import sys

import pytest

from core.settings import ROOT, Pool

MODELS = {"accelerate", "diffusers", "numpy", "onnxruntime", "safetensors", "torch", "transformers", "ultralytics"}
HEAVY = MODELS | {"PIL", "aiohttp", "boto3", "botocore", "fastapi", "httpx", "huggingface_hub", "runpod", "yaml"}
POOLS = {f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS": "an-endpoint" for pool in Pool}

STEPS = {
    "core": "import core",
    "messages": "import core.errors, core.contracts, core.prompts, core.policy",
    "settings": "from core.settings import load_settings; settings = load_settings()",
    "handlers": "import handlers.llm, handlers.selfie, handlers.zimage",
    "orchestrator": "import orchestrator.__main__ as it; service = it.load(settings)",
    "http_api": "from http_api.app import create_app; create_app(service, settings)",
}
"""Imports that run one after the other in one interpreter, the cheap ones first; each records what it adds."""

_SCRIPT = """
import json, sys
loaded = lambda: {name.split(".")[0] for name in sys.modules}
before = loaded()
for name, step in json.loads(sys.argv[1]).items():
    exec(step)
    print(json.dumps([name, sorted(loaded() - before)]))
    before = loaded()
"""


@pytest.fixture(scope="module")
def added() -> dict[str, set[str]]:
    """Return the top-level packages that each step imports."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(STEPS)],
        cwd=ROOT,
        env=os.environ | POOLS | {"RUNPOD_API_KEY": "a-key"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: set(packages) for name, packages in map(json.loads, done.stdout.splitlines())}


def test_importing_core_imports_nothing_else(added: dict[str, set[str]]) -> None:
    assert added["core"] == {"core"}


def test_messages_errors_prompts_and_policy_need_only_pydantic(added: dict[str, set[str]]) -> None:
    assert "pydantic" in added["messages"]
    assert not added["messages"] & HEAVY


def test_settings_need_no_model_library_and_no_network(added: dict[str, set[str]]) -> None:
    assert not added["settings"] & (HEAVY - {"yaml"})


def test_importing_a_handler_loads_neither_a_model_library_nor_the_sdk(added: dict[str, set[str]]) -> None:
    assert "handlers" in added["handlers"]
    assert not added["handlers"] & (MODELS | {"runpod"})


def test_the_orchestrator_with_its_service_ready_has_no_model_library(added: dict[str, set[str]]) -> None:
    assert "orchestrator" in added["orchestrator"]
    assert not added["orchestrator"] & (MODELS | {"runpod"})


def test_job_queue_starts_without_the_http_apis_packages(added: dict[str, set[str]]) -> None:
    assert not added["orchestrator"] & {"fastapi", "prometheus_client", "starlette", "uvicorn"}


def test_http_api_has_no_model_library_and_no_sdk(added: dict[str, set[str]]) -> None:
    assert "fastapi" in added["http_api"]
    assert not added["http_api"] & (MODELS | {"runpod"})
