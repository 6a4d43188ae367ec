"""Operations of the OpenAPI document: parts that FastAPI can't derive, because handlers read the request themselves.

May import: core.contracts, core.errors, http_api.problems.
"""

from __future__ import annotations

import inspect
from typing import Any

from core.contracts import REQUESTS, SELFIE_FORMATS, Route
from core.errors import BY_CODE
from http_api.problems import MEDIA_TYPE

Json = dict[str, Any]

OPERATION_IDS: dict[Route, str] = {
    Route.PROFILE: "createProfile",
    Route.CHAT_1TO1: "generateChat1to1",
    Route.SHORTS: "generateShorts",
    Route.SCENES: "generateScenes",
    Route.PRIVATE: "generatePrivate",
    Route.GENERAL: "generateImage",
}
_CHAT = [{"role": "user", "content": "Remember the lighthouse at dusk? Show me the two of us there, in raincoats."}]
_SELFIE = "https://example.com/selfie.jpg"
EXAMPLES: dict[Route, Json] = {
    Route.PROFILE: {"selfie": _SELFIE, "style": "watercolour", "seed": 7},
    Route.CHAT_1TO1: {"messages": _CHAT, "seed": 7},
    Route.SHORTS: {"messages": _CHAT, "seed": 7},
    Route.SCENES: {"messages": _CHAT, "seed": 7},
    Route.PRIVATE: {"prompt": "A lighthouse at dusk, waves below.", "seed": 7},
    Route.GENERAL: {"prompt": "A lighthouse at dusk, waves below.", "seed": 7, "caption": True},
}
TEXT: Json = {"type": "string"}

_STATUS_WORDS = {
    400: "A field, a header or the body is invalid.",
    401: "No valid key.",
    402: "The key's daily budget is spent.",
    404: "The path, job or picture doesn't exist, or belongs to another caller.",
    405: "The path doesn't support the method.",
    406: "`Accept` allows no media type in which this request can be answered.",
    408: "The body took too long to arrive.",
    409: "The idempotency key is in use, or was used for another request.",
    413: "The body, a field or the result is too large.",
    415: "The path doesn't accept the body's type.",
    422: "The content policy refuses the request.",
    429: "Too many requests; see `Retry-After`.",
    499: "The request was cancelled.",
    500: "An unexpected error or a wrong setting.",
    502: "A worker failed.",
    503: "Not available now; see `Retry-After`.",
    504: "Out of time.",
}
_CREATE_ERRORS = tuple(status for status in _STATUS_WORDS if status not in {404, 405})
_WAIT_HEADERS = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."},
    "retry-after-ms": {"schema": {"type": "integer"}, "description": "Milliseconds."},
}
_JOB_HEADERS = {
    "X-Job-Id": {"schema": TEXT, "description": "The job's id."},
    "X-Request-Id": {"schema": TEXT, "description": "The request's own id, or the job's."},
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def problem_responses() -> Json:
    return {f"Problem{status}": _problem_response(status) for status in _STATUS_WORDS}


def _problem_response(status: int) -> Json:
    codes = sorted(code for code, cls in BY_CODE.items() if cls.http_status == status)
    named = f" Codes: {', '.join(codes)}." if codes else ""
    headers = {"headers": _WAIT_HEADERS} if status in {402, 409, 429, 503} else {}
    return {
        "description": f"{_STATUS_WORDS[status]}{named}",
        "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
        **headers,
    }


def _problems(*statuses: int) -> Json:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}


_SECURED: Json = {"security": [{}, {"apiKey": []}, {"bearer": []}]}


def _header(name: str, description: str, schema: Json | None = None) -> Json:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema or TEXT}


_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[\x21-\x7e]+$"}
_CREATE_HEADERS = [
    _header("Prefer", "`respond-async`, `wait=N` (seconds), or both."),
    _header("Idempotency-Key", "Same as the field `idempotency_key`.", _ID_SCHEMA),
    _header("X-Request-Id", "Same as the field `request_id`.", _ID_SCHEMA),
]


def create_operation(route: Route) -> Json:
    """The part of a task's POST operation that FastAPI can't derive."""
    request = REQUESTS[route]
    summary, _, rest = inspect.cleandoc(request.__doc__ or "").partition("\n")
    return {
        "summary": summary,
        "description": rest.strip() or summary,
        "parameters": _CREATE_HEADERS,
        "requestBody": {"required": True, "content": _bodies(route)},
        "responses": {
            "200": _result_response(),
            "202": _accepted_response(),
            "303": _redirect(),
            **_problems(*_CREATE_ERRORS),
        },
        **_SECURED,
    }


def _bodies(route: Route) -> Json:
    name = REQUESTS[route].__name__
    bodies: Json = {"application/json": {"schema": ref(name), "example": EXAMPLES[route]}}
    if route is Route.PROFILE:
        image = {"schema": {"type": "string", "format": "binary"}}
        bodies |= {"multipart/form-data": {"schema": _form()}, "image/*": image, "application/octet-stream": image}
    return bodies


def _form() -> Json:
    """The form of `profile/create`: its fields as text, the selfie as a file."""
    schema = REQUESTS[Route.PROFILE].model_json_schema()
    fields = {name: {"type": "string"} for name in schema["properties"] if name not in {"task", "selfie"}}
    file = {"type": "string", "format": "binary", "description": f"A {SELFIE_FORMATS} of at most 7 MiB."}
    properties = {"selfie": file, **fields}
    return {"type": "object", "required": ["selfie"], "properties": properties, "additionalProperties": False}


def _result_response() -> Json:
    image = {"schema": {"type": "string", "format": "binary"}}
    return {
        "description": "The result; the picture alone, or a stream of `accepted`, `progress` and `result` or `error`.",
        "headers": _JOB_HEADERS,
        "content": {
            "application/json": {"schema": ref("Result")},
            "text/event-stream": {"schema": TEXT},
            **dict.fromkeys(("image/webp", "image/png", "image/jpeg"), image),
        },
    }


def _accepted_response() -> Json:
    location = {"Location": {"schema": TEXT, "description": "Where the job is."}}
    return {
        "description": "The job continues; read it at `Location`.",
        "headers": {**_JOB_HEADERS, **location},
        "content": {"application/json": {"schema": ref("Job")}},
    }


def _redirect() -> Json:
    return {"description": "With `Accept: image/…` and storage: the picture is at `Location`."}


def _path_parameter(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": TEXT}


JOB_ERRORS = _problems(400, 401, 404, 500, 503)
_JOB_ID = _path_parameter("job_id", "The job's id.")
JOB_OPERATIONS: dict[str, Json] = {
    "read": {
        "parameters": [_JOB_ID],
        "responses": {
            "200": {"description": "The job.", "content": {"application/json": {"schema": ref("Job")}}},
            **JOB_ERRORS,
        },
        **_SECURED,
    },
    "events": {
        "parameters": [
            _JOB_ID,
            _header("Last-Event-ID", "Only events after this one.", {"type": "string", "pattern": "^[0-9]{1,9}$"}),
        ],
        "responses": {
            "200": {"description": "The job's events.", "content": {"text/event-stream": {"schema": TEXT}}},
            **JOB_ERRORS,
        },
        **_SECURED,
    },
    "delete": {
        "parameters": [_JOB_ID],
        "responses": {"204": {"description": "Cancelled or forgotten."}, **JOB_ERRORS},
        **_SECURED,
    },
    "picture": {
        "parameters": [_path_parameter("picture_id", "The result's `picture_id`.")],
        "responses": {"204": {"description": "The picture is deleted."}, **JOB_ERRORS},
        **_SECURED,
    },
}


def _openai_responses(description: str, schema: Json, *statuses: int) -> Json:
    error = {"content": {"application/json": {"schema": ref("OpenAiError")}}}
    return {
        "200": {"description": description, "content": {"application/json": {"schema": schema}}},
        **{str(status): {"description": _STATUS_WORDS[status], **error} for status in statuses},
    }


OPENAI_GENERATE: Json = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": ref("ImagesRequest"),
                "example": {"model": "any", "prompt": "A lighthouse at dusk.", "size": "auto", "n": 1},
            }
        },
    },
    "parameters": _CREATE_HEADERS[1:],
    "responses": _openai_responses(
        "The pictures.", ref("OpenAiImages"), *(status for status in _CREATE_ERRORS if status not in {406, 422})
    ),
    **_SECURED,
}
OPENAI_MODELS: Json = {"responses": _openai_responses("One model.", {"type": "object"}, 401, 500), **_SECURED}
METRICS: Json = {
    "responses": {
        "200": {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": TEXT}}},
        **_problems(401, 500),
    },
    **_SECURED,
}
_STATUS_BODY = {"application/json": {"schema": {"type": "object", "required": ["status"]}}}
PING: Json = {
    "responses": {
        "200": {"description": "Ready.", "content": _STATUS_BODY},
        "204": {"description": "Starting."},
        "503": {"description": "Draining.", "content": _STATUS_BODY},
    }
}
HEALTHZ: Json = {"responses": {"200": {"description": "Version, pools, open circuits.", "content": _STATUS_BODY}}}
ERRORS: Json = {
    "parameters": [_path_parameter("code", "An error's code.")],
    "responses": {
        "200": {
            "description": "When the error happens and what to do.",
            "content": {"text/plain": {"schema": TEXT}},
        },
        **_problems(404),
    },
}
