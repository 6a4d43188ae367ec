"""localpod's own resources: `/localpod/faults` and `/localpod/state`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from localpod.api.call import ApiError, json_response
from localpod.faults import Fault, Faults

MAX_FAULT_BYTES = 100_000


class AdminApi:
    def __init__(self, faults: Faults, state: Callable[[], dict[str, Any]]) -> None:
        self._faults = faults
        self._state = state

    async def __call__(self, request: web.BaseRequest, resource: str, rest: list[str]) -> web.Response:
        if resource == "state" and request.method == "GET":
            return json_response(self._state())
        if resource != "faults":
            raise ApiError(404, "not found: localpod has /localpod/faults and /localpod/state")
        if request.method == "POST":
            return json_response({"id": self._faults.add(await _read_fault(request))}, 201)
        if request.method == "DELETE":
            self._faults.clear(int(rest[0]) if rest and rest[0].isdecimal() and len(rest[0]) < 10 else None)
        return json_response({"faults": self._faults.report()})


async def _read_fault(request: web.BaseRequest) -> Fault:
    body = await request.content.read(MAX_FAULT_BYTES + 1)
    while len(body) <= MAX_FAULT_BYTES and (more := await request.content.read(MAX_FAULT_BYTES + 1 - len(body))):
        body += more
    if len(body) > MAX_FAULT_BYTES:
        raise ApiError(413, f"a fault has at most {MAX_FAULT_BYTES} bytes")
    try:
        return Fault.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ApiError(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
