"""Findings of `doctor` for a live deployment, and none for a sound one."""

from typing import Any

import pytest

from deploy.api import Api, ServerFailed
from deploy.apply import apply
from deploy.desired_state import DesiredEndpoint
from deploy.doctor import Finding, Level, diagnose
from deploy.plan import make_plan
from tests.deploy.fake_api import GPUS, FakeRunpodApi, Fault


@pytest.fixture
def deployed(api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]) -> FakeRunpodApi:
    apply(api, shipped, make_plan(shipped, api.endpoints()), lambda _: None)
    return fake_api


def worker(status: str = "IDLE", **fields: Any) -> dict[str, Any]:
    return {"id": "w1", "status": status, "isStale": False, "gpuCount": 1, "gpuTypeId": None} | fields


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_sound_deployment_has_no_findings(api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint]) -> None:
    llm = deployed.find_live("img-pod-llm")["id"]
    deployed.workers[llm] = [worker(gpuTypeId="NVIDIA GeForce RTX 4090")]

    assert diagnose(api, shipped) == []


def test_missing_endpoint_is_a_finding(api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint]) -> None:
    del deployed.endpoints[deployed.find_live("img-pod-selfie")["id"]]

    missing, dangling = (finding for finding in diagnose(api, shipped) if finding.level is Level.ERROR)

    assert (missing.endpoint, missing.what) == ("img-pod-selfie", "doesn't exist")
    assert "pool selfie points to" in dangling.what


@pytest.mark.parametrize(("left", "level"), [(0, Level.ERROR), (1, Level.WARNING)])
def test_workers_removed_after_idle_days_are_a_finding(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint], left: int, level: Level
) -> None:
    deployed.find_live("img-pod-zimage")["workers"]["max"] = left

    finding = only(diagnose(api, shipped))

    assert finding.level is level
    assert f"may have {left} workers, the file has 2" in finding.what
    assert "deploy apply" in finding.do


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"flashboot": "OFF"}, "FlashBoot is off"),
        ({"timeout": 45_000}, "ends jobs after 45 s, where its stages may need 60 s"),
        ({"image": "ghcr.io/acme/img-pod-zimage:1.2.2"}, "differs from the file in image"),
        ({"env": {}}, "differs from the file in env"),
    ],
)
def test_harmful_settings_are_findings(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint], changed: dict[str, Any], what: str
) -> None:
    deployed.find_live("img-pod-zimage").update(changed)

    assert what in only(diagnose(api, shipped)).what


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (worker("UNHEALTHY"), "unhealthy: w1"),
        (worker("THROTTLED"), "no hardware is free"),
        (worker(isStale=True), "older release: w1"),
        (worker(gpuTypeId="NVIDIA L40S"), "runs on NVIDIA L40S"),
    ],
)
def test_unhealthy_throttled_and_stale_workers_are_findings(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint], state: dict[str, Any], what: str
) -> None:
    deployed.workers[deployed.find_live("img-pod-selfie")["id"]] = [state]

    assert what in only(diagnose(api, shipped)).what


def test_an_execution_timeout_shorter_than_the_requests_is_a_finding(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    deployed.find_live("img-pod-orchestrator")["timeout"] = 120_000

    assert "ends jobs after 120 s, where its stages may need 300 s" in only(diagnose(api, shipped)).what


def test_pool_without_an_endpoint_is_a_finding(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    deployed.find_live("img-pod-orchestrator")["env"]["ORCHESTRATOR_SHORTS_ENDPOINT_IDS"] = ""

    assert "pool shorts has no endpoint" in " ".join(finding.what for finding in diagnose(api, shipped))


def test_an_outdated_price_is_a_finding(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GPUS, "NVIDIA GeForce RTX 4090", ("ADA_24", 2.0))

    assert [finding.endpoint for finding in diagnose(api, shipped)] == ["img-pod-llm", "img-pod-zimage"]


@pytest.mark.parametrize("status", [401, 403])
def test_key_without_rights_is_a_finding(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint], status: int
) -> None:
    deployed.faults = [Fault("listEndpoints", status, times=9)]

    assert "key" in only(diagnose(api, shipped)).do.lower()


def test_api_failure_is_an_error_not_a_finding(
    api: Api, deployed: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    deployed.faults = [Fault("listEndpointWorkers", 500, times=9)]

    with pytest.raises(ServerFailed):
        diagnose(api, shipped)
