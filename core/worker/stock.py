"""The SDK's own job loop, for `WORKER_LOOP=stock` and `--rp_serve_api`. Works with releases that `sdk.py` refuses.

May import: runpod.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Handler = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]


def run_stock(handler: Handler, *, load: Callable[[], None], concurrency: int, serve_api: bool) -> None:
    """Run the SDK's loop. `load` is a fitness check; the SDK's test API runs none, so there it is called first."""
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")  # its default, DEBUG, logs every input and output
    import runpod

    if serve_api:
        load()
    else:
        runpod.serverless.register_fitness_check(load)
    # Constant: a concurrency that fluctuates makes the SDK's loop drain the worker again and again.
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: concurrency})
