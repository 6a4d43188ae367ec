"""Health of the process, for the platform's load balancer and for monitoring.

May import: core, starlette, http_api.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from core.contracts import CONTRACT_VERSION
from core.policy import POLICY_VERSION
from core.version import VERSION
from http_api.answers import json_response
from http_api.jobs import Jobs
from orchestrator.service import Service


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one application; `server.py` answers for it while it is being loaded."""

    service: Service
    jobs: Jobs

    async def ping(self, request: Request) -> Response:
        """Health check for a load balancer: 200 when ready, 503 while draining; `server.py` answers 204 at start-up."""
        del request
        if self.jobs.draining:
            return json_response({"status": "draining"}, 503, {"Retry-After": "1"})
        return json_response({"status": "healthy"})

    async def healthz(self, request: Request) -> Response:
        del request
        pools = self.service.endpoints.pool_states()
        closed = all(state["open_circuits"] < state["endpoints"] for state in pools.values())
        return json_response(
            {
                "status": "draining" if self.jobs.draining else "ok" if closed else "degraded",
                "version": VERSION,
                "contract": CONTRACT_VERSION,
                "policy_version": POLICY_VERSION,
                "jobs_running": self.jobs.running,
                "pools": pools,
            }
        )
