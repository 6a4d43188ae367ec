"""Count refusals; if a file is configured, write one JSON line for each, with keyed hashes instead of texts.

The hashes are keyed, because short texts could be guessed from unkeyed ones. With the deployment's key, the same text
has the same hash in every process, which shows repeated attempts; without a key, only within a process.

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
    """Counts refusals by category and route; writes them to `file`, if set, as JSON lines. Thread-safe."""

    def __init__(self, file: Path | None = None, key: bytes | None = None) -> None:
        self._file = file
        self._key = key or secrets.token_bytes(32)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def refused(
        self, categories: Iterable[str], route: str, *, stage: str | None, version: str, texts: Iterable[str] = ()
    ) -> None:
        """Count a refusal and append it to the file. Raises `OSError` if the file can't be written."""
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
        """Return the number of refusals since the start of the process, by category and route."""
        with self._lock:
            table: dict[str, dict[str, int]] = {}
            for (category, route), count in sorted(self._counts.items()):
                table.setdefault(category, {})[route] = count
            return table

    def _hash(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


_audit = Audit()


def audit() -> Audit:
    """Return the audit of this process; `configure_audit` replaces it."""
    return _audit


def configure_audit(file: Path | None, key: bytes | None) -> None:
    """Set the file for refusals and the key of their hashes; called once, in a `__main__`."""
    global _audit  # noqa: PLW0603 - one audit per process, so that check() needs no argument for it
    _audit = Audit(file, key)
