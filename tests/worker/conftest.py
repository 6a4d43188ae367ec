"""One localpod for all tests here, with timed workers: model work is a sleep, everything else is real."""

import time

import httpx
import pytest

from localpod import LocalEndpoint, LocalpodThread, Options, Scaler

TIMED = "tests.worker.handlers.timed"


def timed(workers=1, **env):
    return LocalEndpoint(
        handler=TIMED,
        scaler=Scaler("request_count", 1, workers, workers),
        idle_timeout_s=600,
        env={"WORKER_GRACE_S": "4", **env},
    )


@pytest.fixture(scope="session")
def timed_pod(tmp_path_factory):
    endpoints = {
        "timed": timed(),
        "batch": timed(TIMED_BATCH="4"),
        "pair": timed(2),
        "stock": timed(WORKER_LOOP="stock"),
        "short": LocalEndpoint(handler=TIMED, scaler=Scaler("request_count", 1, 1, 1), execution_timeout_s=0.5),
    }
    options = Options(ping_interval_s=1, limits=False, state_dir=tmp_path_factory.mktemp("state"))
    with LocalpodThread(endpoints, options) as pod:
        yield pod


@pytest.fixture
def pod(timed_pod):
    yield timed_pod
    timed_pod.clear_faults()


@pytest.fixture
def client(pod):
    with httpx.Client(base_url=pod.base_url, headers={"Authorization": "any"}, timeout=60) as http:
        yield Client(http)


class Client:
    def __init__(self, http):
        self.http = http

    def sync(self, name, **payload):
        """Run a job and return its final state."""
        return self.follow(name, self.http.post(f"/{name}/runsync", json=_job(payload)).json()["id"])

    def start(self, name, **payload):
        return self.http.post(f"/{name}/run", json=_job(payload)).json()["id"]

    def state(self, name, job_id):
        return self.http.get(f"/{name}/status/{job_id}").json()

    def cancel(self, name, job_id):
        return self.http.post(f"/{name}/cancel/{job_id}").json()

    def follow(self, name, job_id, *, timeout_s=40):
        return until(
            lambda: state if (state := self.state(name, job_id))["status"] not in WAITING else None, timeout_s=timeout_s
        )


WAITING = ("IN_QUEUE", "IN_PROGRESS")


def _job(payload):
    return {"input": {"task": "timed", **payload}}


def until(holds, timeout_s=20.0):
    """Wait until `holds` returns a true value; return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise AssertionError("the condition was not met in time")
        time.sleep(0.01)
    return found
