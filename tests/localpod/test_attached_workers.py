"""Workers that are started elsewhere, for example in a container, and request jobs of an attached endpoint."""

import httpx
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from localpod import Localpod, Options
from localpod.__main__ import app
from tests.localpod.manual_worker import AS_WORKER, WORKER_KEY, ManualWorker, manual, status, submit


@pytest_asyncio.fixture
async def http(tmp_path):
    options = Options(state_dir=tmp_path, shutdown_grace_s=0, attach=("e",), worker_key=WORKER_KEY)
    headers = {"Authorization": "Bearer any"}
    async with (
        Localpod({"e": manual(), "other": manual(0)}, options) as pod,
        httpx.AsyncClient(base_url=pod.base_url, headers=headers, timeout=30) as client,
    ):
        yield client


async def test_an_external_worker_of_an_attached_endpoint_serves_a_job(http):
    job_id = await submit(http)
    external = ManualWorker(http, "e", "from-a-container")

    assert (await external.take())["id"] == job_id
    await external.done(job_id, {"output": 7})

    seen = (await status(http, job_id)).json()
    assert (seen["status"], seen["output"], seen["workerId"]) == ("COMPLETED", 7, "from-a-container")


async def test_no_process_is_started_for_an_attached_endpoint(http):
    await submit(http)

    assert (await http.get("/e/health")).json()["workers"]["initializing"] == 0


async def test_attached_worker_is_counted(http):
    await submit(http)
    await ManualWorker(http, "e", "from-a-container").take()

    assert (await http.get("/e/health")).json()["workers"]["running"] == 1


@pytest.mark.parametrize("operation", ["job-take", "job-stop"])
async def test_an_external_worker_of_another_endpoint_is_refused(http, operation):
    assert (await http.get(f"/other/{operation}/from-a-container?gpu=CPU", headers=AS_WORKER)).status_code == 404


def test_attaching_an_unknown_endpoint_is_refused_with_its_name():
    result = CliRunner().invoke(app, ["up", "--attach", "llm,nobody"])

    assert result.exit_code != 0
    assert "has no endpoint nobody" in result.output
