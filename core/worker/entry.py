"""`main(worker)`: what `python -m handlers.zimage` does. On the platform a job loop, anywhere else one job.

May import: core.errors, core.logs, core.settings, core.worker.*. The SDK is imported only where it is used.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import ImgPodError, Misconfigured
from core.logs import configure, logger
from core.settings import Settings, load_settings
from core.worker.job import M, Reply, Respond, Worker, answer
from core.worker.progress import Progress

log = logger()


def main(declare: Callable[[Settings], Worker[M]]) -> None:
    """Exits with 0 when the worker left in good order or the local job succeeded, else with 1."""
    arguments, _ = _parser().parse_known_args()
    try:
        settings = load_settings()
        worker = declare(settings)
    except Misconfigured as error:
        print(error.message, file=sys.stderr)
        sys.exit(1)
    on_platform = settings.platform.webhook_get_job is not None and not arguments.test_input
    configure(on_platform=settings.platform.endpoint_id is not None, level=settings.worker.log_level)
    if on_platform and settings.worker.loop == "own":
        _run_own_loop(worker, settings)
    elif on_platform or arguments.rp_serve_api:
        _run_stock_loop(worker, settings)
    else:
        sys.exit(_try_one(worker, arguments.test_input, settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Starts the worker, or tries one job where there is no platform.")
    parser.add_argument("--test_input", help='A job as JSON: {"input": {…}}. Unset: the worker\'s own test input.')
    parser.add_argument("--rp_serve_api", action="store_true", help="Serve the SDK's own test API instead.")
    return parser


# ── on the platform ──────────────────────────────────────────────────────────────────────────────────────────────────


def _run_own_loop(worker: Worker[M], settings: Settings) -> None:
    from core.worker import sdk
    from core.worker.loop import JobLoop

    started = time.monotonic()
    heartbeat = sdk.Heartbeat()
    loaded: list[Respond[M]] = []

    def load_weights() -> None:
        loaded.append(worker.load())

    sdk.check_fitness(load_weights)
    log.info("worker ready", worker=worker.name, wall_ms=round(1000 * (time.monotonic() - started)))

    async def serve() -> None:
        async with sdk.Platform() as platform:
            loop = JobLoop(
                platform,
                lambda raw, progress: answer(raw, worker, loaded[0], progress, settings.worker.max_result_bytes),
                settings.worker,
                running=worker.running,
                concurrency=worker.concurrency,
            )
            await loop.run(heartbeat)

    asyncio.run(serve())
    log.info("worker left", worker=worker.name)


def _run_stock_loop(worker: Worker[M], settings: Settings) -> None:
    """The fallback: the SDK's own loop. Replies are the same, with its delays and without our delivery."""
    from core.worker import sdk

    respond = worker.load()

    async def handler(raw: dict[str, Any]) -> dict[str, Any]:
        async def drop(_: object) -> None:
            """The SDK's progress updates may overtake the result, so the stock loop reports none."""

        reply = await answer(raw, worker, respond, Progress(drop, interval_s=60), settings.worker.max_result_bytes)
        body: dict[str, Any] = json.loads(reply.body)
        if reply.error is not None:
            return {"error": body["error"], "refresh_worker": reply.refresh}
        output: dict[str, Any] = body["output"]
        return output

    sdk.run_stock(handler, concurrency=worker.concurrency)


# ── anywhere else ────────────────────────────────────────────────────────────────────────────────────────────────────


def _try_one(worker: Worker[M], given: str | None, settings: Settings) -> int:
    """One job from `--test_input` or the worker's file. Prints the result, its picture written to `out/`."""
    try:
        raw = json.loads(given) if given else json.loads(worker.test_input.read_text(encoding="utf-8"))
        raw = raw if "input" in raw else {"input": raw}
    except (OSError, ValueError, TypeError):
        where = "--test_input" if given else str(worker.test_input.name)
        print(f'{where} must hold a job as JSON: {{"input": {{"task": …}}}}.', file=sys.stderr)
        return 1
    try:
        reply = asyncio.run(_answer_one(worker, {"id": "local", **raw}, settings))
    except ImgPodError as error:
        print(error.message, file=sys.stderr)
        return 1
    if reply.error is not None:
        print(reply.error.to_wire(), file=sys.stderr)
        return 1
    print(json.dumps(_shown(json.loads(reply.body)["output"], worker.name), indent=2, ensure_ascii=False))
    return 0


async def _answer_one(worker: Worker[M], raw: dict[str, Any], settings: Settings) -> Reply:
    respond = await asyncio.to_thread(worker.load)

    async def show(report: Any) -> None:
        print(f"  {report.stage} {report.step}/{report.of}  {report.percent} %", file=sys.stderr)

    progress = Progress(show, interval_s=settings.worker.progress_interval_s)
    reply = await answer(raw, worker, respond, progress, settings.worker.max_result_bytes)
    await progress.close()
    return reply


def _shown(output: dict[str, Any], name: str) -> dict[str, Any]:
    """The result without the picture's text, which goes to a file that can be opened."""
    if encoded := output.get("image_base64"):
        path = Path("out") / f"{name}.{output['image_format']}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(encoded))
        return {**output, "image_base64": f"({len(encoded):,} characters; the picture is in {path})"}
    return output
