"""Structured logs; on RunPod one JSON object per line with the platform's own keys.

Only the keys in `ALLOWED` are logged. Any other key is dropped and counted, so that no prompt, picture, address or API
key is logged by mistake.

May import: structlog.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

ALLOWED = frozenset({
    "event", "level", "timestamp", "logger", "job_id", "task", "stage", "route", "endpoint_id", "pool", "worker",
    "worker_id",
    "trace_id", "error_id", "error_type", "code", "attempt", "of", "step", "status", "http_status", "retryable",
    "queue_ms", "execution_ms", "device_ms", "wall_ms", "wait_ms", "batch_size", "in_flight", "bytes", "limit_bytes",
    "where", "model", "revision", "profile", "device", "policy_version", "categories", "verdict", "reason", "signal",
    "jobs", "replayed", "gpu_s", "lost", "version", "url_host", "port", "pid", "exit_code", "dropped_facts",
    "caller", "pictures",
})  # fmt: skip


def _only_allowed(_: WrappedLogger, __: str, facts: EventDict) -> EventDict:
    kept = {key: value for key, value in facts.items() if key in ALLOWED}
    if len(kept) < len(facts):
        kept["dropped_facts"] = len(facts) - len(kept)
    return kept


def _platform_keys(_: WrappedLogger, __: str, facts: EventDict) -> EventDict:
    """Rename keys to `requestId`, `message` and `level`, which RunPod's console reads; the others are kept."""
    return {
        "requestId": facts.pop("job_id", None),
        "message": facts.pop("event"),
        "level": str(facts.pop("level", "info")).upper(),
        **facts,
    }


def configure(*, on_platform: bool, level: str = "INFO") -> None:
    """Configure logging once, in a `__main__`. Logs go to stderr, so that stdout contains results only."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _only_allowed,
    ]
    ending: list[Any] = (
        [_platform_keys, structlog.processors.JSONRenderer()]
        if on_platform
        else [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), structlog.dev.ConsoleRenderer()]
    )
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Importing runpod adds a handler to the root logger. Library logs may contain addresses, so only warnings pass.
    logging.getLogger().setLevel(logging.WARNING)


def logger() -> Any:
    """A structlog logger; typed Any, as structlog's own types are."""
    return structlog.get_logger()
