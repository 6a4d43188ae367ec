"""Kill the workers of a localpod that has ended in any way. Run as `python process_reaper.py MARK`, a pipe as stdin.

localpod writes `+PGID` and `-PGID` lines; the pipe's end means that localpod is gone. A worker's heartbeat is a
process of its own, so groups are killed, not processes; where /proc exists, whatever still carries MARK in its
environment follows. Standard library only: it starts in a few milliseconds and holds next to nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


class ProcessReaper:
    """localpod's end of the pipe. `watch` a process group once it is started, `forget` it once it is gone."""

    def __init__(self, mark: str) -> None:
        command = [sys.executable, "-I", "-S", __file__, mark]
        # A session of its own: Ctrl-C at the terminal must not end the one who cleans up.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603  # our own file

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Ends it; whatever is left of its groups ends too."""
        self._process.communicate()

    def _tell(self, line: str) -> None:
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
    for pid in _carrying(mark.encode()):
        _kill(os.kill, pid)


def _carrying(mark: bytes) -> list[int]:
    """Processes started between the pipe's last line and its end: the mark in their environment tells them."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            carries = mark in environ.read_bytes()
        except OSError:  # gone meanwhile, or another user's
            continue
        pid = int(environ.parent.name)
        if carries and pid != os.getpid():
            found.append(pid)
    return found


def _kill(how: Callable[[int, int], None], target: int) -> None:
    try:
        how(target, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    watch(sys.argv[1])
