"""Errors of the client: the service's own tree, and failures between the client and the service.

Every class has `code`, `message`, `stage`, `retryable`, `retry_after_ms`, `http_status` and, if the service sent it,
`request_id`. The classes of the service's codes are those of `img_pod.contracts.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from img_pod.contracts import errors as _tree
from img_pod.contracts.errors import *  # noqa: F403 (the service's tree is this module's API)
from img_pod.contracts.errors import BY_CODE, EndpointUnavailable, ImgPodError, PolicyBlocked, StageFailed, Unauthorized


class ConnectionFailed(ImgPodError):
    """The service could not be reached, or the connection ended before its answer.

    Check the address and the network. The client has already tried again.
    """

    code = "connection_failed"
    http_status = 503
    retryable = True


class ClientTimeout(ImgPodError):
    """The caller's own `timeout` ended. The remote job was cancelled.

    Allow more time, or use `submit` and ask for the result later.
    """

    code = "client_timeout"
    http_status = 504


class UnexpectedAnswer(ImgPodError):
    """The answer can't be read by this version of the client.

    Check that the address is that of an img-pod deployment, and that the client is as new as the service.
    """

    code = "unexpected_answer"
    http_status = 502


def from_problem(problem: Mapping[str, Any], status: int) -> ImgPodError:
    """The error in a problem object (RFC 9457) or an error object of the job API."""
    code, message = problem.get("code"), problem.get("detail") or problem.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return UnexpectedAnswer(f"The service answered {status} with an unknown error; upgrade the client.")
    cls = BY_CODE.get(code, StageFailed)
    stage = problem.get("stage")
    stage = stage if isinstance(stage, str) else None
    if issubclass(cls, PolicyBlocked):
        categories = problem.get("categories")
        names = categories if isinstance(categories, list) else []
        return cls(message, categories=tuple(str(name) for name in names), stage=stage)
    wait = problem.get("retry_after_ms")
    return cls(message, stage=stage, retry_after_ms=wait if type(wait) is int else None)


def from_edge(status: int, text: str, address: str) -> ImgPodError:
    """The error for an answer of RunPod or of a proxy instead of the service."""
    if status in {401, 403}:
        return Unauthorized(
            f"{address} refused the key ({status}): give a RunPod API key of the account that owns the endpoint."
        )
    if status == 404:
        return _tree.NotFound(f"{address} does not exist (404): check the endpoint id or the address.")
    if "no workers available" in text.lower():
        return EndpointUnavailable(
            "The endpoint had no worker within two minutes: raise its maximum of workers, choose GPUs that are "
            "available, or try again later.",
            retry_after_ms=5_000,
        )
    if status in {502, 503, 504}:
        return EndpointUnavailable(
            f"{address} answered {status}: no worker serves it yet. If this persists, check the endpoint's port and "
            "the worker's log."
        )
    return UnexpectedAnswer(f"{address} answered {status}, which is not an answer of img-pod: check the address.")
