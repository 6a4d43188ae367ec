"""Counts of refusals and, where a file is configured, one JSON line for each, with keyed hashes instead of texts.

Hashes are keyed because short texts could be guessed from plain ones. With a key of the deployment's the same text has
the same hash in every process, so that repeated attempts can be seen; without one, only within a process.

May import: core.policy.verdict.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path


class Audit:
    """Counts refusals by category and route; writes them to `file` as JSON lines where one is set. Thread-safe."""

    def __init__(self, file: Path | None = None, key: bytes | None = None) -> None:
        self._file = file
        self._key = key or secrets.token_bytes(32)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def refused(
        self, categories: Iterable[str], route: str, *, stage: str | None, version: str, texts: Iterable[str] = ()
    ) -> None:
        """Count a refusal and append it to the file. Raises `OSError` where the file can't be written."""
        categories = tuple(categories)
        with self._lock:
            self._counts.update((category, route) for category in categories)
            if self._file is not None:
                line = {
                    "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "route": route,
                    "stage": stage,
                    "categories": categories,
                    "policy_version": version,
                    "texts": [self._hash(text) for text in texts],
                }
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")

    def counts(self) -> dict[str, dict[str, int]]:
        """Category → route → refusals since the process began."""
        with self._lock:
            table: dict[str, dict[str, int]] = {}
            for (category, route), count in sorted(self._counts.items()):
                table.setdefault(category, {})[route] = count
            return table

    def _hash(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


_audit = Audit()


def audit() -> Audit:
    """The audit of this process; `configure_audit` replaces it."""
    return _audit


def configure_audit(file: Path | None, key: bytes | None) -> None:
    """Set the file that refusals are written to and the key of their hashes; called once, in a `__main__`."""
    global _audit  # noqa: PLW0603 - one audit per process, so that check() needs no argument for it
    _audit = Audit(file, key)
