"""The error tree: every failure that a caller can act on.

    ImgPodError                                    code                 http  retryable
    ├── InvalidRequest                             invalid_request      400   no
    │   ├── UnknownTask                            unknown_task         400   no
    │   ├── BadPicture                             bad_picture          400   no
    │   ├── BadUrl                                 bad_url              400   no
    │   ├── TooLarge                               too_large            413   no
    │   ├── NotFound                               not_found            404   no
    │   ├── MethodNotAllowed                       method_not_allowed   405   no
    │   ├── NotAcceptable                          not_acceptable       406   no
    │   ├── BodyTimeout                            body_timeout         408   no
    │   ├── UnsupportedMediaType                   unsupported_media_type 415 no
    │   └── IdempotencyMismatch                    idempotency_mismatch 409   no
    ├── Unauthorized                               unauthorized         401   no
    ├── BudgetSpent                                budget_spent         402   no
    ├── Refused                                    (never raised itself)
    │   ├── PolicyBlocked                          policy_blocked       422   no
    │   ├── LanguageNotSupported                   language_not_supported 422 no
    │   ├── MinorSuspected                         minor_suspected      422   no
    │   └── UnsafeOutput                           unsafe_output        422   no
    ├── Busy                                       (never raised itself)
    │   ├── QueueFull                              queue_full           429   yes
    │   ├── RateLimited                            rate_limited         429   yes
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

A message says what to do, and contains no text, picture, address or key of the request. Between processes an error is a
JSON *string*, because the platform treats a job whose `error` is an object as completed (runpod-python #299).

docs/errors.md is generated from the docstrings: their first paragraph says when the error is raised, the second what to
do.
"""

from core.errors.tree import (
    AlreadyRunning,
    BadAnswer,
    BadPicture,
    BadUrl,
    BlackPicture,
    BodyTimeout,
    BudgetSpent,
    Busy,
    Cancelled,
    DeadlineExceeded,
    DeviceError,
    DeviceLost,
    EndpointUnavailable,
    IdempotencyMismatch,
    ImgPodError,
    Internal,
    InvalidRequest,
    LanguageNotSupported,
    MethodNotAllowed,
    MinorSuspected,
    Misconfigured,
    NotAcceptable,
    NotFound,
    OutOfDeviceMemory,
    PolicyBlocked,
    QueueFull,
    RateLimited,
    Refused,
    StageFailed,
    Throttled,
    TooLarge,
    Unauthorized,
    UnknownTask,
    UnsafeOutput,
    UnsupportedMediaType,
    WorkerStopping,
)
from core.errors.wire import BY_CODE, from_wire

__all__ = [
    "BY_CODE",
    "AlreadyRunning",
    "BadAnswer",
    "BadPicture",
    "BadUrl",
    "BlackPicture",
    "BodyTimeout",
    "BudgetSpent",
    "Busy",
    "Cancelled",
    "DeadlineExceeded",
    "DeviceError",
    "DeviceLost",
    "EndpointUnavailable",
    "IdempotencyMismatch",
    "ImgPodError",
    "Internal",
    "InvalidRequest",
    "LanguageNotSupported",
    "MethodNotAllowed",
    "MinorSuspected",
    "Misconfigured",
    "NotAcceptable",
    "NotFound",
    "OutOfDeviceMemory",
    "PolicyBlocked",
    "QueueFull",
    "RateLimited",
    "Refused",
    "StageFailed",
    "Throttled",
    "TooLarge",
    "Unauthorized",
    "UnknownTask",
    "UnsafeOutput",
    "UnsupportedMediaType",
    "WorkerStopping",
    "from_wire",
]
