"""An orchestrator of this release works with workers of the previous and of the next release, and the reverse.

`messages-0.1.0.json` contains what release 0.1.0 sent between its own processes. The file is never regenerated: if one
of its messages can't be read any more, the contract has changed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.contracts import STAGE_REQUESTS, read_request
from localpod import LocalEndpoint, LocalpodThread, Options, Scaler
from tests.chain.conftest import POOLS, Caller
from tests.chain.handlers.other_release import RECORDED, later

OTHER_RELEASE = "tests.chain.handlers.other_release"
RELEASES = ["last", "next"]
ASKED = {
    "profile/create": {"selfie": "https://example.com/selfie.jpg"},
    "chat/scenes/generate": {"messages": [{"role": "user", "content": "The lighthouse, after the storm."}]},
    "imagegen": {"prompt": "a lighthouse at dusk", "caption": True},
}


@pytest.fixture(scope="module", params=RELEASES)
def other_release_workers(request: pytest.FixtureRequest) -> Iterator[Caller]:
    """This release's orchestrator over another release's workers."""
    workers = {
        name: LocalEndpoint(
            OTHER_RELEASE, Scaler("request_count", 50, 0, 1), pools=pools, env={"OTHER_RELEASE": request.param}
        )
        for name, pools in POOLS.items()
    }
    orchestrator = LocalEndpoint("orchestrator", Scaler("request_count", 50, 0, 1), calls_others=True)
    with LocalpodThread({"orchestrator": orchestrator, **workers}, Options()) as pod:
        caller = Caller(pod)
        yield caller
        caller.http.close()


@pytest.mark.parametrize("task", ASKED)
def test_orchestrator_completes_with_workers_of_another_release(other_release_workers: Caller, task: str) -> None:
    output = other_release_workers.output({"task": task, **ASKED[task]})

    assert output["image_base64"]
    assert output["degraded"] == []
    assert "from_the_future" not in str(output)
    if task == "profile/create":
        assert output["features"]["hair_color"] == "red"
    else:
        assert output["caption"] == RECORDED["results"]["caption"]["caption"]


def test_workers_serve_orchestrators_of_other_releases(stand_ins: Callable[..., Caller]) -> None:
    pod = stand_ins().pod
    for recorded in RECORDED["requests"]:
        endpoint = {"analyze": "selfie", "check": "selfie", "expand": "llm", "moderate": "llm", "caption": "llm"}.get(
            kind(recorded["task"]), "zimage"
        )
        worker = Caller(pod, endpoint)
        for sent in (recorded, later(recorded)):
            assert worker.output(sent)["contract"] == 1
        worker.http.close()


@pytest.mark.parametrize("recorded", RECORDED["requests"], ids=lambda recorded: recorded["task"])
def test_request_of_another_release_has_the_same_meaning(recorded: dict[str, Any]) -> None:
    then = read_request(recorded, STAGE_REQUESTS)

    of_a_later = read_request(later(recorded), STAGE_REQUESTS)

    assert then.model_dump(mode="json", exclude_unset=True) == recorded
    assert of_a_later.model_dump(exclude={"context"}) == then.model_dump(exclude={"context"})


def test_every_task_of_the_workers_was_recorded() -> None:
    assert {recorded["task"] for recorded in RECORDED["requests"]} == set(STAGE_REQUESTS)
    assert {kind(task) for task in STAGE_REQUESTS} == set(RECORDED["results"])


def kind(task: str) -> str:
    return task.rpartition("/")[2]
