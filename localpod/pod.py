"""A whole local platform in one object: endpoints, workers, HTTP, webhooks and faults.

    async with Localpod(endpoints) as pod:
        httpx.post(f"{pod.base_url}/llm/runsync", json={"input": {...}}, headers={"Authorization": "any"})

`LocalpodThread` is the same for a script or a fixture without an event loop.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from core.settings import Endpoints, EndpointSpec
from localpod.api import HOLD_S, Api, Served, health_of, limiters_for
from localpod.endpoint import Endpoint, RetentionPolicy
from localpod.faults import Fault, FaultKind, Faults
from localpod.jobs import Job
from localpod.process_reaper import ProcessReaper
from localpod.spec import LocalEndpoint, Platform, pool_variables
from localpod.webhooks import RETRY_AFTER_S, Webhooks
from localpod.workers import WorkerContext, WorkerPool, WorkerTimes

Found = TypeVar("Found")
AnyEndpoints = Endpoints | Mapping[str, EndpointSpec | LocalEndpoint]
KEY = "localpod"
KEEP_ALIVE_S = 600.0
LONGEST_LINE = 65_536
"""Bytes of a request line: the SDK names every job in hand in its ping's address."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}  # noqa: S104  # what such a host is called from here


class PortInUse(OSError):
    """The message names the port and says what to do."""


@dataclass(frozen=True)
class Options:
    """How a localpod behaves. Seconds; the defaults are the platform's where it documents any.

    `key` None takes any key. `warm` keeps at least one worker per endpoint. `idle_timeout_s` overrides every
    endpoint's own. `shutdown_grace_s` is what workers get to leave when localpod stops. `share_env` names
    environment variables, of those kept from workers, that they are to have after all. `attach` names endpoints whose
    workers are started by somebody else.
    """

    host: str = "127.0.0.1"
    port: int = 0
    key: str | None = None
    warm: bool = False
    limits: bool = True
    idle_timeout_s: float | None = None
    hold_s: float = HOLD_S
    ping_interval_s: float = 10.0
    shutdown_grace_s: float = 3.0
    webhook_retry_s: float = RETRY_AFTER_S
    times: WorkerTimes = field(default_factory=WorkerTimes)
    keeping: RetentionPolicy = field(default_factory=RetentionPolicy)
    share_env: Collection[str] = ()
    attach: Collection[str] = ()
    state_dir: Path | None = None
    echo: Callable[[str, str], None] | None = None


def local_endpoints(endpoints: AnyEndpoints, options: Options) -> dict[str, LocalEndpoint]:
    given = endpoints.endpoints if isinstance(endpoints, Endpoints) else endpoints
    locals_ = {name: one if isinstance(one, LocalEndpoint) else LocalEndpoint.of(one) for name, one in given.items()}
    adapted = {name: _adapted(one, options) for name, one in locals_.items()}
    return adapted | {name: _attached(adapted[name]) for name in options.attach}


def _attached(endpoint: LocalEndpoint) -> LocalEndpoint:
    return replace(endpoint, attached=True, scaler=replace(endpoint.scaler, min=0, max=0))


def _adapted(endpoint: LocalEndpoint, options: Options) -> LocalEndpoint:
    if options.idle_timeout_s is not None:
        endpoint = replace(endpoint, idle_timeout_s=options.idle_timeout_s)
    if options.warm:
        endpoint = replace(endpoint, scaler=replace(endpoint.scaler, min=max(1, endpoint.scaler.min)))
    return endpoint


class Localpod:
    """Start it with `async with`, or `start` and `stop`. Raises `PortInUse`."""

    def __init__(self, endpoints: AnyEndpoints, options: Options | None = None) -> None:
        self.options = options or Options()
        self.endpoints = local_endpoints(endpoints, self.options)
        self.faults = Faults()
        self.served: dict[str, Served] = {}
        self.port = 0
        self.state_dir = Path()
        self._mark = uuid.uuid4().hex
        self._dues: dict[str, asyncio.TimerHandle] = {}
        self._webhooks = Webhooks(self.options.webhook_retry_s)

    # ── start and stop ───────────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        api = Api(self.served, self.faults, key=self.options.key, state=self.state, hold_s=self.options.hold_s)
        self._web = web.Server(
            api, handler_cancellation=True, access_log=None, keepalive_timeout=KEEP_ALIVE_S, max_line_size=LONGEST_LINE
        )
        try:
            self._server = await loop.create_server(self._web, self.options.host, self.options.port, backlog=1024)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"port {self.options.port} is in use; stop what listens there, or take another with --port "
                    "(0 finds a free one)"
                ) from None
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self.state_dir = self.options.state_dir or Path(tempfile.mkdtemp(prefix="localpod-"))
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._warden = ProcessReaper(self._mark)
        grounds = WorkerContext(
            platform=self.platform,
            times=self.options.times,
            state_dir=self.state_dir,
            faults=self.faults,
            warden=self._warden,
            echo=self.options.echo,
        )
        for name, local in self.endpoints.items():
            self._serve(name, local, grounds)

    def _serve(self, name: str, local: LocalEndpoint, grounds: WorkerContext) -> None:
        clock = asyncio.get_running_loop().time
        endpoint = Endpoint(
            name, clock=clock, execution_timeout_s=local.execution_timeout_s, keeping=self.options.keeping
        )
        fleet = WorkerPool(endpoint, local, grounds)
        endpoint.on_change = fleet.look
        endpoint.on_final = lambda job: self._ended(endpoint, job)
        endpoint.on_due = lambda due_at: self._arm(endpoint, due_at)
        self.served[name] = Served(endpoint, fleet, limiters_for(clock, enforced=self.options.limits))
        fleet.look()

    async def stop(self) -> None:
        """Ends the workers, then the connections. Jobs that have not ended are gone."""
        fleets = [served.fleet for served in self.served.values()]
        await asyncio.gather(*(fleet.stop(self.options.shutdown_grace_s) for fleet in fleets))
        for due in self._dues.values():
            due.cancel()
        await self._webhooks.close()
        self._server.close()
        await self._web.shutdown(timeout=0.2)
        self._warden.close()
        if self.options.state_dir is None and not any(fleet.died for fleet in fleets):
            shutil.rmtree(self.state_dir, ignore_errors=True)  # logs are kept where somebody may want to know why

    async def wait_ready(self) -> dict[str, str]:
        """Waits until every endpoint that keeps workers has one that asks for jobs.

        Returns the reasons of those that can't get one, by endpoint; empty when all is well.
        """
        kept = {name: served.fleet for name, served in self.served.items() if self.endpoints[name].scaler.min}
        for fleet in kept.values():
            await fleet.settled.wait()
        return {name: fleet.unhealthy for name, fleet in kept.items() if fleet.unhealthy is not None}

    # ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        return f"http://{EVERYWHERE.get(self.options.host, self.options.host)}:{self.port}"

    @property
    def base_url(self) -> str:
        """What `RUNPOD_ENDPOINT_BASE_URL` is to be."""
        return f"{self.url}/v2"

    @property
    def key(self) -> str:
        return self.options.key or KEY

    @property
    def platform(self) -> Platform:
        return Platform(
            base_url=self.base_url,
            key=self.key,
            worker_key=uuid.uuid5(uuid.NAMESPACE_OID, self._mark).hex,
            pools=pool_variables(self.endpoints),
            mark=self._mark,
            ping_interval_s=self.options.ping_interval_s,
            share_env=self.options.share_env,
        )

    def environment(self) -> dict[str, str]:
        """What a program needs to call the endpoints: the base URL, a key, and the pools."""
        return self.platform.for_caller()

    # ── faults and insight ───────────────────────────────────────────────────────────────────────────────────────────

    def inject(self, fault: Fault) -> int:
        return self.faults.add(fault)

    def clear_faults(self) -> None:
        self.faults.clear()

    def fired(self, fault_id: int) -> int:
        """How often a fault has met something."""
        return self.faults.fired(fault_id)

    def workers(self, name: str) -> list[dict[str, Any]]:
        """The endpoint's workers: id, pid, state, the ids of their jobs, how many jobs they took, log file."""
        return [
            {
                "id": worker.seat.worker_id,
                "pid": worker.pid,
                "ready": worker.seat.ready,
                "closing": worker.seat.closing,
                "jobs": list(worker.seat.jobs),
                "taken": worker.seat.taken,
                "log": str(worker.log_path),
            }
            for worker in self.served[name].fleet.workers.values()
        ]

    def kill_worker(self, worker_id: str) -> bool:
        """`kill -9` of a worker and its heartbeat; False when there is no such worker."""
        for served in self.served.values():
            if (worker := served.fleet.workers.get(worker_id)) is not None:
                worker.kill("was killed on demand")
                return True
        return False

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """Every job the endpoint still knows, as `/status` would answer, its task, and how often it was handed out."""
        endpoint = self.served[name].endpoint
        return [{**job.for_client(), "task": job.task, "attempts": job.attempts} for job in endpoint.jobs.values()]

    def counters(self, name: str) -> dict[str, int]:
        """Since the start: submitted, COMPLETED, …, requeued, retried, duplicated, late_results, expired, started."""
        served = self.served[name]
        return {**served.endpoint.counts, "started": served.fleet.started}

    def state(self) -> dict[str, Any]:
        """What `/localpod/state` answers."""
        return {
            "url": self.url,
            "pid": os.getpid(),
            "state_dir": str(self.state_dir),
            "endpoints": {
                name: {
                    **health_of(served),
                    "counters": self.counters(name),
                    "unhealthy": served.fleet.unhealthy,
                    "processes": self.workers(name),
                }
                for name, served in self.served.items()
            },
            "faults": self.faults.report(),
        }

    # ── wiring ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ended(self, endpoint: Endpoint, job: Job) -> None:
        self._webhooks.send(job)
        if self.faults.any:
            fault = self.faults.pick((FaultKind.EXPIRE_RESULT,), endpoint.name, task=job.task)
            if fault is not None:
                asyncio.get_running_loop().call_later(fault.delay_s, endpoint.expire, job)

    def _arm(self, endpoint: Endpoint, due_at: float) -> None:
        planned = self._dues.get(endpoint.name)
        if planned is not None:
            planned.cancel()
        self._dues[endpoint.name] = asyncio.get_running_loop().call_at(due_at, self._advance, endpoint)

    def _advance(self, endpoint: Endpoint) -> None:
        endpoint.advance()
        if (due_at := endpoint.next_due) is not None:
            self._arm(endpoint, due_at)


class LocalpodThread:
    """A `Localpod` with its event loop in a thread, for code without one. Its methods are the pod's, run over there."""

    def __init__(self, endpoints: AnyEndpoints, options: Options | None = None) -> None:
        self.pod = Localpod(endpoints, options)
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="localpod", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the platform listens. Raises `PortInUse`."""
        self._thread.start()
        self._started.wait()
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  # handed to the thread that waits in `start`
            self._failed = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with self.pod:
            self._started.set()
            await self._stopping.wait()

    def _over_there(self, look: Callable[[], Found]) -> Found:
        async def run() -> Found:
            return look()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    @property
    def url(self) -> str:
        return self.pod.url

    @property
    def base_url(self) -> str:
        return self.pod.base_url

    @property
    def key(self) -> str:
        return self.pod.key

    def environment(self) -> dict[str, str]:
        return self.pod.environment()

    def wait_ready(self) -> dict[str, str]:
        return asyncio.run_coroutine_threadsafe(self.pod.wait_ready(), self._loop).result()

    def inject(self, fault: Fault) -> int:
        return self._over_there(lambda: self.pod.inject(fault))

    def clear_faults(self) -> None:
        self._over_there(self.pod.clear_faults)

    def fired(self, fault_id: int) -> int:
        return self._over_there(lambda: self.pod.fired(fault_id))

    def workers(self, name: str) -> list[dict[str, Any]]:
        return self._over_there(lambda: self.pod.workers(name))

    def kill_worker(self, worker_id: str) -> bool:
        return self._over_there(lambda: self.pod.kill_worker(worker_id))

    def jobs(self, name: str) -> list[dict[str, Any]]:
        return self._over_there(lambda: self.pod.jobs(name))

    def counters(self, name: str) -> dict[str, int]:
        return self._over_there(lambda: self.pod.counters(name))

    def state(self) -> dict[str, Any]:
        return self._over_there(self.pod.state)
