"""The local platform: endpoints, workers, HTTP server, webhooks and faults.

    async with Localpod(endpoints) as pod:
        httpx.post(f"{pod.base_url}/llm/runsync", json={"input": {...}}, headers={"Authorization": "any"})

`LocalpodThread` does the same for code without an event loop.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import shutil
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from localpod.api import Access, Api, Proxy, ServedEndpoint, balancer_health, health_of, limiters_for
from localpod.endpoint import Endpoint
from localpod.faults import Fault, FaultKind, Faults
from localpod.health_checks import HealthChecks
from localpod.jobs import Job
from localpod.load_balancer import LoadBalancer, ServedBalancer
from localpod.options import AnyEndpoints, Options, local_endpoints
from localpod.process_reaper import ProcessReaper
from localpod.spec import LocalEndpoint, Platform, pool_variables
from localpod.webhooks import Webhooks
from localpod.workers import WorkerContext, WorkerPool

KEY = "localpod"
KEEP_ALIVE_S = 600.0
WORKER_KEEP_ALIVE_S = 4.0
"""Below uvicorn's default of 5 s, so that a worker never closes a connection on which a request is being sent."""
MAX_LINE_BYTES = 65_536
"""Longest request line: the SDK lists every job in progress in the URL of its heartbeat."""
CONNECT_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}  # noqa: S104  # how this machine connects to such a host


def _server_log() -> logging.Logger:
    """Logger of aiohttp's server, without requests that can't be parsed: aiohttp logs their headers' text."""

    def parsed(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)

    logger = logging.getLogger("localpod.server")
    if not logger.filters:
        logger.addFilter(parsed)
    return logger


class PortInUse(OSError):
    """The port is in use."""


class Localpod:
    """The platform. Use `async with`, or `start` and `stop`. Raises `PortInUse`."""

    def __init__(self, endpoints: AnyEndpoints, options: Options | None = None) -> None:
        self.options = options or Options()
        self.endpoints = local_endpoints(endpoints, self.options)
        self.faults = Faults()
        self.served: dict[str, ServedEndpoint] = {}
        self.balancers: dict[str, ServedBalancer] = {}
        self.port = 0
        self.state_dir = Path()
        self.worker_key = self.options.worker_key or secrets.token_hex(16)
        self._mark = uuid.uuid4().hex
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._webhooks = Webhooks(self.options.webhook_retry_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=WORKER_KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        self._health_checks = HealthChecks(self._session, self.options.times)
        api = self._api()
        self._web = web.Server(
            api,
            handler_cancellation=True,
            access_log=None,
            logger=_server_log(),
            keepalive_timeout=KEEP_ALIVE_S,
            max_line_size=MAX_LINE_BYTES,
        )
        try:
            self._server = await self._listen()
        except OSError:
            await self._session.close()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self.state_dir = self.options.state_dir or Path(tempfile.mkdtemp(prefix="localpod-"))
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._reaper = ProcessReaper(self._mark)
        context = WorkerContext(
            platform=self.platform,
            times=self.options.times,
            state_dir=self.state_dir,
            faults=self.faults,
            reaper=self._reaper,
            echo=self.options.echo,
        )
        for name, local in self.endpoints.items():
            if local.load_balancer:
                self._add_load_balancer(name, local, context)
            else:
                self._add_endpoint(name, local, context)

    def _api(self) -> Api:
        options = self.options
        return Api(
            self.served,
            self.balancers,
            self.faults,
            Access(options.key, self.worker_key, options.allow_hosts, open_http=self.open_http),
            proxy=Proxy(self._session, request_timeout_s=options.request_timeout_s),
            state=self.state,
            poll_timeout_s=options.poll_timeout_s,
        )

    async def _listen(self) -> asyncio.Server:
        host, port = self.options.host, self.options.port
        try:
            return await asyncio.get_running_loop().create_server(self._web, host, port, backlog=1024)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortInUse(
                f"port {port} is in use; stop the process that listens there, or choose another with --port "
                "(0 picks a free one)"
            ) from None

    def _add_endpoint(self, name: str, local: LocalEndpoint, context: WorkerContext) -> None:
        clock = asyncio.get_running_loop().time
        endpoint = Endpoint(
            name, clock=clock, execution_timeout_s=local.execution_timeout_s, retention=self.options.retention
        )
        worker_pool = WorkerPool(endpoint, local, context)
        endpoint.on_change = worker_pool.schedule_scaling
        endpoint.on_final = lambda job: self._on_job_end(endpoint, job)
        endpoint.timers.on_earlier = lambda deadline: self._set_timer(endpoint, deadline)
        self.served[name] = ServedEndpoint(endpoint, worker_pool, limiters_for(clock, enforced=self.options.limits))
        worker_pool.schedule_scaling()

    def _add_load_balancer(self, name: str, local: LocalEndpoint, context: WorkerContext) -> None:
        clock = asyncio.get_running_loop().time
        balancer = LoadBalancer(name, clock=clock, no_worker_timeout_s=self.options.no_worker_timeout_s)
        worker_pool = WorkerPool(balancer, local, context)
        served = self.balancers[name] = ServedBalancer(balancer, worker_pool)
        balancer.on_change = worker_pool.schedule_scaling
        worker_pool.on_launch = lambda worker: self._health_checks.watch(served, worker)
        worker_pool.schedule_scaling()

    @property
    def _worker_pools(self) -> dict[str, WorkerPool]:
        queues = {name: served.worker_pool for name, served in self.served.items()}
        return queues | {name: served.worker_pool for name, served in self.balancers.items()}

    async def stop(self) -> None:
        """Stop the workers, then the connections. Jobs that have not ended are lost."""
        worker_pools = self._worker_pools.values()
        await asyncio.gather(*(worker_pool.stop(self.options.shutdown_grace_s) for worker_pool in worker_pools))
        for timer in self._timers.values():
            timer.cancel()
        await self._webhooks.close()
        await self._health_checks.close()
        self._server.close()
        await self._web.shutdown(timeout=0.2)
        await self._session.close()
        self._reaper.close()
        if self.options.state_dir is None and not any(worker_pool.crashes for worker_pool in worker_pools):
            shutil.rmtree(self.state_dir, ignore_errors=True)  # the log of a crashed worker is kept

    async def wait_ready(self) -> dict[str, str]:
        """Wait until every endpoint with a minimum of workers has one that is ready.

        Returns the reason of the failure by endpoint; empty on success.
        """
        kept = {name: pool for name, pool in self._worker_pools.items() if self.endpoints[name].scaler.min}
        for worker_pool in kept.values():
            await worker_pool.settled.wait()
        return {name: worker_pool.unhealthy for name, worker_pool in kept.items() if worker_pool.unhealthy is not None}

    @property
    def url(self) -> str:
        return f"http://{CONNECT_HOSTS.get(self.options.host, self.options.host)}:{self.port}"

    @property
    def base_url(self) -> str:
        """The value for `RUNPOD_ENDPOINT_BASE_URL`."""
        return f"{self.url}/v2"

    @property
    def open_http(self) -> bool:
        """Whether the HTTP API needs no key."""
        return self.options.open_http

    @property
    def key(self) -> str:
        return self.options.key or KEY

    @property
    def platform(self) -> Platform:
        return Platform(
            base_url=self.base_url,
            key=self.key,
            worker_key=self.worker_key,
            pools=pool_variables(self.endpoints),
            mark=self._mark,
            ping_interval_s=self.options.ping_interval_s,
            share_env=self.options.share_env,
        )

    def environment(self) -> dict[str, str]:
        """Variables for a program that calls the endpoints: base URL, key, endpoint ids of the pools."""
        return self.platform.caller_environment()

    def inject(self, fault: Fault) -> int:
        return self.faults.add(fault)

    def clear_faults(self) -> None:
        self.faults.clear()

    def fired(self, fault_id: int) -> int:
        """Number of times that a fault was applied."""
        return self.faults.fired(fault_id)

    def workers(self, name: str) -> list[dict[str, Any]]:
        """The endpoint's worker processes: id, pid, state, ids of their jobs, number of jobs taken, log file."""
        return [
            {
                "id": worker.slot.worker_id,
                "pid": worker.pid,
                "ready": worker.slot.ready,
                "closing": worker.slot.closing,
                "jobs": list(worker.slot.jobs),
                "taken": worker.slot.taken,
                "log": str(worker.log_path),
            }
            for worker in self._worker_pools[name].workers.values()
        ]

    def kill_worker(self, worker_id: str) -> bool:
        """Kill a worker and its heartbeat with SIGKILL. False when there is no such worker."""
        for pool in self._worker_pools.values():
            if (worker := pool.workers.get(worker_id)) is not None:
                worker.kill("was killed on demand")
                return True
        return False

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """Every stored job as `/status` answers it, with its task and number of deliveries; none without a queue."""
        if name in self.balancers:
            return []
        endpoint = self.served[name].endpoint
        return [{**job.for_client(), "task": job.task, "attempts": job.attempts} for job in endpoint.jobs.values()]

    def counters(self, name: str) -> dict[str, int]:
        """Totals: submitted, COMPLETED, …, requeued, retried, duplicated, late_results, expired, started."""
        counts = self.balancers[name].balancer.counts if name in self.balancers else self.served[name].endpoint.counts
        return {**counts, "started": self._worker_pools[name].started}

    def state(self) -> dict[str, Any]:
        """The body of `/localpod/state`."""
        return {
            "url": self.url,
            "pid": os.getpid(),
            "state_dir": str(self.state_dir),
            "endpoints": {
                name: {
                    **self._health(name),
                    "counters": self.counters(name),
                    "unhealthy": pool.unhealthy,
                    "processes": self.workers(name),
                }
                for name, pool in self._worker_pools.items()
            },
            "faults": self.faults.report(),
        }

    def _health(self, name: str) -> dict[str, dict[str, int]]:
        return balancer_health(self.balancers[name]) if name in self.balancers else health_of(self.served[name])

    def _on_job_end(self, endpoint: Endpoint, job: Job) -> None:
        self._webhooks.send(job)
        if self.faults.any:
            fault = self.faults.pick((FaultKind.EXPIRE_RESULT,), endpoint.name, task=job.task)
            if fault is not None:
                asyncio.get_running_loop().call_later(fault.delay_s, endpoint.expire, job)

    def _set_timer(self, endpoint: Endpoint, deadline: float) -> None:
        if (timer := self._timers.get(endpoint.name)) is not None:
            timer.cancel()
        self._timers[endpoint.name] = asyncio.get_running_loop().call_at(deadline, self._advance, endpoint)

    def _advance(self, endpoint: Endpoint) -> None:
        endpoint.advance()
        if (deadline := endpoint.next_deadline) is not None:
            self._set_timer(endpoint, deadline)
