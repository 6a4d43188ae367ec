"""Client of a running localpod's own resources, `/localpod/faults` and `/localpod/state`."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from localpod.faults import Fault


class Unreachable(Exception):
    """No localpod answered, or it refused the request."""


class AdminClient:
    """The client. Its methods raise `Unreachable`."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._request("GET", "/localpod/state")
        return answer

    def change_faults(self, fault: Fault | None, *, clear: bool) -> list[dict[str, Any]]:
        """End all faults if `clear`, then add `fault` if given. Returns the present faults."""
        if clear:
            self._request("DELETE", "/localpod/faults")
        if fault is not None:
            self._request("POST", "/localpod/faults", fault.model_dump(mode="json"))
        faults: list[dict[str, Any]] = self._request("GET", "/localpod/faults")["faults"]
        return faults

    def _request(self, method: str, path: str, body: object = None) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError:
            raise Unreachable(f"no localpod listens at {self._url}; start one: python -m localpod up") from None
        if answer.is_error:
            raise Unreachable(f"{self._url} answered {answer.status_code}: {answer.text[:200]}")
        return answer.json()
