"""Worker pools: scaling from zero to the maximum and back, crashes, timeouts and stops."""

import dataclasses
import sys
import time
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from localpod import LocalEndpoint, Localpod, Options, Scaler, WorkerTimes
from tests.localpod.manual_worker import SLEEPER, WORKER_KEY, ManualWorker, pids, status, stock, submit, until


@pytest_asyncio.fixture
async def start(tmp_path):
    """Start a localpod with one endpoint `e`; yield it and a client of it."""
    pods, clients = [], []

    async def start(endpoint, **options):
        pod = Localpod(
            {"e": endpoint},
            Options(**{"shutdown_grace_s": 0, "state_dir": tmp_path, "worker_key": WORKER_KEY, **options}),
        )
        await pod.start()
        pods.append(pod)
        clients.append(httpx.AsyncClient(base_url=pod.base_url, headers={"Authorization": "x"}, timeout=30))
        return pod, clients[-1]

    yield start
    for client in clients:
        await client.aclose()
    for pod in pods:
        await pod.stop()


async def test_request_count_scales_from_zero_to_the_maximum_and_back(start):
    endpoint = stock("echo", scaler=Scaler("request_count", 1, 0, 2), idle_timeout_s=1)
    pod, http = await start(endpoint)
    assert pod.workers("e") == []
    jobs = [await submit(http, input={"sleep": 0.5}) for _ in range(6)]
    await until(lambda: pod.counters("e").get("COMPLETED") == 6)
    assert pod.counters("e")["started"] == 2
    workers = {(await status(http, job_id)).json()["workerId"] for job_id in jobs}
    assert len(workers) == 2
    await until(lambda: not pod.workers("e"))
    assert (await http.get("/e/health")).json()["workers"]["ready"] == 0


async def test_queue_delay_starts_the_first_at_once_and_another_when_the_head_waits_too_long(start):
    endpoint = LocalEndpoint(handler=SLEEPER, scaler=Scaler("queue_delay", 0.3, 0, 3), idle_timeout_s=60)
    pod, http = await start(endpoint)
    for _ in range(5):
        await submit(http)
    await until(lambda: pod.workers("e"))
    assert len(pod.workers("e")) == 1
    await until(lambda: len(pod.workers("e")) == 2, timeout_s=2)
    await until(lambda: len(pod.workers("e")) == 3, timeout_s=2)


async def test_a_cold_start_delay_is_part_of_the_jobs_delay_time(start):
    pod, http = await start(stock("echo"), times=WorkerTimes(cold_start_s=0.5))
    answer = (await http.post("/e/runsync", json={"input": {}})).json()
    assert answer["delayTime"] > 500
    assert pod.counters("e")["started"] == 1


async def test_warm_keeps_one_worker_without_any_job(start):
    pod, _ = await start(stock("echo", idle_timeout_s=0.1), warm=True)
    assert await pod.wait_ready() == {}
    worker_pool = pod.served["e"].worker_pool
    worker = next(iter(worker_pool.workers.values()))
    worker.slot.idle_since -= 10
    worker_pool._check_idle(worker)
    assert not worker.slot.closing
    worker_pool.local = dataclasses.replace(worker_pool.local, scaler=Scaler("request_count", 1, 0, 1))
    worker_pool._check_idle(worker)
    assert worker.slot.closing


async def test_waiting_for_workers_fails_with_the_reason_if_none_starts(start):
    pod, _ = await start(stock("crash"), warm=True)
    assert "exited with code 1" in (await pod.wait_ready())["e"]


async def test_a_worker_that_crashes_at_start_fails_the_queue_and_names_its_log(start):
    pod, http = await start(stock("crash"))
    job_id = await submit(http)
    await until(lambda: pod.counters("e").get("FAILED"))
    seen = (await status(http, job_id)).json()
    assert seen["status"] == "FAILED"
    assert "exited with code 1" in seen["error"]
    assert "this model can't be loaded" in _log_named_in(seen["error"])
    assert (await http.get("/e/health")).json()["workers"]["unhealthy"] == 1
    assert pod.counters("e")["started"] == 3


async def test_an_unhealthy_endpoint_tries_one_worker_for_the_next_job_and_does_not_hang(start):
    pod, http = await start(stock("crash"))
    for number in (1, 2):
        await submit(http)
        await until(lambda number=number: pod.counters("e").get("FAILED") == number)
    assert pod.counters("e")["started"] == 4


async def test_a_command_that_does_not_exist_fails_its_jobs(start):
    pod, http = await start(LocalEndpoint(handler=("no-such-program",)))
    job_id = await submit(http)
    await until(lambda: pod.counters("e").get("FAILED"))
    assert (await status(http, job_id)).json()["status"] == "FAILED"


async def test_a_worker_that_is_never_ready_is_killed_after_the_init_timeout(start):
    endpoint = LocalEndpoint(handler=SLEEPER, scaler=Scaler("request_count", 1, 0, 1))
    pod, http = await start(endpoint, times=WorkerTimes(init_timeout_s=0.1))
    job_id = await submit(http)
    await until(lambda: pod.counters("e").get("FAILED"))
    assert "not ready within 0.1 s" in (await status(http, job_id)).json()["error"]


async def test_a_worker_that_ignores_sigterm_is_killed_after_its_grace(start):
    stubborn = (sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)")
    pod, _ = await start(
        LocalEndpoint(handler=stubborn, scaler=Scaler("request_count", 1, 1, 1)), times=WorkerTimes(grace_s=0.3)
    )
    worker_pool = pod.served["e"].worker_pool
    await until(lambda: pod.workers("e") and pod.workers("e")[0]["pid"])
    worker = next(iter(worker_pool.workers.values()))
    await until(lambda: _ignores_sigterm(worker.pid))
    worker_pool.retire(worker)
    await until(worker.exited.done)
    assert worker.kill_reason == "did not stop within the grace"


async def test_stop_waits_for_a_stock_worker_to_exit(start):
    pod, http = await start(stock("echo"), shutdown_grace_s=10)
    await http.post("/e/runsync", json={"input": {}})
    worker = next(iter(pod.served["e"].worker_pool.workers.values()))
    started = time.monotonic()
    await pod.served["e"].worker_pool.stop(10)
    assert worker.process.returncode == 0
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("low", [True, False])
async def test_a_low_priority_job_starts_no_worker(start, low):
    pod, http = await start(LocalEndpoint(handler=SLEEPER, scaler=Scaler("request_count", 1, 0, 1)))
    await submit(http, policy={"lowPriority": low})
    pod.served["e"].worker_pool._scale_now()
    assert len(pod.workers("e")) == (0 if low else 1)


def _log_named_in(error):
    return Path(error.rsplit("its log: ", 1)[1]).read_text(encoding="utf-8")


def _ignores_sigterm(pid):
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    ignored = next(line for line in lines if line.startswith("SigIgn:"))
    return int(ignored.split()[1], 16) >> 14 & 1


async def test_a_job_that_runs_too_long_times_out_though_others_end_meanwhile(start):
    endpoint = LocalEndpoint(handler=SLEEPER, scaler=Scaler("request_count", 9, 1, 1), execution_timeout_s=0.3)
    pod, http = await start(endpoint)
    await until(lambda: pids(pod))
    worker = ManualWorker(http, "e", pod.workers("e")[0]["id"])
    quick, slow = await submit(http), await submit(http)
    await worker.take_batch(2)
    await worker.done(quick, {"output": 1})
    await until(lambda: pod.counters("e").get("TIMED_OUT") == 1, timeout_s=5)
    assert (await status(http, slow)).json()["status"] == "TIMED_OUT"
    assert (await worker.stops()).json() == {"jobsToStop": [slow]}


async def test_a_killed_worker_is_noticed_while_its_output_is_shown(start):
    lines = []
    pod, http = await start(stock("echo"), echo=lambda endpoint, line: lines.append(line), ping_interval_s=1)
    await http.post("/e/runsync", json={"input": {}})
    job_id = await submit(http, input={"die": True})
    await until(lambda: pod.counters("e").get("FAILED") == 1)
    assert "signal 9" in (await status(http, job_id)).json()["error"]
    assert any("Started." in line for line in lines)
