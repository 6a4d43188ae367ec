"""The job that a handler receives, and the reply that the platform receives for each outcome.

May import: core.contracts, core.errors, core.logs. No SDK and no HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel

from core.contracts import Message, StageRequest, read_request
from core.errors import Cancelled, DeviceError, ImgPodError, Internal, InvalidRequest, Refused, TooLarge
from core.logs import logger
from core.worker.progress import Progress

M = TypeVar("M", bound=Message)
M_contra = TypeVar("M_contra", bound=Message, contravariant=True)
log = logger()


@dataclass(frozen=True, slots=True)
class Job:
    """A job's id, its progress reporter, and the bucket that its caller named.

    `caller` is the name of an API key of the HTTP API; empty for a job of the platform.
    """

    id: str
    progress: Progress
    s3_config: Mapping[str, object] | None = field(default=None, repr=False)
    caller: str = ""


JobHandler = Callable[[M, Job], Awaitable[Message]]
"""A handler: a typed request and its job in, a message out; it raises `ImgPodError`."""


async def _do_nothing() -> None:
    """Do nothing: the default `shutdown`."""


@dataclass(frozen=True, slots=True)
class Worker(Generic[M]):
    """A worker as its handler module declares it.

    `load` is called once, before the first job: it loads weights, warms up, and returns the handler. It may block and
    raises `Misconfigured`. `running` jobs run at a time; `concurrency` includes those taken ahead. `shutdown` is
    awaited after the last job was answered, sends what is still pending, and bounds its own time. The stock loop does
    not call it, because it reports no end.
    """

    name: str
    tasks: Mapping[str, type[M]]
    load: Callable[[], JobHandler[M]]
    running: int
    concurrency: int
    test_input: Path
    shutdown: Callable[[], Awaitable[None]] = _do_nothing


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a job: `body` is the JSON that is posted; `refresh` asks the platform for a new worker."""

    body: bytes
    error: ImgPodError | None = None
    refresh: bool = False

    @property
    def final(self) -> bool:
        """Whether running the job again would give the same outcome: a result, or a fault of the request."""
        return self.error is None or isinstance(self.error, InvalidRequest | Refused)

    @classmethod
    def of_result(cls, result: Message, *, max_bytes: int) -> Reply:
        """The reply with `result`. Raises `TooLarge` if the platform would drop it silently (runpod-python #309)."""
        body = _json({"output": to_jsonable(result)})
        if len(body) > max_bytes:
            raise TooLarge(
                f"The result is {len(body):,} bytes and the platform takes {max_bytes:,}: configure storage "
                "(BUCKET_…), or ask for a smaller picture or another `output_format`."
            )
        return cls(body)

    @classmethod
    def of_error(cls, error: ImgPodError) -> Reply:
        refresh = isinstance(error, DeviceError)
        return cls(_json({"error": error.to_wire()} | ({"stopPod": True} if refresh else {})), error, refresh)


async def answer(
    raw: Mapping[str, Any], worker: Worker[M], respond: JobHandler[M], progress: Progress, max_bytes: int
) -> Reply:
    """Validate a job, run the handler and return the reply. Raises only when the job itself is cancelled."""
    job_id = str(raw.get("id", ""))
    with structlog.contextvars.bound_contextvars(job_id=job_id, worker=worker.name):
        try:
            request = read_request(raw.get("input"), worker.tasks)
            # Not unbound here, because failures are logged below with these keys; each job has its own context.
            structlog.contextvars.bind_contextvars(**_log_context(request))
            result = await respond(request, Job(job_id, progress, _s3_config(raw)))
            return Reply.of_result(result, max_bytes=max_bytes)
        except ImgPodError as error:
            log.info("job failed", code=error.code, stage=error.stage, retryable=error.retryable)
            return Reply.of_error(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Without this, a cancellation that a handler raised itself would end the job without a reply.
            return Reply.of_error(Cancelled("The work was cancelled inside the worker; send the request again."))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - every job needs an answer
            return Reply.of_error(internal_error(error))


def internal_error(error: BaseException) -> Internal:
    """Log an unexpected exception by type and place; return the `internal` error that names the log entry.

    The exception's message may contain text of the request, so it is neither logged nor returned.
    """
    error_id = uuid.uuid4().hex[:12]
    log.error("internal error", error_id=error_id, error_type=type(error).__name__, where=_traceback_places(error))
    return Internal(f"An unexpected error occurred; the worker's log describes it under the id {error_id}.")


def _traceback_places(error: BaseException) -> str:
    """File names and line numbers from the outermost frame to the one that raised, without values."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " > ".join(frames[-8:])


def _log_context(request: Message) -> dict[str, str]:
    traits = {"task": str(getattr(request, "task", ""))}
    if isinstance(request, StageRequest) and request.context is not None:
        traits["trace_id"] = request.context.trace_id
    return traits


def _s3_config(raw: Mapping[str, Any]) -> Mapping[str, object] | None:
    config = raw.get("s3Config")
    if config is not None and not isinstance(config, dict):
        raise InvalidRequest("`s3Config` must be an object with accessId, accessSecret, bucketName and endpointUrl.")
    return config


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def to_jsonable(value: object) -> Any:  # noqa: PLR0911 - one line per type is clearer than a table
    """Convert `value` for JSON: NaN → null, bytes → base64, times → ISO 8601, numpy → lists, surrogates → `?`.

    The SDK posts nothing for a result that contains one of these, and the caller waits until the job times out.
    """
    if isinstance(value, Enum):
        return to_jsonable(value.value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, BaseModel):
        return {name: to_jsonable(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(to_jsonable(key)): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_jsonable(item) for item in value]
    return _library_value_to_jsonable(value)


def _library_value_to_jsonable(value: object) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if callable(as_list := getattr(value, "tolist", None)):  # numpy and torch, arrays and scalars alike
        return to_jsonable(as_list())
    return str(type(value).__name__)
