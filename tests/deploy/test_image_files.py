"""Dockerfiles, bake, compose, workflows and the Hub's files match each other and endpoints.yaml."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from core.settings import ROOT, load_endpoints
from tools import hub
from tools.images import COMMANDS

IMAGES = list(COMMANDS)
SCRIPTS = Path(sys.executable).parent
ORCHESTRATOR_COMMAND = r'CMD ["sh", "-c", "exec python -m \"$IMG_POD_MODULE\""]'


def dockerfile(image: str) -> str:
    return (ROOT / f"Dockerfile.{image}").read_text()


def instructions(image: str) -> list[str]:
    """Return each instruction as one string, without comments and with continuation lines joined."""
    lines = [line for line in dockerfile(image).splitlines() if not re.match(r"\s*(#|$)", line)]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def copied(image: str) -> list[str]:
    words = [line.split() for line in instructions(image) if line.startswith("COPY ") and "--from=" not in line]
    return [source for line in words for source in line[1:-1]]


@pytest.mark.parametrize("image", IMAGES)
def test_dockerfiles_have_the_same_stages_in_the_same_order(image: str) -> None:
    stages = [line.split()[1:] for line in instructions(image) if line.startswith("FROM ")]

    fetched = [] if image == "orchestrator" else [["dependencies", "AS", "fetched"]]
    assert stages == [
        ["${BASE_IMAGE}", "AS", "base"],
        ["base", "AS", "dependencies"],
        *fetched,
        ["dependencies", "AS", "weights"],
        ["weights", "AS", "code"],
    ]


@pytest.mark.parametrize("image", ["selfie", "zimage", "llm"])
def test_every_folder_of_weights_becomes_a_layer(image: str) -> None:
    lines = instructions(image)
    [split] = [line for line in lines if "core.weights layers" in line]
    [count] = re.findall(r"--count (\d+)", split)

    copies = [line for line in lines if line.startswith("COPY --from=fetched")]

    assert copies == [f"COPY --from=fetched /layers/{number} /weights" for number in range(int(count))]


@pytest.mark.parametrize("image", ["selfie", "zimage", "llm"])
def test_weights_are_split_by_the_instruction_that_fetches_them(image: str) -> None:
    """Moving files of an earlier layer would copy them and need the disk space of the weights a second time."""
    assert ["core.weights fetch" in line for line in instructions(image) if "core.weights layers" in line] == [True]


@pytest.mark.parametrize(
    ("image", "weights", "models"),
    [
        ("selfie", "full", "vision,face"),
        ("selfie", "embedded", "face"),
        ("zimage", "full", "image,checker"),
        ("zimage", "embedded", "checker"),
        ("llm", "full", "text,guard"),
        ("llm", "embedded", "text"),
    ],
)
def test_build_fetches_the_models_of_its_profile(image: str, weights: str, models: str, tmp_path: Path) -> None:
    """The instruction runs in a shell, with a `python` that only prints its arguments."""
    [run] = [line for line in instructions(image) if "core.weights fetch" in line]
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "WEIGHTS": weights, "MODELS": "text,guard"}
    command = re.sub(r"^RUN (--mount=\S+ +)*", "", run).replace("chmod -R a+rX /weights", "true")
    command = command.replace("/tmp/hf", str(tmp_path / "hf"))

    done = subprocess.run(["sh", "-ec", command], env=env, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        f"-m core.weights fetch --profile {weights} --only {models}",
        "-m core.weights layers --into /layers --count 6",
    ]


@pytest.mark.parametrize("image", IMAGES)
def test_base_is_pinned_by_digest_and_the_user_is_not_root(image: str) -> None:
    lines = instructions(image)

    assert any(re.fullmatch(r"ARG BASE_IMAGE=python:3\.11-\S+@sha256:[0-9a-f]{64}", line) for line in lines)
    assert "USER 10001:10001" in lines
    assert lines[-1] == (
        ORCHESTRATOR_COMMAND if image == "orchestrator" else f'CMD ["python", "-m", "{COMMANDS[image]}"]'
    )


def test_orchestrator_image_serves_the_job_queue_unless_a_variable_names_the_http_api() -> None:
    assert f"ENV IMG_POD_MODULE={COMMANDS['orchestrator']}" in instructions("orchestrator")
    assert {"orchestrator", "http_api"} <= set(copied("orchestrator"))


@pytest.mark.parametrize("image", IMAGES)
def test_logs_contain_no_prompts_and_weights_are_not_on_the_volume(image: str) -> None:
    text = " ".join(instructions(image))

    assert "RUNPOD_LOG_LEVEL=INFO" in text
    assert "/runpod-volume" not in text
    assert ("HF_HUB_OFFLINE=1" in text) == (image != "orchestrator")


@pytest.mark.parametrize("image", ["selfie", "zimage", "llm"])
def test_layer_with_full_weights_depends_on_one_folder_of_core(image: str) -> None:
    lines = instructions(image)
    [fetched] = [index for index, line in enumerate(lines) if "core.weights fetch" in line]

    before = [line for line in lines[:fetched] if line.startswith("COPY ")]

    assert before == [f"COPY requirements/{image}.txt requirements.txt", "COPY core/weights core/weights"]


@pytest.mark.parametrize("image", IMAGES)
def test_every_copied_path_exists_and_is_not_ignored(image: str) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    for source in copied(image):
        assert (ROOT / source).exists(), source
        assert any(source == name or fnmatch(source, f"{name}/*") for name in kept), source


def test_dockerignore_admits_only_paths_that_an_image_copies() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    taken = {source for image in IMAGES for source in copied(image)} | {"tools/sbom.py"}

    assert [name for name in kept if not any(source.split("/")[0] == name or source == name for source in taken)] == []


def test_hadolint_finds_nothing_in_the_dockerfiles() -> None:
    command = [str(SCRIPTS / "hadolint"), *(f"Dockerfile.{image}" for image in IMAGES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_bake_builds_each_image_from_its_file() -> None:
    with (ROOT / "docker-bake.hcl").open() as file:
        parsed = hcl2.load(file)
    targets = {name.strip('"'): body for one in parsed["target"] for name, body in one.items()}

    assert set(targets) - {"image"} == set(IMAGES)
    for image in IMAGES:
        assert targets[image]["dockerfile"].strip('"') == f"Dockerfile.{image}"
        assert f"img-pod-{image}:${{VERSION}}" in targets[image]["tags"][0]
    [group] = parsed["group"]
    assert {name.strip('"') for name in group['"default"']["targets"]} == set(IMAGES)


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [("vendor.compose-spec", "compose.yaml"), ("vendor.github-workflows", ".github/workflows/*.yml")],
)
def test_workflow_files_match_their_schemas(schema: str, pattern: str) -> None:
    files = [str(file) for file in ROOT.glob(pattern)]
    command = [str(SCRIPTS / "check-jsonschema"), "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return services


def test_compose_starts_a_worker_for_every_endpoint() -> None:
    endpoints = load_endpoints().endpoints
    services = compose()

    assert set(services) == {"localpod", *endpoints}
    assert services["localpod"]["command"][-1] == f"--attach={','.join(endpoints)}"
    for name in endpoints:
        assert services[name]["build"]["dockerfile"] == f"Dockerfile.{name}"


@pytest.mark.parametrize("image", IMAGES)
def test_compose_gives_each_worker_the_urls_of_its_own_endpoint(image: str) -> None:
    env = compose()[image]["environment"]

    assert env["RUNPOD_ENDPOINT_ID"] == image
    hooks = {name: value for name, value in env.items() if name.startswith("RUNPOD_WEBHOOK_")}
    assert len(hooks) == 4
    assert all(value.startswith(f"http://localpod:8000/v2/{image}/") for value in hooks.values())
    # Compose would substitute `$ID`; the placeholder must reach the SDK unchanged.
    assert "$$ID" in env["RUNPOD_WEBHOOK_GET_JOB"]


def test_compose_sets_the_pools_as_endpoints_yaml_does() -> None:
    env = compose()["orchestrator"]["environment"]
    endpoints = load_endpoints()
    pools = {pool for spec in endpoints.endpoints.values() for pool in spec.pools}

    for pool in pools:
        assert env[f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS"].split(",") == endpoints.serving(pool)


def test_actions_are_pinned_by_commit() -> None:
    used = [
        found
        for file in (ROOT / ".github" / "workflows").glob("*.yml")
        for found in re.findall(r"uses: (\S+)(.*)", file.read_text())
    ]

    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_release_builds_every_image() -> None:
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())

    assert set(release["jobs"]["image"]["strategy"]["matrix"]["image"]) == set(IMAGES)


def test_hub_files_are_current() -> None:
    assert hub.main(["--check"]) == 0


def test_hub_excludes_the_same_gpus_as_the_deployment() -> None:
    made = hub.hub(load_endpoints().endpoints["selfie"])

    assert made["config"]["gpuIds"] == "ADA_48_PRO,-NVIDIA L40,-NVIDIA L40S"
