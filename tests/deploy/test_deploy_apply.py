"""`apply` creates and updates endpoints, and continues after a failure. The API is a fake."""

import pytest

from core.settings import ROOT, Pool, load_endpoints
from deploy.api import Api, ApiError, RateLimited, ServerFailed, Unreachable
from deploy.apply import ApplyBlocked, Step, apply, destroy
from deploy.desired_state import DesiredEndpoint, Images, desired_endpoints
from deploy.plan import Kind, make_plan
from tests.deploy.fake_api import KEY, FakeRunpodApi, Fault

QUOTA = 5


def applied(api: Api, asked: list[DesiredEndpoint], quota: int = QUOTA) -> list[Step]:
    return apply(api, asked, make_plan(asked, api.endpoints(), quota), lambda _: None)


def test_fresh_account_gets_every_endpoint_of_the_file(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    steps = applied(api, shipped)

    assert {step.done for step in steps} == {Kind.CREATE}
    assert sorted(endpoint["name"] for endpoint in fake_api.endpoints.values()) == [
        "img-pod-llm",
        "img-pod-orchestrator",
        "img-pod-selfie",
        "img-pod-zimage",
    ]
    assert fake_api.find_live("img-pod-zimage")["image"] == "ghcr.io/acme/img-pod-zimage:1.2.3"
    assert fake_api.find_live("img-pod-selfie")["gpu"]["excludedTypes"] == ["NVIDIA L40", "NVIDIA L40S"]


def test_ids_of_created_endpoints_are_set_on_the_orchestrator(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    applied(api, shipped)

    env = fake_api.find_live("img-pod-orchestrator")["env"]
    zimage = fake_api.find_live("img-pod-zimage")["id"]
    assert env["ORCHESTRATOR_SELFIE_ENDPOINT_IDS"] == fake_api.find_live("img-pod-selfie")["id"]
    assert env["ORCHESTRATOR_LLM_ENDPOINT_IDS"] == fake_api.find_live("img-pod-llm")["id"]
    assert {env[f"ORCHESTRATOR_{pool.upper()}_ENDPOINT_IDS"] for pool in list(Pool)[2:]} == {zimage}


def test_secrets_are_sent_as_references(api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]) -> None:
    applied(api, shipped)

    assert fake_api.find_live("img-pod-orchestrator")["env"]["RUNPOD_API_KEY"] == "{{ RUNPOD_SECRET_RUNPOD_API_KEY }}"
    assert KEY not in str([body for _, body in fake_api.calls])


def test_second_run_changes_nothing(api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]) -> None:
    applied(api, shipped)
    before = len(fake_api.changing())

    assert {step.done for step in applied(api, shipped)} == {Kind.KEEP}
    assert len(fake_api.changing()) == before


def test_only_changed_fields_are_sent(api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]) -> None:
    applied(api, shipped)
    newer = desired_endpoints(load_endpoints(), Images("ghcr.io/acme", "1.2.4"), "img-pod")

    applied(api, newer)

    patches = [body for operation, body in fake_api.calls if operation == "updateEndpoint"]
    assert len(patches) == 4
    assert all(set(patch or {}) == {"image"} for patch in patches)


def test_changes_made_in_the_console_are_reverted(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    applied(api, shipped)
    live = fake_api.find_live("img-pod-zimage")
    live |= {"flashboot": "OFF", "timeout": 5000, "workers": {"min": 1, "max": 0, "idleTimeout": 3}}
    live["gpu"] = {**live["gpu"], "allowedCudaVersions": ["12.4"], "minCudaVersion": None, "pools": ["ADA_48_PRO"]}

    applied(api, shipped)

    assert {step.done for step in applied(api, shipped)} == {Kind.KEEP}
    assert fake_api.find_live("img-pod-zimage")["gpu"]["minCudaVersion"] == "12.8"
    assert fake_api.find_live("img-pod-zimage")["workers"] == {"min": 0, "max": 2, "idleTimeout": 30}


@pytest.mark.parametrize("made_before", [0, 1, 2, 3])
def test_an_interrupted_apply_continues_where_it_stopped(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint], made_before: int
) -> None:
    fake_api.faults = [Fault("createEndpoint", 500, times=1, skip=made_before)]
    with pytest.raises(ServerFailed):
        applied(api, shipped)
    assert len(fake_api.endpoints) == made_before

    steps = applied(api, shipped)

    assert [step.done for step in steps].count(Kind.KEEP) == made_before
    assert len(fake_api.endpoints) == 4
    assert "" not in fake_api.find_live("img-pod-orchestrator")["env"].values()


@pytest.mark.parametrize("status", [0, 500])
def test_an_endpoint_whose_create_answer_was_lost_is_not_created_twice(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint], status: int
) -> None:
    fake_api.faults = [Fault("createEndpoint", status, after=True)]

    applied(api, shipped)

    assert len(fake_api.endpoints) == 4


def test_a_connection_lost_before_the_create_is_reported(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    fake_api.faults = [Fault("createEndpoint", 0)]

    with pytest.raises(Unreachable, match="Creating img-pod-selfie"):
        applied(api, shipped)

    assert fake_api.endpoints == {}


def test_a_read_is_retried_after_a_429(api: Api, fake_api: FakeRunpodApi) -> None:
    fake_api.faults = [Fault("listEndpoints", 429, times=2)]

    assert api.endpoints() == ()
    assert [operation for operation, _ in fake_api.calls] == ["listEndpoints"] * 3


def test_retries_end_after_the_last_attempt(api: Api, fake_api: FakeRunpodApi) -> None:
    fake_api.faults = [Fault("listEndpoints", 429, times=99)]

    with pytest.raises(RateLimited):
        api.endpoints()


def test_too_many_workers_stop_apply_before_any_change(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    per_pool = desired_endpoints(
        load_endpoints(ROOT / "endpoints-per-pool.yaml"), Images("ghcr.io/acme", "1.2.3"), "img-pod"
    )

    with pytest.raises(ApplyBlocked, match="needs 8 workers"):
        applied(api, per_pool)
    assert fake_api.changing() == []

    assert len(applied(api, per_pool, quota=10)) == 8


def test_workers_of_other_endpoints_count_against_the_quota(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    api.create({**shipped[0].body, "name": "another", "registry": None})

    with pytest.raises(ApplyBlocked, match="other endpoints of the account have 1"):
        applied(api, shipped)


def test_two_endpoints_of_one_name_stop_apply(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    for _ in range(2):
        api.create(shipped[0].body)

    with pytest.raises(ApplyBlocked, match="2 endpoints have this name"):
        applied(api, shipped)


def test_gpu_endpoint_is_not_turned_into_a_cpu_one(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    [orchestrator] = [one for one in shipped if one.name == "orchestrator"]
    api.create({**shipped[0].body, "name": orchestrator.body["name"]})

    with pytest.raises(ApplyBlocked, match="delete it"):
        applied(api, shipped)


def test_endpoint_is_found_despite_the_consoles_flashboot_suffix(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    applied(api, shipped)
    fake_api.find_live("img-pod-llm")["name"] = "img-pod-llm -fb"

    assert {step.done for step in applied(api, shipped)} == {Kind.KEEP}


def test_destroy_removes_callers_first_and_no_other_endpoints(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    applied(api, shipped)
    other = api.create({**shipped[0].body, "name": "another"})
    removed: list[str] = []

    destroy(api, shipped, api.endpoints(), removed.append)

    assert removed[0] == "img-pod-orchestrator"
    assert list(fake_api.endpoints) == [other.id]


def test_destroy_skips_endpoints_that_no_longer_exist(
    api: Api, fake_api: FakeRunpodApi, shipped: list[DesiredEndpoint]
) -> None:
    applied(api, shipped)
    live = api.endpoints()
    fake_api.endpoints.clear()

    destroy(api, shipped, live, lambda _: None)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "Rejected"), (401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound"),
        (409, "Conflict"), (422, "Rejected"), (429, "RateLimited"), (500, "ServerFailed"),
    ],
)  # fmt: skip
def test_each_api_error_has_its_own_exception_that_says_what_to_do(
    api: Api, fake_api: FakeRunpodApi, status: int, name: str
) -> None:
    fake_api.faults = [Fault("listEndpoints", status, times=99)]

    with pytest.raises(ApiError) as caught:
        api.endpoints()

    assert type(caught.value).__name__ == name
    assert str(caught.value).startswith(f"Listing endpoints failed ({status}): a fault of the test. ")
    assert KEY not in str(caught.value)


def test_validation_errors_of_the_api_are_shown_one_by_one(api: Api, shipped: list[DesiredEndpoint]) -> None:
    with pytest.raises(ApiError, match=r"\$\.timeout: 'soon' is not of type 'integer'"):
        api.create({**shipped[0].body, "timeout": "soon"})


def test_a_wrong_key_is_reported_without_the_key(fake_api: FakeRunpodApi) -> None:
    with Api("rpa_WRONG", fake_api.url) as api, pytest.raises(ApiError) as caught:
        api.endpoints()

    assert "RUNPOD_API_KEY" in str(caught.value)
    assert "rpa_WRONG" not in str(caught.value)
