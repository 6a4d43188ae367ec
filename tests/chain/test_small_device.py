"""A picture that doesn't fit into the device's memory, through the orchestrator and a real worker process."""

from __future__ import annotations

from localpod import LocalEndpoint, LocalpodThread, Options, Scaler
from tests.chain.conftest import POOLS, STAND_IN, Caller

IMAGE = {"task": "imagegen", "prompt": "a lighthouse at dusk", "caption": False}


def test_request_that_does_not_fit_is_not_retried_and_its_worker_serves_the_next_job() -> None:
    one = Scaler("request_count", 1, 1, 1)
    endpoints = {
        name: LocalEndpoint(STAND_IN, Scaler("request_count", 1, 0, 1), pools=POOLS[name]) for name in ("selfie", "llm")
    }
    endpoints |= {
        "orchestrator": LocalEndpoint("orchestrator", Scaler("request_count", 50, 1, 1), calls_others=True),
        "zimage": LocalEndpoint("tests.chain.handlers.small_device", one, pools=POOLS["zimage"]),
    }
    with LocalpodThread(endpoints, Options(idle_timeout_s=600)) as pod:
        caller = Caller(pod)
        before = caller.output({**IMAGE, "width": 128, "height": 128})
        error = caller.error({**IMAGE, "width": 256, "height": 256})
        after = caller.output({**IMAGE, "width": 128, "height": 128})
        jobs = pod.jobs("zimage")
        caller.http.close()
    assert (error["code"], error["stage"], error["retryable"]) == ("too_large", "generate", False)
    assert "smaller sides" in error["message"]
    assert [job["status"] for job in jobs] == ["COMPLETED", "FAILED", "COMPLETED"], "one job for each request"
    workers = {result["timeline"][-1]["worker_id"] for result in (before, after)}
    assert len(workers) == 1, "the worker was not replaced"
