"""The four commands: output, confirmation and exit status."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.__main__ import app
from tests.deploy.fake_api import KEY, FakeRunpodApi, Fault

RELEASE = ["--registry", "ghcr.io/acme", "--tag", "1.2.3"]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")


def deploy(fake_api: FakeRunpodApi, *words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, [*words, "--api", fake_api.url], input=answer)


def as_json(result: Result) -> Any:
    return json.loads(result.stdout)


def test_plan_shows_changes_cost_and_quota_and_changes_nothing(fake_api: FakeRunpodApi) -> None:
    result = deploy(fake_api, "plan", *RELEASE)

    assert result.exit_code == 0, result.output
    assert "+ img-pod-orchestrator: create" in result.stdout
    assert "Workers: 5 here, 0 in the account's other endpoints, quota 5" in result.stdout
    # selfie 0.00053 + llm 0.00031 + 2 × zimage 0.00031 + orchestrator 0.00004, times 3600
    assert "Worst case $5.40 an hour" in result.stdout
    assert fake_api.changing() == []


def test_plan_as_json_has_the_same_contents(fake_api: FakeRunpodApi) -> None:
    plan = as_json(deploy(fake_api, "plan", *RELEASE, "--json"))

    assert [action["kind"] for action in plan["actions"]] == ["create"] * 4
    assert plan["worst_case_usd_per_hour"] == pytest.approx(5.40)
    assert plan["fits"]


def test_plan_reports_that_a_second_file_exceeds_the_quota(fake_api: FakeRunpodApi) -> None:
    result = deploy(fake_api, "plan", *RELEASE, "--endpoints", "endpoints-per-pool.yaml", "--json")

    assert result.exit_code == 1
    assert (as_json(result)["workers"], as_json(result)["fits"]) == (8, False)


def test_apply_without_confirmation_changes_nothing(fake_api: FakeRunpodApi) -> None:
    result = deploy(fake_api, "apply", *RELEASE, answer="n\n")

    assert result.exit_code == 1
    assert fake_api.changing() == []


def test_apply_then_plan_then_destroy_succeeds(fake_api: FakeRunpodApi) -> None:
    made = as_json(deploy(fake_api, "apply", *RELEASE, "--yes", "--json"))
    assert [step["done"] for step in made["endpoints"]] == ["create"] * 4

    again = as_json(deploy(fake_api, "plan", *RELEASE, "--json"))
    assert [action["kind"] for action in again["actions"]] == ["keep"] * 4

    assert deploy(fake_api, "destroy", answer="n\n").exit_code == 1
    assert len(fake_api.endpoints) == 4
    assert len(as_json(deploy(fake_api, "destroy", "--yes", "--json"))["removed"]) == 4
    assert fake_api.endpoints == {}


def test_staging_is_created_and_destroyed_independently_of_production(fake_api: FakeRunpodApi) -> None:
    deploy(fake_api, "apply", *RELEASE, "--yes")
    deploy(fake_api, "apply", *RELEASE, "--yes", "--prefix", "img-pod-staging", "--quota", "10")

    assert len(fake_api.endpoints) == 8
    deploy(fake_api, "destroy", "--yes", "--prefix", "img-pod-staging")
    assert "img-pod-staging" not in str(fake_api.endpoints)


def test_doctor_without_smoke_finds_nothing_after_apply(fake_api: FakeRunpodApi) -> None:
    deploy(fake_api, "apply", *RELEASE, "--yes")

    result = deploy(fake_api, "doctor", *RELEASE, "--no-smoke")

    assert (result.exit_code, result.stdout.strip()) == (0, "Nothing is wrong.")


def test_doctor_without_a_deployment_reports_what_is_missing_and_sends_no_request(fake_api: FakeRunpodApi) -> None:
    result = deploy(fake_api, "doctor", *RELEASE, "--json")

    assert result.exit_code == 1
    assert {finding["what"] for finding in as_json(result)["findings"]} == {"doesn't exist"}
    assert as_json(result)["smoke"] == []


@pytest.mark.parametrize("words", [["plan", *RELEASE], ["apply", *RELEASE, "--yes"], ["destroy", "--yes"]])
def test_api_failure_is_one_sentence_without_the_key(fake_api: FakeRunpodApi, words: list[str]) -> None:
    fake_api.faults = [Fault("listEndpoints", 403, times=9)]

    result = deploy(fake_api, *words)

    assert result.exit_code == 1
    assert result.stderr.startswith("Listing endpoints failed (403)")
    assert "Traceback" not in result.output
    assert KEY not in result.output + result.stderr


def test_a_missing_key_is_reported_with_its_variable(fake_api: FakeRunpodApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY")
    monkeypatch.delenv("RUNPOD_AI_API_KEY", raising=False)

    assert "Set RUNPOD_API_KEY to a RunPod key that has write access" in deploy(fake_api, "plan", *RELEASE).stderr


def test_mutable_image_tag_is_refused(fake_api: FakeRunpodApi) -> None:
    assert "latest" in deploy(fake_api, "plan", "--registry", "ghcr.io/acme", "--tag", "latest").stderr


def test_values_of_the_environment_are_not_shown(fake_api: FakeRunpodApi) -> None:
    deploy(fake_api, "apply", *RELEASE, "--yes")
    fake_api.find_live("img-pod-llm")["env"] = {"SOMETHING": "a-secret-of-theirs"}

    result = deploy(fake_api, "plan", *RELEASE)

    assert "-SOMETHING" in result.stdout
    assert "a-secret-of-theirs" not in result.output
