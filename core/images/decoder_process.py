"""Decode picture files in child processes, which are killed when they take too long.

A decoder is native code that processes untrusted input. In a separate process the operating system bounds its CPU time
and memory, a crash fails one picture only, and it has neither the worker's secrets nor its interpreter lock. A child is
reused for the next picture; it ends when its standard input is closed.

Protocol, on standard input and output: a line of JSON, then as many bytes as it states.

    → {"bytes": 1234567, "limits": {…}}                           the file
    ← {"width": 3024, "height": 4032, "scale": 1, "kept": 1}      RGB pixels
    ← {"code": "bad_picture", "message": "…"}                     nothing

May import: core.errors, core.images, Pillow.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from PIL import Image

from core.errors import BY_CODE, BadPicture, DeadlineExceeded, InvalidRequest
from core.images.decoding import OpenedPicture, open_picture
from core.images.limits import DEFAULT_LIMITS, IntakeLimits

PARALLEL_DECODES = 2
"""Pictures decoded at a time, which bounds the memory of many large ones to that of two."""
_ROOT = Path(__file__).resolve().parents[2]
_KEPT_VARIABLES = ("PATH", "LANG", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
_HEADER_CPU_S = 1.0
"""CPU seconds for reading the header, before a picture's size is known."""


class DecoderProcess:
    """One child process. Not thread-safe."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from core.images.decoder_process import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env=environment,
            start_new_session=True,
        )

    def decode(self, data: bytes, limits: IntakeLimits) -> OpenedPicture:
        """Decode `data`. Raises `BadPicture`, `TooLarge`, and `DeadlineExceeded` if the machine is too busy."""
        late = threading.Timer(limits.decode_wall_s, self._process.kill)
        late.start()
        try:
            answer, pixels = self._request(data, limits)
        except (OSError, EOFError, ValueError):
            raise _error_of_exit_code(self.end()) from None
        finally:
            late.cancel()
        if "code" in answer:
            raise BY_CODE[answer["code"]](answer["message"])
        image = Image.frombytes("RGB", (answer["width"], answer["height"]), pixels)
        return OpenedPicture(image, answer["scale"], answer["kept"])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> int:
        """Kill the child if it still runs; return its exit code, negative for a signal."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # input for a child that has exited is dropped
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _request(self, data: bytes, limits: IntakeLimits) -> tuple[dict[str, Any], bytes]:
        to_child, from_child = self._process.stdin, self._process.stdout
        if to_child is None or from_child is None:
            raise EOFError
        _send(to_child, {"bytes": len(data), "limits": asdict(limits)}, data)
        answer = _receive(from_child)
        return answer, _read_exactly(from_child, answer.get("width", 0) * answer.get("height", 0) * 3)


def _error_of_exit_code(code: int) -> Exception:
    if code == -signal.SIGPROF:
        return BadPicture("The picture takes too long to decode. Send a smaller one, as a JPEG or PNG.")
    if code == -signal.SIGKILL:
        return DeadlineExceeded("The picture was not decoded in time, because the machine is too busy. Try again.")
    if code < 0:
        return BadPicture("The picture is damaged: its decoder failed on it.")
    return RuntimeError(f"the decoder process ended with {code}")


_threads = ThreadPoolExecutor(PARALLEL_DECODES, thread_name_prefix="decode")
_child = threading.local()
_children: list[DecoderProcess] = []
"""Running child processes, to be ended with this process."""


def decode(data: bytes, limits: IntakeLimits = DEFAULT_LIMITS) -> OpenedPicture:
    """Decode `data` in this thread's child process. Blocks. Raises as `DecoderProcess.decode`."""
    return _own_child().decode(data, limits)


def _own_child() -> DecoderProcess:
    process: DecoderProcess | None = getattr(_child, "process", None)
    if process is None or not process.alive:
        process = _child.process = DecoderProcess()
        _children[:] = [other for other in _children if other.alive] + [process]
    return process


def prestart() -> None:
    """Start the child processes, so that the first picture does not wait for an interpreter."""
    for _ in range(PARALLEL_DECODES):
        _threads.submit(_own_child)


def executor() -> ThreadPoolExecutor:
    """The threads in which `decode` must be called, each with its own child process."""
    return _threads


@atexit.register
def _end_all() -> None:
    for process in _children:
        process.end()


def main() -> None:
    """Decode pictures from standard input until it is closed."""
    from_parent, to_parent = sys.stdin.buffer, sys.stdout.buffer
    _limit_resources(DEFAULT_LIMITS)
    while line := from_parent.readline():
        head = json.loads(line)
        data = _read_exactly(from_parent, head["bytes"])
        _allow_cpu_s(_HEADER_CPU_S)
        answer, pixels = _decode_and_describe(data, IntakeLimits(**head["limits"]))
        del data
        _send(to_parent, answer, pixels)
        del pixels


def _decode_and_describe(data: bytes, limits: IntakeLimits) -> tuple[dict[str, object], bytes]:
    try:
        opened = open_picture(data, limits, before_pixels=_allow_cpu_s)
        pixels = opened.image.tobytes()
    except InvalidRequest as error:
        return {"code": error.code, "message": error.message}, b""
    except MemoryError:
        return {"code": "too_large", "message": "The picture needs too much memory. Send a smaller one."}, b""
    finally:
        _allow_cpu_s(0)
    width, height = opened.image.size
    return {"width": width, "height": height, "scale": opened.scale, "kept": opened.kept}, pixels


def _limit_resources(limits: IntakeLimits) -> None:
    """Bound memory, and forbid files and core dumps, to limit what a compromised decoder can do."""
    import resource

    if sys.platform == "linux":  # macOS refuses a limit below what is reserved already
        resource.setrlimit(resource.RLIMIT_AS, (limits.decode_memory_bytes, limits.decode_memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allow_cpu_s(seconds: float) -> None:
    """End this process by SIGPROF after `seconds` of CPU time, whatever code is running; 0 clears the limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _send(pipe: IO[bytes], head: dict[str, object], body: bytes) -> None:
    pipe.write(json.dumps(head).encode() + b"\n")
    pipe.write(body)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> dict[str, Any]:
    line = pipe.readline()
    if not line:
        raise EOFError
    answer: dict[str, Any] = json.loads(line)
    return answer


def _read_exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
