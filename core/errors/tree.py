"""The classes of the error tree. Each has a code, an HTTP status and whether a repetition may succeed."""

from __future__ import annotations

import json
from typing import Any, ClassVar


class ImgPodError(Exception):
    """Root of the tree. `stage` names the failed stage of the flow; `retry_after_ms` is a measured waiting time."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, stage: str | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.stage = stage
        self.retry_after_ms = retry_after_ms
        self.trace_id: str | None = None
        """Set by the orchestrator's service: the request's id in every log line."""

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
    """A field is missing, unknown, of the wrong type or out of its bounds.

    The message names the field and the bound. Correct the request; the same request fails again.
    """

    code = "invalid_request"
    http_status = 400


class UnknownTask(InvalidRequest):
    """The input has no `task`, or a task that this endpoint doesn't serve.

    Use one of the tasks that the message lists; the orchestrator and the workers have different tasks.
    """

    code = "unknown_task"


class BadPicture(InvalidRequest):
    """The selfie can't be opened as a picture, takes too long to decode, or is not valid base64.

    Send a JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF whose longer side is at most ten times the shorter side.
    """

    code = "bad_picture"


class BadUrl(InvalidRequest):
    """A URL is not https on an allowed port, is not on the public internet, or did not return a picture in time.

    Use an https URL that opens in a browser, or send the picture as base64.
    """

    code = "bad_url"


class TooLarge(InvalidRequest):
    """A text, a list, a picture or a result exceeds its size limit, or doesn't fit into the GPU's memory.

    Send less, or request smaller sides. If the result is too large, use `webp` or configure storage.
    """

    code = "too_large"
    http_status = 413


class NotFound(InvalidRequest):
    """The HTTP API has no such path, job or picture, or it belongs to another caller.

    Check the address. A job is kept for `HTTP_KEEP_JOBS_S` after its end.
    """

    code = "not_found"
    http_status = 404


class MethodNotAllowed(InvalidRequest):
    """The HTTP API doesn't support this method on this path.

    Use one of the methods in the `Allow` header of the answer; `/openapi.json` describes them.
    """

    code = "method_not_allowed"
    http_status = 405


class NotAcceptable(InvalidRequest):
    """The `Accept` header allows no media type in which this request can be answered.

    Accept `application/json`, `text/event-stream`, or, for a single picture, `image/webp`, `image/png` or `image/jpeg`.
    """

    code = "not_acceptable"
    http_status = 406


class BodyTimeout(InvalidRequest):
    """The request's body was not received in time.

    Send it again without pauses, or send the selfie as a URL.
    """

    code = "body_timeout"
    http_status = 408


class UnsupportedMediaType(InvalidRequest):
    """The route doesn't accept the request's `Content-Type`.

    Send `application/json`; `profile/create` also takes `multipart/form-data` and an image.
    """

    code = "unsupported_media_type"
    http_status = 415


class IdempotencyMismatch(InvalidRequest):
    """The `idempotency_key` was used for another request.

    Use a new key for a new request.
    """

    code = "idempotency_mismatch"
    http_status = 409


class Unauthorized(ImgPodError):
    """The HTTP API was called without a valid key.

    Send the key as `X-API-Key`, or as `Authorization: Bearer` if the API is not behind RunPod's own authentication.
    """

    code = "unauthorized"
    http_status = 401


class BudgetSpent(ImgPodError):
    """The caller's daily budget of the HTTP API is spent.

    Wait until midnight UTC (`retry_after_ms`), or ask the operator to raise `daily_usd`.
    """

    code = "budget_spent"
    http_status = 402


class Refused(ImgPodError):
    http_status = 422


class PolicyBlocked(Refused):
    """The text policy refuses a text of the request, or a text that a model wrote from it.

    Change the request. `categories` lists the kinds of rules that matched, never the words.
    """

    code = "policy_blocked"

    def __init__(self, message: str, *, categories: tuple[str, ...] = (), stage: str | None = None) -> None:
        super().__init__(message, stage=stage)
        self.categories = categories

    def body(self) -> dict[str, Any]:
        return {**super().body(), "categories": list(self.categories)}


class LanguageNotSupported(Refused):
    """A text is in a language or an encoding that the content policy can't check in this deployment.

    Write it in English or in another language of docs/safety.md. The operator can set another treatment
    of such texts with `POLICY_UNSUPPORTED_LANGUAGE`.
    """

    code = "language_not_supported"


class MinorSuspected(Refused):
    """The person in the selfie or the features may be under 18.

    Use a picture of an adult. The age is an estimate and can be wrong; the refusal applies in any case.
    """

    code = "minor_suspected"


class UnsafeOutput(Refused):
    """Two generated pictures in a row did not pass the safety check of a moderated route.

    Change the request to something less explicit.
    """

    code = "unsafe_output"


class Busy(ImgPodError):
    http_status = 429
    retryable = True


class QueueFull(Busy):
    """The route has reached its limit of concurrent requests, `ORCHESTRATOR_ROUTE_CAPACITY`.

    Wait `retry_after_ms`, which is estimated from the rate at which requests finish.
    """

    code = "queue_full"


class RateLimited(Busy):
    """The caller has reached the limit of its HTTP API key: requests at the same time, or requests a minute.

    Wait `retry_after_ms`; send fewer requests at a time.
    """

    code = "rate_limited"


class Throttled(Busy):
    """The platform limited the rate of requests until the deadline.

    Wait `retry_after_ms`; send fewer requests at a time.
    """

    code = "throttled"


class AlreadyRunning(Busy):
    """A request with this `idempotency_key` is still running.

    Wait `retry_after_ms` and send it again: the answer is the result of the first request.
    """

    code = "already_running"
    http_status = 409


class StageFailed(ImgPodError):
    """A worker failed with an unknown error, or its endpoint refused the job.

    Send it again; if it persists, the worker's log has the cause.
    """

    code = "stage_failed"
    http_status = 502
    retryable = True


class EndpointUnavailable(StageFailed):
    """An endpoint or a bucket can't be reached or answers 5xx, or no worker took the job in time.

    Send it again later. If it persists, check that the pool's endpoints have workers.
    """

    code = "endpoint_unavailable"
    http_status = 503


class BadAnswer(StageFailed):
    """A worker completed without a result, or with a result that this release can't read.

    Check that orchestrator and workers run compatible releases.
    """

    code = "bad_answer"


class DeadlineExceeded(ImgPodError):
    """The request's `timeout_s` ran out, or a stage ran longer than its limit.

    Allow more time, in particular for cold starts; or raise the stage's limit.
    """

    code = "deadline_exceeded"
    http_status = 504
    retryable = True


class Cancelled(ImgPodError):
    """The job, or one of its stages, was cancelled.

    If the caller didn't cancel it, send it again. The status 499 is nginx's; HTTP has no standard status for this.
    """

    code = "cancelled"
    http_status = 499


class WorkerStopping(ImgPodError):
    """The worker was stopped before the job was done.

    Send it again: another worker runs it.
    """

    code = "worker_stopping"
    http_status = 503
    retryable = True


class DeviceError(ImgPodError):
    """The device is in an unknown state: the job fails as retryable and the worker requests a replacement."""

    http_status = 503
    retryable = True


class OutOfDeviceMemory(DeviceError):
    """The GPU's memory is exhausted and stays so after unused memory was released; the worker requests a replacement.

    Send it again. If it persists, lower `max_batch`, or use a larger GPU.
    """

    code = "out_of_device_memory"


class DeviceLost(DeviceError):
    """The GPU failed; the worker requests a replacement.

    Send it again: another worker runs it.
    """

    code = "device_lost"


class BlackPicture(ImgPodError):
    """The model generated a black picture, and decoding it with more precision didn't help.

    Send it again with another seed or prompt.
    """

    code = "black_picture"
    http_status = 502
    retryable = True


class Misconfigured(ImgPodError):
    """A setting, a weights file or an endpoint is wrong.

    The operator of the deployment has to correct it; the message names it and says how.
    """

    code = "misconfigured"


class Internal(ImgPodError):
    """An unexpected error occurred.

    Report it with the id in the message; the log has the error's type and place under that id.
    """

    code = "internal"
