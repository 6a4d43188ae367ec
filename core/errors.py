"""The error tree: everything that may go wrong in a way a caller can act on.

    ImgPodError                                    code                 http  retryable
    ├── InvalidRequest                             invalid_request      400   no
    │   ├── UnknownTask                            unknown_task         400   no
    │   ├── BadPicture                             bad_picture          400   no
    │   ├── BadUrl                                 bad_url              400   no
    │   ├── TooLarge                               too_large            413   no
    │   └── IdempotencyMismatch                    idempotency_mismatch 409   no
    ├── Refused                                    (never raised itself)
    │   ├── PolicyBlocked                          policy_blocked       422   no
    │   ├── MinorSuspected                         minor_suspected      422   no
    │   └── UnsafeOutput                           unsafe_output        422   no
    ├── Busy                                       (never raised itself)
    │   ├── QueueFull                              queue_full           429   yes
    │   ├── Throttled                              throttled            429   yes
    │   └── AlreadyRunning                         already_running      409   yes
    ├── StageFailed                                stage_failed         502   yes
    │   ├── EndpointUnavailable                    endpoint_unavailable 503   yes
    │   └── BadAnswer                              bad_answer           502   yes
    ├── DeadlineExceeded                           deadline_exceeded    504   yes
    ├── Cancelled                                  cancelled            499   no
    ├── WorkerStopping                             worker_stopping      503   yes
    ├── DeviceError                                (never raised itself; the worker is replaced)
    │   ├── OutOfDeviceMemory                      out_of_device_memory 503   yes
    │   └── DeviceLost                             device_lost          503   yes
    ├── BlackPicture                               black_picture        502   yes
    ├── Misconfigured                              misconfigured        500   no
    └── Internal                                   internal             500   no

A message says what to do about it, and holds no text, picture, address or key of the request. On the wire an error is a
JSON *string*, because the platform takes a job whose `error` is an object for a completed one (runpod-python #299).
"""

from __future__ import annotations

import json
from typing import Any, ClassVar


class ImgPodError(Exception):
    """Root of the tree. `stage` names the call of a flow that failed; `retry_after_ms` is a measured wait."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, stage: str | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.stage = stage
        self.retry_after_ms = retry_after_ms

    def body(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "http_status": self.http_status,
            "retryable": self.retryable,
            "stage": self.stage,
            "retry_after_ms": self.retry_after_ms,
        }

    def to_wire(self) -> str:
        return json.dumps(self.body(), ensure_ascii=True)


class InvalidRequest(ImgPodError):
    code = "invalid_request"
    http_status = 400


class UnknownTask(InvalidRequest):
    code = "unknown_task"


class BadPicture(InvalidRequest):
    code = "bad_picture"


class BadUrl(InvalidRequest):
    code = "bad_url"


class TooLarge(InvalidRequest):
    code = "too_large"
    http_status = 413


class IdempotencyMismatch(InvalidRequest):
    code = "idempotency_mismatch"
    http_status = 409


class Refused(ImgPodError):
    http_status = 422


class PolicyBlocked(Refused):
    """Refused by the text policy. `categories` name the rules' categories, never the words that met them."""

    code = "policy_blocked"

    def __init__(self, message: str, *, categories: tuple[str, ...] = (), stage: str | None = None) -> None:
        super().__init__(message, stage=stage)
        self.categories = categories

    def body(self) -> dict[str, Any]:
        return {**super().body(), "categories": list(self.categories)}


class MinorSuspected(Refused):
    code = "minor_suspected"


class UnsafeOutput(Refused):
    code = "unsafe_output"


class Busy(ImgPodError):
    http_status = 429
    retryable = True


class QueueFull(Busy):
    code = "queue_full"


class Throttled(Busy):
    code = "throttled"


class AlreadyRunning(Busy):
    code = "already_running"
    http_status = 409


class StageFailed(ImgPodError):
    code = "stage_failed"
    http_status = 502
    retryable = True


class EndpointUnavailable(StageFailed):
    code = "endpoint_unavailable"
    http_status = 503


class BadAnswer(StageFailed):
    code = "bad_answer"


class DeadlineExceeded(ImgPodError):
    code = "deadline_exceeded"
    http_status = 504
    retryable = True


class Cancelled(ImgPodError):
    """The caller gave the job up. 499 is nginx's word for it; no standard status exists."""

    code = "cancelled"
    http_status = 499


class WorkerStopping(ImgPodError):
    code = "worker_stopping"
    http_status = 503
    retryable = True


class DeviceError(ImgPodError):
    """The device can't be trusted any more: the job fails as retryable and the worker asks to be replaced."""

    http_status = 503
    retryable = True


class OutOfDeviceMemory(DeviceError):
    code = "out_of_device_memory"


class DeviceLost(DeviceError):
    code = "device_lost"


class BlackPicture(ImgPodError):
    code = "black_picture"
    http_status = 502
    retryable = True


class Misconfigured(ImgPodError):
    """A setting, a weight file or an endpoint is wrong: the sentence says which, and how to mend it."""

    code = "misconfigured"


class Internal(ImgPodError):
    """An exception nobody foresaw. Its message carries an id that is in the worker's log beside the cause's type."""

    code = "internal"


def _leaves(cls: type[ImgPodError]) -> dict[str, type[ImgPodError]]:
    found = {cls.code: cls} if "code" in vars(cls) else {}
    for child in cls.__subclasses__():
        found |= _leaves(child)
    return found


BY_CODE: dict[str, type[ImgPodError]] = _leaves(ImgPodError)


def from_wire(error: object, *, stage: str | None = None) -> ImgPodError:
    """The error another of our processes sent, as the class it was.

    Anything else (the stock SDK's traceback string, a platform's sentence, an object) becomes `StageFailed`, whose
    message never repeats what it was given: it may hold a path, a prompt or a key.
    """
    try:
        body = json.loads(error) if isinstance(error, str) else None
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("code") not in BY_CODE:
        return StageFailed("The worker failed without a reason that can be passed on; see its log.", stage=stage)
    cls = BY_CODE[body["code"]]
    message = str(body.get("message", ""))[:500]
    where = stage or body.get("stage")
    if issubclass(cls, PolicyBlocked):
        return cls(message, categories=tuple(map(str, body.get("categories") or ())), stage=where)
    wait = body.get("retry_after_ms")
    return cls(message, stage=where, retry_after_ms=wait if isinstance(wait, int) else None)
