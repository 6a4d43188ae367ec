"""Keep a compiled value in a file beside the code, as Python keeps bytecode, because compiling the rules takes long.

The file's name contains a hash of all that the value is compiled from, so that a changed rule or module never meets an
old value. Where the folder can't be written, each process compiles the value itself.

May import: nothing of core.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

POLICY = Path(__file__).resolve().parent
_SOURCES = (".py", ".toml", ".tsv", ".txt")
_HASH_BYTES = 32

_Value = TypeVar("_Value")


def kept(
    compute: Callable[[], _Value],
    *,
    sources: Path = POLICY,
    folder: Path = POLICY / "__pycache__",
) -> _Value:
    """Return the value of `compute` from its file in `folder`, or compute it and write the file.

    `sources` is the folder with all files that the value depends on. A damaged file is not used. As with bytecode,
    `PYTHONDONTWRITEBYTECODE` prevents writing, but not reading.
    """
    name = f"{compute.__name__}.{sys.implementation.cache_tag}"
    file = folder / f"{name}.{_digest(sources)}.pickle"
    with suppress(OSError):  # not written yet, or not readable
        content = file.read_bytes()
        if hashlib.sha256(content[_HASH_BYTES:]).digest() == content[:_HASH_BYTES]:
            value: _Value = pickle.loads(content[_HASH_BYTES:])  # noqa: S301  # who can write here can change the code
            return value
    value = compute()
    if not sys.dont_write_bytecode:
        with suppress(OSError):  # the folder is read-only or full: the value is only not kept
            _write(file, pickle.dumps(value), old=f"{name}.*.pickle")
    return value


@cache
def _digest(sources: Path) -> str:
    content = hashlib.sha256(f"{sys.version} {unicodedata.unidata_version}".encode())
    for file in sorted(file for file in sources.rglob("*") if file.suffix in _SOURCES):
        source = file.read_bytes()
        content.update(f"{file.relative_to(sources)}\0{len(source)}\0".encode() + source)
    return content.hexdigest()[:16]


def _write(file: Path, content: bytes, *, old: str) -> None:
    """Write the file in one step, because other processes may read it, and remove those of older sources."""
    file.parent.mkdir(exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}")
    part.write_bytes(hashlib.sha256(content).digest() + content)
    part.replace(file)
    for outdated in file.parent.glob(old):
        if outdated != file:
            outdated.unlink(missing_ok=True)
