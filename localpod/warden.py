"""Kills a localpod's workers when it dies, however it dies: run as `python warden.py MARK`, with a pipe as stdin.

localpod writes `+PGID` and `-PGID` lines; the pipe's end means that localpod is gone. A worker's heartbeat is a
process of its own, so groups are killed, not processes; where /proc exists, whatever still carries MARK in its
environment follows. Standard library only: it starts in a few milliseconds and holds next to nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


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


def _kill(how: object, target: int) -> None:
    try:
        how(target, signal.SIGKILL)  # type: ignore[operator]  # os.kill and os.killpg differ only in the target's name
    except ProcessLookupError:
        return


if __name__ == "__main__":
    # Ctrl-C and a polite kill of the whole group mean localpod: it stops its workers itself and then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watch(sys.argv[1])
