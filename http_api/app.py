"""The FastAPI application with all routes, for one `Service`.

May import: core, orchestrator, fastapi, http_api.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import ImgPodError, InvalidRequest, MethodNotAllowed, NotFound
from core.settings import Settings
from core.worker.job import internal_error
from http_api import docs_page, openapi, operations, playground
from http_api.answers import json_response
from http_api.callers import Callers
from http_api.health import Health
from http_api.job_store import JobStore
from http_api.jobs import Jobs
from http_api.metrics import Metrics, MetricsMiddleware
from http_api.openai_api import OpenAiRoutes
from http_api.problems import error_response, explanation
from http_api.routes import PATHS, Routes
from orchestrator.service import Service

Handler = Callable[[Request], Any]


def create_app(service: Service, settings: Settings) -> FastAPI:
    """Create the application for `service`, which the caller shuts down. Raises `Misconfigured` for a wrong key file.

    The end of the application's lifespan cancels running jobs; `app.state.jobs.drain` waits for them first.
    """
    store = JobStore.from_settings(settings)
    jobs = Jobs(service, settings.http, store)
    callers = Callers.from_file(settings.http.keys_file)
    metrics = Metrics(service)
    service.observers += [metrics.observe, lambda traced: callers.spend(traced.caller, traced.cost_usd)]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await jobs.drain(0)
        if store is not None:
            await store.close()

    # No redirect of `/v1/imagegen/`: behind TLS its address would be http, and the key would be sent in plain text.
    app = FastAPI(
        title="img-pod", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.jobs, app.state.service = jobs, service
    routes = Routes(jobs, callers, settings.http, service.publication.stored)
    _add_task_routes(app, routes)
    _add_job_routes(app, routes)
    _add_openai_routes(app, OpenAiRoutes(routes))
    _add_operation_routes(app, Health(service, jobs), metrics, callers)
    _add_documentation(app)
    app.router.routes += playground.routes(settings.http.results_folder)
    app.add_exception_handler(ImgPodError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(GuardMiddleware)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    return app


def _add(
    app: FastAPI, method: str, path: str, handler: Handler, operation: str, tag: str, extra: dict[str, Any]
) -> None:
    """Add a route whose handler reads the request itself, because FastAPI's own validation would answer 422."""
    first = next(iter(extra["responses"]))
    app.add_api_route(
        path,
        handler,
        methods=[method],
        operation_id=operation,
        tags=[tag],
        status_code=int(first),
        response_class=Response,
        openapi_extra=extra,
        summary=extra.get("summary"),
    )
    if method == "GET" and not path.endswith("/events"):  # a stream has no length to report
        app.add_route(path, handler, methods=["HEAD"], include_in_schema=False)


def _add_task_routes(app: FastAPI, routes: Routes) -> None:
    for route, path in PATHS.items():
        operation_id = operations.OPERATION_IDS[route]
        _add(app, "POST", path, routes.create(route), operation_id, "pictures", operations.create_operation(route))


def _add_job_routes(app: FastAPI, routes: Routes) -> None:
    job = operations.JOB_OPERATIONS
    _add(app, "GET", "/v1/jobs/{job_id}", routes.read_job, "readJob", "jobs", job["read"])
    _add(app, "GET", "/v1/jobs/{job_id}/events", routes.read_events, "readJobEvents", "jobs", job["events"])
    _add(app, "DELETE", "/v1/jobs/{job_id}", routes.delete_job, "cancelJob", "jobs", job["delete"])
    _add(app, "DELETE", "/v1/pictures/{picture_id}", routes.delete_picture, "deletePicture", "pictures", job["picture"])


def _add_openai_routes(app: FastAPI, openai: OpenAiRoutes) -> None:
    _add(app, "POST", "/v1/images/generations", openai.generate, "openaiGenerate", "openai", operations.OPENAI_GENERATE)
    _add(app, "GET", "/v1/models", openai.models, "openaiModels", "openai", operations.OPENAI_MODELS)


def _add_operation_routes(app: FastAPI, health: Health, metrics: Metrics, callers: Callers) -> None:
    async def read_metrics(request: Request) -> Response:
        callers.identify(request.headers)
        return metrics.response()

    _add(app, "GET", "/ping", health.ping, "ping", "operation", operations.PING)
    _add(app, "GET", "/healthz", health.healthz, "healthz", "operation", operations.HEALTHZ)
    _add(app, "GET", "/metrics", read_metrics, "metrics", "operation", operations.METRICS)
    _add(app, "GET", "/errors/{code}", _explain_code, "explainError", "operation", operations.ERRORS)


def _add_documentation(app: FastAPI) -> None:
    document: dict[str, Any] = {}

    async def read_document(request: Request) -> Response:
        del request
        document.update(document or openapi.build(app))
        return json_response(document)

    app.add_route("/openapi.json", read_document, include_in_schema=False)
    app.add_route("/docs", docs_page.page, include_in_schema=False)
    app.add_route("/docs/start.js", docs_page.start_script, include_in_schema=False)
    app.mount("/docs/assets", docs_page.assets())


async def _explain_code(request: Request) -> Response:
    text = explanation(request.path_params["code"])
    if text is None:
        raise NotFound("There is no such error code.")
    return PlainTextResponse(text)


async def _on_error(request: Request, error: Exception) -> Response:
    del request
    return error_response(error if isinstance(error, ImgPodError) else internal_error(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Convert Starlette's own refusals: an unknown path, or a wrong method."""
    del request
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == 404:
        return error_response(NotFound("There is no such path; /openapi.json lists all paths."), headers)
    if status == 405:
        return error_response(MethodNotAllowed("This path doesn't support the method; see `Allow`."), headers)
    if status < 500:
        return error_response(InvalidRequest("The request can't be read; check its headers and its body."), headers)
    return error_response(internal_error(error), headers)


class GuardMiddleware:
    """Adds the headers of every answer, and answers unexpected exceptions without a traceback in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception as error:  # noqa: BLE001 - any exception: its message must not be logged or sent
            failure = error_response(internal_error(error))
            if not started:
                await failure(scope, receive, guarded)
