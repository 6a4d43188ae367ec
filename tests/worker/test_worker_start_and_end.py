"""Start, shutdown and exit of a worker process, and local runs without a platform."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import httpx
import pytest

from localpod import LocalEndpoint, LocalpodThread, Options, Scaler
from tests.worker.conftest import TIMED, until

LOADING = {"TIMED_LOAD_S": "60"}


class Plane:
    """A minimal platform that counts requests, records pings, and has no jobs."""

    def __init__(self):
        self.requests, self.pings = [], []
        plane = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlparse(self.path)
                plane.requests.append(url.path)
                if url.path.startswith("/ping"):
                    plane.pings.append(parse_qs(url.query))
                else:
                    time.sleep(0.2)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self, **more):
        at = f"http://127.0.0.1:{self.server.server_port}"
        return {
            **os.environ,
            "RUNPOD_ENDPOINT_ID": "timed",
            "RUNPOD_POD_ID": "w",
            "RUNPOD_AI_API_KEY": "k",
            "RUNPOD_WEBHOOK_GET_JOB": f"{at}/job-take/$ID?gpu=CPU",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{at}/job-done/$RUNPOD_POD_ID/$ID?gpu=CPU",
            "RUNPOD_WEBHOOK_PING": f"{at}/ping/$RUNPOD_POD_ID",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
            "WORKER_GRACE_S": "3",
            **more,
        }

    def asked_for_jobs(self):
        return any(path.startswith("/job-take") for path in self.requests)


@pytest.fixture
def plane():
    plane = Plane()
    yield plane
    plane.server.shutdown()
    plane.server.server_close()


@pytest.fixture
def start():
    """Start a process of the timed worker, and kill what remains of it at the end."""
    processes = []

    def start(*arguments, env=None, command=("-m", TIMED)):
        process = subprocess.Popen(
            [sys.executable, *command, *arguments],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_jobs_are_taken_only_after_loading_and_the_heartbeat_runs_before(plane, start):
    start(env=plane.environment(TIMED_LOAD_S="2"))
    until(lambda: plane.pings)
    assert not plane.asked_for_jobs()
    until(plane.asked_for_jobs)


@pytest.mark.parametrize(
    ("breaks", "sentence"),
    [("weights", "Fetch the weights: make weights."), ("oddly", "the worker's log describes it under the id")],
)
@pytest.mark.parametrize("loop", ["own", "stock"])
def test_a_worker_that_cannot_load_reports_one_sentence_and_exits_with_1(plane, start, loop, breaks, sentence):
    worker = start(env=plane.environment(TIMED_BREAKS=breaks, WORKER_LOOP=loop))
    out, err = worker.communicate(timeout=30)
    assert worker.returncode == 1
    (report,) = [ping for ping in plane.pings if ping.get("status") == ["unhealthy"]]
    assert report["check"] == ["load_weights"]
    assert sentence in report["reason"][0]
    assert sentence in out + err
    assert "secret" not in out + err
    assert "Traceback" not in out + err
    assert not plane.asked_for_jobs()


def test_wrong_setting_prints_one_line_and_exits_with_1(plane, start):
    worker = start(env=plane.environment(WORKER_GRACE_S="-1"))
    out, err = worker.communicate(timeout=30)
    assert (worker.returncode, out, len(err.splitlines())) == (1, "", 1)
    assert "grace_s" in err.lower()


ANOTHER_SDK = """
import sys, types, runpod.version
runpod.version.__version__ = "1.13.0"
sys.argv = ["timed"]
from tests.worker.handlers.timed import main, worker
main(worker)
"""


def test_unknown_sdk_release_is_refused_in_one_sentence(plane, start):
    worker = start(env=plane.environment(), command=("-c", ANOTHER_SDK))
    out, err = worker.communicate(timeout=30)
    assert (worker.returncode, out, len(err.splitlines())) == (1, "", 1)
    assert "1.13.0" in err
    assert "WORKER_LOOP=stock" in err


def test_stock_loop_runs_with_an_sdk_release_that_our_loop_refuses(plane, start):
    start(env=plane.environment(WORKER_LOOP="stock"), command=("-c", ANOTHER_SDK))
    until(plane.asked_for_jobs)


def test_worker_stopped_while_loading_exits_at_once(plane, start):
    worker = start(env=plane.environment(**LOADING))
    until(lambda: plane.pings)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=10) == 0
    assert not plane.asked_for_jobs()


def test_idle_worker_stops_with_status_0_and_its_log_is_json(plane, start):
    worker = start(env=plane.environment())
    until(plane.asked_for_jobs)
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=20)
    assert worker.returncode == 0
    lines = [json.loads(line) for line in (out + err).splitlines()]
    assert lines[-1]["message"] == "worker stopped"


def test_pending_data_is_sent_before_a_worker_exits(plane, start, tmp_path):
    left = tmp_path / "left"
    worker = start(env=plane.environment(TIMED_LEFT=str(left)))
    until(plane.asked_for_jobs)
    assert not left.exists()
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=20)
    assert left.read_text() == "left"


def test_heartbeat_process_ends_with_its_worker(plane, start):
    worker = start(env=plane.environment(**LOADING))
    until(lambda: plane.pings)
    (heartbeat,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    worker.kill()
    worker.wait(timeout=10)
    until(lambda: _gone(int(heartbeat)))


def _gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_workers_stopped_at_random_moments_lose_no_job(tmp_path):
    """Stop fifty workers. localpod counts requeued jobs: those that a worker neither ended nor returned."""
    draw = random.Random(4)
    local = LocalEndpoint(
        handler=TIMED, scaler=Scaler("request_count", 1, 3, 3), idle_timeout_s=600, env={"WORKER_GRACE_S": "2"}
    )
    options = Options(limits=False, state_dir=tmp_path, poll_timeout_s=1)
    with (
        LocalpodThread({"timed": local}, options) as pod,
        httpx.Client(base_url=pod.base_url, headers={"Authorization": "any"}, timeout=60) as http,
    ):
        signalled: set[int] = set()
        jobs = []
        while len(signalled) < 50:
            until(lambda: _ready(pod, but=signalled), timeout_s=60)
            for seconds in (0.0, 0.05, draw.choice([0.1, 0.3, 5.0])):
                job = {"input": {"task": "timed", "seconds": seconds}}
                jobs.append(http.post("/timed/run", json=job).json()["id"])
            time.sleep(draw.uniform(0, 0.3))
            pid = draw.choice(_ready(pod, but=signalled))
            os.kill(pid, signal.SIGTERM)
            signalled.add(pid)
        states = [until(lambda job=job: _ended(http, job), timeout_s=120) for job in jobs]
        counters = pod.counters("timed")
    failures = {json.loads(state["error"])["code"] for state in states if state["status"] != "COMPLETED"}
    assert failures <= {"worker_stopping"}
    assert counters.get("requeued", 0) == 0
    assert counters["COMPLETED"] + counters.get("FAILED", 0) == len(jobs)


def _ready(pod, *, but):
    """Return the pids of workers that take jobs, without those in `but`: localpod may not know yet that they exited."""
    return [w["pid"] for w in pod.workers("timed") if w["ready"] and not w["closing"] and w["pid"] not in but]


def _ended(http, job):
    state = http.get(f"/timed/status/{job}").json()
    return state if state["status"] in {"COMPLETED", "FAILED"} else None


def local(start, *arguments):
    process = start(*arguments, env={key: value for key, value in os.environ.items() if not key.startswith("RUNPOD_")})
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_local_job_prints_only_the_result_on_stdout(start):
    code, out, err = local(start, "--test_input", '{"input": {"task": "timed", "seconds": 0.1}}')
    assert code == 0
    assert json.loads(out)["batch_size"] == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("given", ["{not json", '"a string"', "[1]", "7", ""])
def test_invalid_local_job_prints_one_line_and_exits_with_1(start, given):
    code, out, err = local(start, "--test_input", given)
    assert (code, out) == (1, "")
    assert err == '--test_input must contain a job as JSON: {"input": {"task": …}}.\n'


def test_failed_local_job_prints_one_typed_error_and_exits_with_1(start):
    code, out, err = local(start, "--test_input", '{"task": "timed", "outcome": "refuse"}')
    assert (code, out) == (1, "")
    assert json.loads(err.splitlines()[-1])["code"] == "invalid_request"


def test_the_sdks_test_api_serves_the_worker(start):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
        port = free.server_port
    env = {key: value for key, value in os.environ.items() if not key.startswith("RUNPOD_")}
    start("--rp_serve_api", "--rp_api_port", str(port), env=env)
    answer = until(lambda: _asked(port))
    assert answer["output"]["batch_size"] == 1


def _asked(port):
    try:
        return httpx.post(f"http://127.0.0.1:{port}/runsync", json={"input": {"task": "timed"}}, timeout=5).json()
    except httpx.TransportError:
        return None
