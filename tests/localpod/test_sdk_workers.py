"""Workers under the unmodified SDK, and RunPod's own clients."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

CLIENT = """
import json, sys, runpod
runpod.api_key = "any"
endpoint = runpod.Endpoint("echo")
out = {"run_sync": endpoint.run_sync({"input": {"say": "hello"}})["echo"]}
job = endpoint.run({"input": {"sleep": 0.1}})
out["output"] = job.output(timeout=20)["echo"]
out["status"] = job.status()
slow = endpoint.run({"input": {"sleep": 30}})
out["cancel"] = slow.cancel()["status"]
out["stream"] = list(runpod.Endpoint("streaming").run({"input": {"chunks": 3}}).stream())
out["health"] = sorted(endpoint.health())
out["purge"] = endpoint.purge_queue()["status"]
print(json.dumps(out))
"""


@pytest.fixture
def http(stock_pod):
    with httpx.Client(base_url=stock_pod.base_url, headers={"Authorization": "any"}, timeout=60) as http:
        yield http


def ask(http, name, **given):
    return http.post(f"/{name}/runsync", json={"input": given}).json()


def follow(http, name, job_id, *, until=("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        seen = http.get(f"/{name}/status/{job_id}").json()
        if seen["status"] in until:
            return seen
        time.sleep(0.02)
    raise AssertionError(f"job stays {seen['status']}")


def test_the_plain_sdks_client_works_unchanged(stock_pod):
    env = {**os.environ, "RUNPOD_ENDPOINT_BASE_URL": stock_pod.base_url}
    done = subprocess.run([sys.executable, "-c", CLIENT], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "run_sync": {"say": "hello"},
        "output": {"sleep": 0.1},
        "status": "COMPLETED",
        "cancel": "CANCELLED",
        "stream": [{"number": 0}, {"number": 1}, {"number": 2}],
        "health": ["jobs", "workers"],
        "purge": "completed",
    }


ASYNC_CLIENT = """
import asyncio, json, aiohttp, runpod
async def main():
    async with aiohttp.ClientSession() as session:
        endpoint = runpod.AsyncioEndpoint("echo", session, api_key="any")
        job = await endpoint.run({"say": "hello"})
        output = await job.output(timeout=20)
        slow = await endpoint.run({"sleep": 30})
        cancelled = await slow.cancel()
        print(json.dumps([output["echo"], await job.status(), cancelled["status"], sorted(await endpoint.health())]))
asyncio.run(main())
"""


def test_the_plain_sdks_async_client_works_unchanged(stock_pod):
    env = {**os.environ, "RUNPOD_ENDPOINT_BASE_URL": stock_pod.base_url}
    done = subprocess.run([sys.executable, "-c", ASYNC_CLIENT], env=env, capture_output=True, text=True, check=True)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last == [{"say": "hello"}, "COMPLETED", "CANCELLED", ["jobs", "workers"]]


def test_a_handlers_error_fails_the_job_with_its_text_and_keeps_the_partial_output(http):
    answer = ask(http, "echo", fail="no luck")
    assert (answer["status"], answer["error"], answer["output"]) == ("FAILED", "no luck", {"partial": True})


def test_the_sdks_progress_update_shows_in_status(http):
    job_id = http.post("/echo/run", json={"input": {"progress": True, "sleep": 1.5}}).json()["id"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        seen = http.get(f"/echo/status/{job_id}").json()
        if seen["status"] == "IN_PROGRESS" and "output" in seen:
            break
        time.sleep(0.02)
    assert seen["output"] == {"step": 1}
    assert follow(http, "echo", job_id)["output"]["echo"]["progress"] is True


def test_a_cancelled_job_is_stopped_and_its_worker_serves_the_next(http):
    job_id = http.post("/echo/run", json={"input": {"sleep": 60}}).json()["id"]
    follow(http, "echo", job_id, until=("IN_PROGRESS",))
    http.post(f"/echo/cancel/{job_id}")
    started = time.monotonic()
    assert ask(http, "echo", say="next")["status"] == "COMPLETED"
    assert time.monotonic() - started < 10


def test_an_oversized_result_completes_without_output_and_the_worker_continues(http):
    job_id = http.post("/echo/run", json={"input": {"big": 10_000_001}}).json()["id"]
    seen = follow(http, "echo", job_id)
    assert seen["status"] == "COMPLETED"
    assert "output" not in seen
    assert ask(http, "echo", say="next")["status"] == "COMPLETED"


def test_the_job_of_a_killed_worker_completes_on_the_next_worker(stock_pod, http):
    before = stock_pod.counters("echo")
    job_id = http.post("/echo/run", json={"input": {"sleep": 1}}).json()["id"]
    seen = follow(http, "echo", job_id, until=("IN_PROGRESS",))
    assert stock_pod.kill_worker(seen["workerId"])
    ended = follow(http, "echo", job_id)
    assert ended["status"] == "COMPLETED"
    assert ended["workerId"] != seen["workerId"]
    assert stock_pod.counters("echo")["requeued"] == before.get("requeued", 0) + 1


def test_a_job_that_kills_every_worker_fails_with_a_reason(http):
    job_id = http.post("/echo/run", json={"input": {"die": True}}).json()["id"]
    seen = follow(http, "echo", job_id)
    assert seen["status"] == "FAILED"
    assert "signal 9" in seen["error"]
    assert ask(http, "echo", say="still here")["status"] == "COMPLETED"


def test_refresh_worker_replaces_the_worker(http):
    first = ask(http, "echo", refresh=True)
    assert first["status"] == "COMPLETED"
    assert ask(http, "echo", say="next")["workerId"] != first["workerId"]


def test_worker_with_eight_slots_takes_batches(http):
    jobs = [http.post("/wide/run", json={"input": {"n": n, "sleep": 0.5}}).json()["id"] for n in range(8)]
    ended = [follow(http, "wide", job_id) for job_id in jobs]
    assert [one["output"]["n"] for one in ended] == list(range(8))
    assert len({one["workerId"] for one in ended}) == 1
    assert max(one["delayTime"] for one in ended) < 3500


def test_worker_environment_is_the_platforms_not_the_callers(stock_pod, http):
    os.environ["RUNPOD_WEBHOOK_PING_OTHER"] = os.environ["BUCKET_SECRET_ACCESS_KEY"] = "the caller's"
    try:
        worker = stock_pod.workers("echo")[0]
        if worker["pid"]:
            stock_pod.kill_worker(worker["id"])
        names = ["RUNPOD_WEBHOOK_PING_OTHER", "BUCKET_SECRET_ACCESS_KEY", "RUNPOD_WEBHOOK_GET_JOB", "RUNPOD_POD_ID"]
        names += ["RUNPOD_ENDPOINT_ID", "RUNPOD_API_KEY", "ORCHESTRATOR_LLM_ENDPOINT_IDS", "RUNPOD_ENDPOINT_BASE_URL"]
        answer = ask(http, "echo", env=names)
    finally:
        del os.environ["RUNPOD_WEBHOOK_PING_OTHER"], os.environ["BUCKET_SECRET_ACCESS_KEY"]
    assert answer["output"]["env"] == {
        "RUNPOD_WEBHOOK_PING_OTHER": None,
        "BUCKET_SECRET_ACCESS_KEY": None,
        "RUNPOD_WEBHOOK_GET_JOB": f"{stock_pod.base_url}/echo/job-take/$ID?gpu=CPU",
        "RUNPOD_POD_ID": answer["workerId"],
        "RUNPOD_ENDPOINT_ID": "echo",
        "RUNPOD_API_KEY": "localpod",
        "ORCHESTRATOR_LLM_ENDPOINT_IDS": "echo",
        "RUNPOD_ENDPOINT_BASE_URL": stock_pod.base_url,
    }


def test_heartbeat_reaches_the_platform_and_ends_with_its_worker(stock_pod, http):
    ask(http, "echo", say="hello")
    worker = stock_pod.workers("echo")[0]
    slot = stock_pod.pod.served["echo"].endpoint.slots[worker["id"]]
    deadline = time.monotonic() + 10
    while not slot.pinged and time.monotonic() < deadline:
        time.sleep(0.05)
    assert slot.pinged
    children = subprocess.run(["pgrep", "-g", str(worker["pid"])], capture_output=True, text=True, check=True)
    group = [int(pid) for pid in children.stdout.split()]
    assert len(group) == 2
    os.kill(worker["pid"], 9)
    while any(_alive(pid) for pid in group) and time.monotonic() < deadline + 5:
        time.sleep(0.02)
    assert not any(_alive(pid) for pid in group)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ends while it is read
        return False
