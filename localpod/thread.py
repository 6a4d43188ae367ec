"""A localpod with its event loop in a thread, for scripts and fixtures without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from localpod.faults import Fault
from localpod.options import AnyEndpoints, Options
from localpod.pod import Localpod

Result = TypeVar("Result")


class LocalpodThread:
    """A `Localpod` in a thread. The methods are the pod's own, executed on its event loop."""

    def __init__(self, endpoints: AnyEndpoints, options: Options | None = None) -> None:
        self.pod = Localpod(endpoints, options)
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="localpod", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return when the server listens. Raises `PortInUse`."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that called `start` or `stop`
            self._error = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with self.pod:
            self._started.set()
            await self._stopping.wait()

    def _call(self, function: Callable[[], Result]) -> Result:
        async def run() -> Result:
            return function()

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

    @property
    def worker_key(self) -> str:
        return self.pod.worker_key

    def environment(self) -> dict[str, str]:
        return self.pod.environment()

    def wait_ready(self) -> dict[str, str]:
        return asyncio.run_coroutine_threadsafe(self.pod.wait_ready(), self._loop).result()

    def inject(self, fault: Fault) -> int:
        return self._call(lambda: self.pod.inject(fault))

    def clear_faults(self) -> None:
        self._call(self.pod.clear_faults)

    def fired(self, fault_id: int) -> int:
        return self._call(lambda: self.pod.fired(fault_id))

    def workers(self, name: str) -> list[dict[str, Any]]:
        return self._call(lambda: self.pod.workers(name))

    def kill_worker(self, worker_id: str) -> bool:
        return self._call(lambda: self.pod.kill_worker(worker_id))

    def jobs(self, name: str) -> list[dict[str, Any]]:
        return self._call(lambda: self.pod.jobs(name))

    def counters(self, name: str) -> dict[str, int]:
        return self._call(lambda: self.pod.counters(name))

    def state(self) -> dict[str, Any]:
        return self._call(self.pod.state)
