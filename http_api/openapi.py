"""Build the OpenAPI document from FastAPI's routes and the messages of `core.contracts`.

Requests and results are the job API's own classes, so that the document describes what `read_request` checks.
`python -m tools.docs` writes it to docs/openapi.json.

May import: core.contracts, core.errors, fastapi.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from core.contracts import REQUESTS, Result, Route, StageProgress
from core.errors import BY_CODE
from core.version import VERSION
from http_api.openai_api import ImagesRequest
from http_api.operations import TEXT, Json, problem_responses, ref

_MODELS: list[type[BaseModel]] = [*REQUESTS.values(), Result, StageProgress, ImagesRequest]
_REF = "#/components/schemas/{model}"
_DESCRIPTION = """\
Avatar and chat pictures over HTTP. A POST waits for its picture; `Prefer: respond-async` answers at once with a job,
`Accept: text/event-stream` sends progress, `Accept: image/webp` the picture alone. Errors are RFC 9457 problems, and
422 is always a refusal by the content policy. See docs/http.md.
"""


def build(app: FastAPI) -> Json:
    """The whole document."""
    document = get_openapi(
        title="img-pod",
        version=VERSION,
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[
            {"name": "pictures", "description": "Tasks: each answers with a picture."},
            {"name": "jobs", "description": "Requests that continue without their connection."},
            {"name": "openai", "description": "OpenAI's images route."},
            {"name": "operation", "description": "Health and metrics."},
        ],
        servers=[
            {"url": "/", "description": "This server."},
            {
                "url": "https://{endpoint_id}.api.runpod.ai",
                "description": "A load-balancing endpoint, with the RunPod key as a bearer token.",
                "variables": {"endpoint_id": {"default": "ENDPOINT_ID"}},
            },
        ],
    )
    document["components"] = _components()
    document["webhooks"] = _webhooks()
    return document


def _components() -> Json:
    _, definitions = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
    schemas: Json = {name: _without_defs(schema) for name, schema in definitions["$defs"].items()}
    for request in REQUESTS.values():
        schema = schemas[request.__name__]
        schema["properties"] = {name: given for name, given in schema["properties"].items() if name != "task"}
        schema["required"] = [name for name in schema.get("required", []) if name != "task"]
        if not schema["required"]:
            del schema["required"]
    schemas |= {"Problem": _problem(), "Job": _job(), "OpenAiError": _openai_error(), "OpenAiImages": _openai_images()}
    return {"schemas": schemas, "responses": problem_responses(), "securitySchemes": _security()}


def _without_defs(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "$defs"}


def _problem() -> Json:
    nullable_text = {"type": ["string", "null"]}
    return {
        "type": "object",
        "description": "An error according to RFC 9457.",
        "required": ["type", "title", "status", "detail", "code", "retryable", "stage", "retry_after_ms", "trace_id"],
        "properties": {
            "type": {"type": "string", "description": "URL of the code's explanation: `/errors/{code}`."},
            "title": {"type": "string", "description": "The code in words."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What is wrong and what to do; never a text of the request."},
            "code": {
                "type": "string",
                "enum": sorted(BY_CODE),
                "description": "Code of the error; constant between releases.",
            },
            "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
            "stage": {**nullable_text, "description": "The stage that failed."},
            "retry_after_ms": {"type": ["integer", "null"], "description": "Time to wait before a retry, ms."},
            "trace_id": {**nullable_text, "description": "Id in every log line of the request."},
            "categories": {
                "type": "array",
                "items": TEXT,
                "description": "`policy_blocked`: the kinds of rules that matched.",
            },
        },
    }


def _job() -> Json:
    return {
        "type": "object",
        "description": "A running or ended request.",
        "required": ["id", "status", "task", "request_id", "created_at", "progress", "result", "error"],
        "properties": {
            "id": TEXT,
            "status": {"type": "string", "enum": ["running", "completed", "failed", "cancelled"]},
            "task": {"type": "string", "enum": [str(route) for route in Route]},
            "request_id": {"type": ["string", "null"]},
            "created_at": {"type": "number", "description": "Seconds since 1970."},
            "progress": {"anyOf": [ref("StageProgress"), {"type": "null"}]},
            "result": {"anyOf": [ref("Result"), {"type": "null"}]},
            "error": {"anyOf": [ref("Problem"), {"type": "null"}]},
            "events": {"type": "string", "description": "URL of the job's events."},
        },
    }


def _openai_error() -> Json:
    fields = {"message": TEXT, "type": TEXT, "param": {"type": ["string", "null"]}, "code": TEXT}
    inner = {"type": "object", "required": list(fields), "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}


def _openai_images() -> Json:
    picture = {"type": "object", "properties": {"b64_json": TEXT, "url": TEXT, "revised_prompt": TEXT}}
    return {
        "type": "object",
        "required": ["created", "data"],
        "properties": {
            "created": {"type": "integer"},
            "data": {"type": "array", "items": picture},
            "background": TEXT,
            "output_format": TEXT,
            "size": TEXT,
        },
    }


def _security() -> Json:
    return {
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }


def _webhooks() -> Json:
    message = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "enum": ["picture.completed", "picture.failed"]},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"type": "object", "description": "`job_id` with the result without its bytes, or with the error."},
        },
    }
    operation = {
        "operationId": "pictureEnded",
        "summary": "Posted to a request's `webhook_url`, signed according to Standard Webhooks",
        "requestBody": {"content": {"application/json": {"schema": message}}},
        "responses": {"2XX": {"description": "Taken."}, "410": {"description": "Send no more."}},
    }
    return {"picture": {"post": operation}}
