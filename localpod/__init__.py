"""RunPod's endpoint API and worker protocol on localhost, with unmodified SDK processes as workers.

A development tool: it binds to loopback unless told otherwise, and its key keeps nobody out who is on the machine.

May import: core.settings, aiohttp, pydantic, structlog, typer, rich, httpx.
"""

from localpod.endpoint import RetentionPolicy
from localpod.faults import Fault, FaultKind
from localpod.pod import Localpod, LocalpodThread, Options, PortInUse
from localpod.scaling import Scaler
from localpod.spec import LocalEndpoint
from localpod.workers import WorkerTimes

__all__ = [
    "Fault",
    "FaultKind",
    "LocalEndpoint",
    "Localpod",
    "LocalpodThread",
    "Options",
    "PortInUse",
    "RetentionPolicy",
    "Scaler",
    "WorkerTimes",
]
