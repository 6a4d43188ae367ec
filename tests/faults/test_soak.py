"""A small soak: bench/soak.py with few enough chains for every run of the tests."""

from __future__ import annotations

import pytest

from bench.soak import soak

pytestmark = pytest.mark.timeout(240)


async def test_all_chains_end_under_faults_without_resource_growth() -> None:
    seen = await soak(chains=150, faults=0.2, in_flight=20)
    assert seen.lost == []
    # One chain may have two faults, which gives a retryable error.
    assert seen.ends.total() == 150
    assert seen.ends.keys() <= {"COMPLETED", "endpoint_unavailable", "throttled"}
    assert seen.ends["COMPLETED"] >= 140
    assert seen.left_running == 0
    assert seen.fired >= 10
    assert seen.memory_mb[-1] - seen.memory_mb[2] < 20
    assert seen.descriptors[-1] <= seen.descriptors[2] + 20
