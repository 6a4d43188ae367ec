"""RunPod's endpoint API and worker protocol on localhost, with unmodified SDK processes as workers.

A development tool: it listens on loopback by default, and its keys don't protect it from programs on the same machine.

May import: core.settings, aiohttp, pydantic, structlog, typer, rich, httpx.
"""

from localpod.endpoint import RetentionPolicy
from localpod.faults import Fault, FaultKind
from localpod.options import Options
from localpod.pod import Localpod, PortInUse
from localpod.scaling import Scaler
from localpod.spec import LocalEndpoint
from localpod.thread import LocalpodThread
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
