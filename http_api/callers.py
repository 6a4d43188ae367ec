"""Callers of the HTTP API: keys, limits of concurrent requests and of requests per minute, and daily budgets.

The file of `HTTP_KEYS_FILE` contains hashes, never keys. `python -m http_api new-key NAME` creates an entry:

    keys:
      - name: shop
        sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
        max_in_flight: 8
        per_minute: 120
        daily_usd: 25.0

Each process counts requests and spending separately. SHA-256 suffices because a key is 256 random bits, which a
dictionary attack can't find.

May import: core.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import BudgetSpent, Misconfigured, RateLimited, Unauthorized
from core.settings import read_yaml

_MINUTE_S = 60.0
_BUSY_MS = 500
_LONGEST_KEY = 512


class KeyEntry(BaseModel):
    """One key of the file. An unset limit means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    max_in_flight: Annotated[int, Field(ge=1)] | None = None
    per_minute: Annotated[int, Field(ge=1)] | None = None
    daily_usd: Annotated[float, Field(gt=0)] | None = None


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: Annotated[tuple[KeyEntry, ...], Field(min_length=1)]


@dataclass(slots=True)
class Caller:
    """Limits and usage of a caller. Without keys, all requests belong to one unnamed caller."""

    entry: KeyEntry | None
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    in_flight: int = 0
    spent_usd: float = 0.0
    _recent: deque[float] = field(default_factory=deque)
    _day: str = ""

    @property
    def name(self) -> str:
        return "" if self.entry is None else self.entry.name

    def admission(self) -> Callable[[], None]:
        """Admit a request; call the returned function at its end. Raises `RateLimited` or `BudgetSpent`."""
        if self.entry is not None:
            self._check(self.entry)
        self.in_flight += 1
        return self._release

    def _release(self) -> None:
        self.in_flight -= 1

    def spend(self, usd: float) -> None:
        self._reset_daily_spending()
        self.spent_usd += usd

    def _check(self, entry: KeyEntry) -> None:
        if entry.max_in_flight is not None and self.in_flight >= entry.max_in_flight:
            raise RateLimited(
                f"This key may have {entry.max_in_flight} concurrent requests; wait for one to end.",
                retry_after_ms=_BUSY_MS,
            )
        self._reset_daily_spending()
        if entry.daily_usd is not None and self.spent_usd >= entry.daily_usd:
            now = self.now()
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
            raise BudgetSpent(
                f"This key's budget of {entry.daily_usd:g} USD for today (UTC) is spent.",
                retry_after_ms=math.ceil(1000 * (midnight - now).total_seconds()),
            )
        if entry.per_minute is not None:
            self._check_rate(entry.per_minute)

    def _check_rate(self, per_minute: int) -> None:
        now = self.clock()
        while self._recent and self._recent[0] <= now - _MINUTE_S:
            self._recent.popleft()
        if len(self._recent) >= per_minute:
            wait_ms = math.ceil(1000 * (self._recent[0] + _MINUTE_S - now))
            message = f"This key may send {per_minute} requests per minute; wait before the next one."
            raise RateLimited(message, retry_after_ms=wait_ms)
        self._recent.append(now)

    def _reset_daily_spending(self) -> None:
        today = self.now().date().isoformat()
        if today != self._day:
            self._day, self.spent_usd = today, 0.0


class Callers:
    """All callers. Without a file no key is needed, and all requests belong to one anonymous caller."""

    def __init__(self, entries: tuple[KeyEntry, ...] = ()) -> None:
        self._callers = [Caller(entry) for entry in entries]
        self._anonymous = Caller(None)
        self._by_name = {caller.name: caller for caller in self._callers}

    @classmethod
    def from_file(cls, path: Path | None) -> Callers:
        """Load the file of keys. Raises `Misconfigured`, which names the file and the field, never a value."""
        if path is None:
            return cls()
        try:
            entries = _KeysFile.model_validate(read_yaml(path)).keys
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise Misconfigured(f"{path.name}: {where}: {first['msg']}; see docs/http.md.") from None
        if len({entry.name for entry in entries}) < len(entries) or len({e.sha256 for e in entries}) < len(entries):
            raise Misconfigured(f"{path.name} contains a name or a hash twice; each entry needs its own.")
        return cls(entries)

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._callers)

    def identify(self, headers: Mapping[str, str]) -> Caller:
        """The caller of the request's key. Raises `Unauthorized`."""
        if not self._callers:
            if headers.get("sec-fetch-site") == "cross-site":
                raise Unauthorized("A page of another site may not call this server without a key.")
            return self._anonymous
        presented = hashlib.sha256(_key_of(headers).encode()).hexdigest()
        # All hashes are compared in constant time, so that the time reveals nothing about them.
        matches = [caller for caller in self._callers if _equal(caller, presented)]
        if not matches:
            raise Unauthorized("Send a valid key as `X-API-Key`, or as `Authorization: Bearer`.")
        return matches[0]

    def spend(self, name: str, usd: float) -> None:
        """Add a request's cost to its caller's spending."""
        if (caller := self._by_name.get(name)) is not None:
            caller.spend(usd)


def _equal(caller: Caller, presented: str) -> bool:
    return caller.entry is not None and hmac.compare_digest(caller.entry.sha256, presented)


def _key_of(headers: Mapping[str, str]) -> str:
    """The caller's key. `X-API-Key` has priority, because load balancers use `Authorization` for the platform's key."""
    key = headers.get("x-api-key", "")
    if not key:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        key = credentials.strip() if scheme.lower() == "bearer" else ""
    return key[:_LONGEST_KEY]


def new_key(name: str) -> tuple[str, str]:
    """A new key, and its entry for the file. Raises `Misconfigured` for an invalid name."""
    key = f"ip_{secrets.token_urlsafe(32)}"
    try:
        entry = KeyEntry(name=name, sha256=hashlib.sha256(key.encode()).hexdigest())
    except ValidationError:
        raise Misconfigured("A key's name has at most 64 letters, digits, dots, hyphens and underscores.") from None
    return key, f"  - name: {entry.name}\n    sha256: {entry.sha256}\n"
