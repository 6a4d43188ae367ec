"""Circuit breakers: when an endpoint gets no calls, and when it is tested again."""

from __future__ import annotations

import pytest

from core.errors import EndpointUnavailable, Misconfigured
from core.settings import OrchestratorSettings, Pool
from orchestrator.pools import Circuit, Pools


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Circuit:
    circuit = Circuit(failures=3, open_s=20, clock=clock)
    for _ in range(3):
        circuit.enter()
        circuit.failed()
    return circuit


def test_circuit_opens_after_consecutive_failures_only() -> None:
    circuit = Circuit(failures=3, open_s=20, clock=Clock())
    for _ in range(5):
        assert not circuit.failed()
        assert not circuit.failed()
        circuit.answered()
    assert [circuit.failed() for _ in range(3)] == [False, False, True]
    assert circuit.retry_in_s() == 20


def test_failures_of_earlier_calls_do_not_reopen_the_circuit() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now = 15
    assert not circuit.failed()
    assert circuit.retry_in_s() == 5


def test_open_circuit_lets_one_probe_through() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now = 20
    assert circuit.retry_in_s() == 0
    circuit.enter()
    assert circuit.retry_in_s() > 0
    assert circuit.failed()
    assert circuit.retry_in_s() == 20


def test_answered_probe_closes_the_circuit() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now = 20
    circuit.enter()
    circuit.answered()
    assert circuit.retry_in_s() == 0
    assert not circuit.failed()


def settings(**pools: tuple[str, ...]) -> OrchestratorSettings:
    return OrchestratorSettings(**{f"{pool}_endpoint_ids": ("one",) for pool in Pool} | pools)  # type: ignore[arg-type]  # checked by pydantic


def test_pools_that_share_an_endpoint_share_its_circuit() -> None:
    pools = Pools(settings())
    endpoint = pools.next(Pool.SHORTS)
    for _ in range(5):
        endpoint.circuit.enter()
        endpoint.circuit.failed()
    with pytest.raises(EndpointUnavailable, match="pool scenes"):
        pools.next(Pool.SCENES)


def test_pool_without_an_endpoint_names_its_setting() -> None:
    with pytest.raises(Misconfigured, match="ORCHESTRATOR_SHORTS_ENDPOINT_IDS"):
        Pools(settings(shorts_endpoint_ids=()))
