"""Errors as `application/problem+json` (RFC 9457).

`type` is the URL of the code's explanation on this server: `/errors/{code}`.

May import: core.errors, starlette.
"""

from __future__ import annotations

import inspect
import json
import math
from typing import Any

from starlette.responses import Response

from core.errors import BY_CODE, ImgPodError, Unauthorized
from core.worker.job import to_jsonable

_BODY_UNREAD = frozenset({408, 413})
"""Statuses after which the connection is closed, because the rest of the body would be read without a limit."""
MEDIA_TYPE = "application/problem+json"


def problem(error: ImgPodError) -> dict[str, Any]:
    """The error as a problem object."""
    categories = getattr(error, "categories", None)
    return {
        "type": f"/errors/{error.code}",
        "title": title(error.code),
        "status": error.http_status,
        "detail": error.message,
        "code": error.code,
        "retryable": error.retryable,
        "stage": error.stage,
        "retry_after_ms": error.retry_after_ms,
        "trace_id": error.trace_id,
        **({} if categories is None else {"categories": list(categories)}),
    }


def problem_response(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(
        json.dumps(to_jsonable(body)).encode(),
        status_code=body["status"],
        headers={**wait_headers(body["retry_after_ms"], body["status"]), **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def error_response(error: ImgPodError, headers: dict[str, str] | None = None) -> Response:
    more = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}
    if error.http_status in _BODY_UNREAD:
        more = {"Connection": "close"}
    return problem_response(problem(error), {**more, **(headers or {})})


def wait_headers(retry_after_ms: int | None, status: int) -> dict[str, str]:
    """`Retry-After` in whole seconds, as RFC 9110 requires, and a header with the exact time."""
    if retry_after_ms is None:
        if status not in {429, 503}:
            return {}
        retry_after_ms = 1_000
    return {"Retry-After": str(math.ceil(retry_after_ms / 1000)), "retry-after-ms": str(retry_after_ms)}


def title(code: str) -> str:
    return code.replace("_", " ").capitalize()


def explanation(code: str) -> str | None:
    """Cause and remedy of an error code; None for an unknown code."""
    cls = BY_CODE.get(code)
    return None if cls is None else f"{title(code)} ({cls.http_status})\n\n{inspect.cleandoc(cls.__doc__ or '')}\n"
