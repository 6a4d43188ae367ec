"""A platform whose worker processes only sleep, so that the test sends their requests itself."""

import httpx
import pytest
import pytest_asyncio

from localpod import Localpod, LocalpodThread, Options, WorkerTimes
from tests.localpod.manual_worker import WORKER_KEY, ManualWorker, manual, pids, stock, until


@pytest_asyncio.fixture
async def pod(tmp_path):
    """A pod with the endpoints `e` (one worker), `pair` (two workers) and `none` (no workers)."""
    endpoints = {"e": manual(), "pair": manual(2), "none": manual(0)}
    options = Options(
        state_dir=tmp_path,
        shutdown_grace_s=0,
        webhook_retry_s=0.05,
        times=WorkerTimes(grace_s=0.3),
        worker_key=WORKER_KEY,
    )
    async with Localpod(endpoints, options) as pod:
        await until(lambda: (len(pids(pod)), len(pids(pod, "pair"))) == (1, 2))
        yield pod


@pytest_asyncio.fixture
async def http(pod):
    headers = {"Authorization": "Bearer any"}
    async with httpx.AsyncClient(base_url=pod.base_url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def worker(pod, http):
    return ManualWorker(http, "e", pod.workers("e")[0]["id"])


@pytest.fixture
def pair(pod, http):
    return [ManualWorker(http, "pair", worker["id"]) for worker in pod.workers("pair")]


@pytest.fixture(scope="session")
def stock_pod(tmp_path_factory):
    """Stock SDK workers, kept warm for the whole session: each costs more than a second to start."""
    endpoints = {
        "echo": stock("echo", calls_others=True, pools=("llm",)),
        "streaming": stock("streaming"),
        "wide": stock("wide"),
    }
    options = Options(warm=True, ping_interval_s=1, state_dir=tmp_path_factory.mktemp("state"))
    with LocalpodThread(endpoints, options) as pod:
        yield pod
