"""Start a worker: the job loop on the platform, one local job elsewhere.

May import: core.contracts, core.errors, core.logs, core.settings, core.worker.*; the SDK inside functions only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn

from core.contracts import StageProgress
from core.errors import ImgPodError, Misconfigured
from core.logs import configure, logger
from core.settings import Settings, load_settings
from core.worker.job import JobHandler, M, Reply, Worker, answer, internal_error
from core.worker.progress import Progress

log = logger()


def main(declare: Callable[[Settings], Worker[M]]) -> None:
    """Run the worker that `declare` returns. Exit status 0: it drained, or the local job succeeded; else 1."""
    arguments, _ = _parser().parse_known_args()
    try:
        settings = load_settings()
        configure(on_platform=settings.platform.endpoint_id is not None, level=settings.worker.log_level)
        code = _start(declare(settings), arguments, settings)
    except Misconfigured as error:
        print(error.message, file=sys.stderr)
        code = 1
    exit_at_once(code)


def exit_at_once(code: int) -> NoReturn:
    """Exit without Python's own shutdown, which takes seconds and can crash while a device thread is in a step."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _exit_before_first_job(number: int, _: object) -> None:
    """Exit on SIGTERM before the first job; unwinding a half-loaded model could hang.

    Without a handler, process 1 of a container ignores the signal.
    """
    log.info("worker stopping before its first job", signal=signal.Signals(number).name)
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Start the worker, or run one job where there is no platform.")
    parser.add_argument("--test_input", help='A job as JSON: {"input": {…}}. Unset: the worker\'s own test input.')
    parser.add_argument("--rp_serve_api", action="store_true", help="Serve the SDK's own test API instead.")
    return parser


def _start(worker: Worker[M], arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.rp_serve_api:
        return _run_stock_loop(worker, settings, serve_api=True)
    if settings.platform.webhook_get_job is None or arguments.test_input is not None:
        return _run_one_job(worker, arguments.test_input, settings)
    signal.signal(signal.SIGTERM, _exit_before_first_job)
    if settings.worker.loop == "own":
        return _run_own_loop(worker, settings)
    return _run_stock_loop(worker, settings, serve_api=False)


@dataclass(slots=True)
class _LoadedHandler(Generic[M]):
    """A worker's handler, loaded by `load_weights`."""

    worker: Worker[M]
    respond: JobHandler[M] | None = None

    def load_weights(self) -> None:
        """Load the handler. Raises one sentence, which the SDK's fitness check reports under this function's name."""
        started = time.monotonic()
        try:
            self.respond = self.worker.load()
        except ImgPodError:
            raise
        except Exception as error:  # noqa: BLE001 - a library may raise anything; its message is not reported
            raise internal_error(error) from None
        log.info("weights loaded", worker=self.worker.name, wall_ms=round(1000 * (time.monotonic() - started)))

    async def answer(self, raw: dict[str, Any], progress: Progress, settings: Settings) -> Reply:
        if self.respond is None:
            raise RuntimeError("a job arrived before the weights were loaded")
        return await answer(raw, self.worker, self.respond, progress, settings.worker.max_result_bytes)


def _run_own_loop(worker: Worker[M], settings: Settings) -> int:
    from core.worker import sdk
    from core.worker.loop import JobLoop

    heartbeat = sdk.SdkHeartbeat()
    loading = _LoadedHandler(worker)
    sdk.check_fitness(loading.load_weights)

    async def serve() -> None:
        async with sdk.SdkPlatform() as platform:
            loop = JobLoop(
                platform,
                lambda raw, progress: loading.answer(raw, progress, settings),
                settings.worker,
                running=worker.running,
                concurrency=worker.concurrency,
            )
            await loop.run(heartbeat)
        await worker.shutdown()
        log.info("worker stopped", worker=worker.name)
        exit_at_once(0)  # before asyncio waits for its threads

    asyncio.run(serve())
    return 1


def _run_stock_loop(worker: Worker[M], settings: Settings, *, serve_api: bool) -> int:
    """Run the SDK's own loop: the same replies, with its delays and without repeated delivery."""
    from core.worker.stock import run_stock

    loading = _LoadedHandler(worker)

    async def handler(raw: dict[str, Any]) -> dict[str, Any]:
        async def drop(_: object) -> None:
            """Discard the report: the SDK's progress updates may arrive after the result."""

        reply = await loading.answer(raw, Progress(drop, interval_s=60), settings)
        body: dict[str, Any] = json.loads(reply.body)
        if reply.error is not None:
            return {"error": body["error"], "refresh_worker": reply.refresh}
        output: dict[str, Any] = body["output"]
        return output

    run_stock(handler, load=loading.load_weights, concurrency=worker.concurrency, serve_api=serve_api)
    return 0


def _run_one_job(worker: Worker[M], given: str | None, settings: Settings) -> int:
    """Run one job from `--test_input` or the worker's file; print the result and write its picture to `out/`."""
    raw = _job_from_arguments(worker, given)
    try:
        reply = asyncio.run(_answer_locally(worker, {"id": "local", **raw}, settings))
    except ImgPodError as error:
        print(error.message, file=sys.stderr)
        return 1
    if reply.error is not None:
        print(reply.error.to_wire(), file=sys.stderr)
        return 1
    print(json.dumps(_without_picture(json.loads(reply.body)["output"], worker.name), indent=2, ensure_ascii=False))
    return 0


def _job_from_arguments(worker: Worker[M], given: str | None) -> dict[str, Any]:
    """Return the job of `--test_input` or of the worker's file. Raises `Misconfigured`."""
    try:
        raw = json.loads(worker.test_input.read_text(encoding="utf-8") if given is None else given)
    except (OSError, ValueError):
        raw = None
    if not isinstance(raw, dict):
        where = worker.test_input.name if given is None else "--test_input"
        raise Misconfigured(f'{where} must contain a job as JSON: {{"input": {{"task": …}}}}.')
    return raw if "input" in raw else {"input": raw}


async def _answer_locally(worker: Worker[M], raw: dict[str, Any], settings: Settings) -> Reply:
    loading = _LoadedHandler(worker)
    await asyncio.to_thread(loading.load_weights)

    async def show(report: StageProgress) -> None:
        print(f"  {report.stage} {report.step}/{report.of}  {report.percent} %", file=sys.stderr)

    progress = Progress(show, interval_s=settings.worker.progress_interval_s)
    reply = await loading.answer(raw, progress, settings)
    await progress.close()
    await worker.shutdown()
    return reply


def _without_picture(output: dict[str, Any], name: str) -> dict[str, Any]:
    """The result with the picture's base64 replaced by the name of the file it was written to."""
    if encoded := output.get("image_base64"):
        path = Path("out") / f"{name}.{output['image_format']}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(encoded))
        return {**output, "image_base64": f"({len(encoded):,} characters; the picture is in {path})"}
    return output
