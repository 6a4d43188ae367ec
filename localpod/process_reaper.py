"""Kill the workers of a localpod that has ended for any reason: `python process_reaper.py MARK`, with a pipe as stdin.

localpod writes `+PGID` and `-PGID` lines; the end of the pipe means that localpod has ended. A worker's heartbeat is a
separate process, so process groups are killed. Where /proc exists, all processes with MARK in their environment are
killed too. Uses only the standard library, so that it starts in a few milliseconds with little memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


class ProcessReaper:
    """localpod's end of the pipe. `watch` a process group after its start, `forget` it after its exit."""

    def __init__(self, mark: str) -> None:
        command = [sys.executable, "-I", "-S", __file__, mark]
        # A separate session: Ctrl-C at the terminal must not end this process.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603  # our own file

    def watch(self, group: int) -> None:
        self._send(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._send(f"-{group}\n")

    def close(self) -> None:
        """End the reaper process; it kills the remaining groups first."""
        self._process.communicate()

    def _send(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


def watch(mark: str) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        _kill(os.killpg, group)
    for pid in _marked_processes(mark.encode()):
        _kill(os.kill, pid)


def _marked_processes(mark: bytes) -> list[int]:
    """Processes started between the pipe's last line and its end, found by the mark in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            is_marked = mark in environ.read_bytes()
        except OSError:  # it has exited, or belongs to another user
            continue
        pid = int(environ.parent.name)
        if is_marked and pid != os.getpid():
            found.append(pid)
    return found


def _kill(how: Callable[[int, int], None], target: int) -> None:
    try:
        how(target, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    watch(sys.argv[1])
