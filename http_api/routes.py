"""Handlers of the tasks and of jobs.

    read the body → read the request → admit the caller → start the job → wait as the caller prefers

May import: core, starlette, http_api.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core.contracts import REQUESTS, PictureRequest, Route, read_request
from core.errors import DeadlineExceeded, InvalidRequest, NotAcceptable, NotFound
from core.settings import HttpSettings
from http_api.answers import EventStream, ended_response, ends_before_disconnect, json_response
from http_api.bodies import read_input
from http_api.callers import Callers
from http_api.jobs import HttpJob, Jobs
from http_api.preferences import Preferences
from http_api.problems import error_response
from orchestrator.stored_pictures import StoredPictures

PATHS: dict[Route, str] = {route: f"/v1/{route}" for route in Route}
"""Paths of the original system that this one replaces."""

_HEADER_FIELDS = {"idempotency-key": "idempotency_key", "x-request-id": "request_id"}
CLIENT_GONE = 499
"""Status that is logged if the caller has disconnected, as in nginx."""
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Routes:
    """The handlers of the API's own routes."""

    jobs: Jobs
    callers: Callers
    settings: HttpSettings
    stored: StoredPictures | None

    def create(self, route: Route) -> Endpoint:
        """The handler for POST of `route`."""

        async def create(request: Request) -> Response:
            return await self._create(request, route)

        return create

    async def _create(self, request: Request, route: Route) -> Response:
        caller = self.callers.identify(request.headers)
        preferences = Preferences.of(request.headers)
        release = caller.admission()
        try:
            parsed = await self._read(request, route, preferences)
            self.jobs.check_open()
        except ClientDisconnect:
            release()
            return Response(status_code=CLIENT_GONE)
        except BaseException:
            release()
            raise
        job = self.jobs.start(parsed, caller.name, release)
        return await self.answer(request, job, preferences)

    async def _read(self, request: Request, route: Route, preferences: Preferences) -> PictureRequest:
        body = await read_input(request, route, self.settings.body_timeout_s)
        parsed = read_request(_with_headers(body, request, preferences), REQUESTS)
        _check_form(parsed, preferences)
        return parsed

    async def answer(self, request: Request, job: HttpJob, preferences: Preferences) -> Response:
        """Wait for the job's answer and return it, with the media type and wait that the caller prefers."""
        headers = _answer_headers(job, preferences)
        if preferences.form == "stream":
            if preferences.detached:
                await self.jobs.keep(job)
            on_disconnect = None if preferences.detached else lambda: self.abandon(job)
            return EventStream(job, within_s=self.settings.wait_s, on_disconnect=on_disconnect, headers=headers)
        if preferences.detached:
            return await self._wait_then_accept(request, job, preferences)
        return await self._wait(request, job, preferences)

    def abandon(self, job: HttpJob) -> None:
        """Cancel an unfinished job and remove it, because its caller has disconnected."""
        job.cancel()
        self.jobs.forget(job.id)

    async def _wait(self, request: Request, job: HttpJob, preferences: Preferences) -> Response:
        try:
            ended = await ends_before_disconnect(request, job, self.settings.wait_s)
        finally:
            self.abandon(job)
        if ended is None:
            return Response(status_code=CLIENT_GONE)
        response = ended_response(job, as_image=preferences.form == "image")
        if not ended:
            response = error_response(
                DeadlineExceeded(
                    f"The picture was not finished within {self.settings.wait_s:g} s; send `Prefer: respond-async`."
                )
            )
        response.headers.update(_answer_headers(job, preferences))
        return response

    async def _wait_then_accept(self, request: Request, job: HttpJob, preferences: Preferences) -> Response:
        """The answer, if the job ends within `wait=N`, else 202; a request that is refused at once gets its error."""
        await self.jobs.keep(job)
        wait_s = min(float(preferences.wait_s or 0), self.settings.wait_s)
        ended = await ends_before_disconnect(request, job, wait_s) if wait_s else await job.wait(0)
        if ended and (preferences.wait_s or job.error is not None):
            response = ended_response(job, as_image=preferences.form == "image")
        else:
            response = json_response(_accepted(job), 202, {"Location": f"/v1/jobs/{job.id}"})
        response.headers.update(_answer_headers(job, preferences))
        return response

    async def read_job(self, request: Request) -> Response:
        job = await self.jobs.find(request.path_params["job_id"], self.callers.identify(request.headers).name)
        return json_response(job.view() if isinstance(job, HttpJob) else job, headers={"Cache-Control": "no-store"})

    async def read_events(self, request: Request) -> Response:
        job = await self.jobs.find(request.path_params["job_id"], self.callers.identify(request.headers).name)
        if not isinstance(job, HttpJob):
            raise NotFound("This job's events are in another process only; read the job itself.")
        after = request.headers.get("last-event-id", "0")
        if not after.isdecimal() or len(after) > 9:
            raise InvalidRequest("`Last-Event-ID` must be the id of an event of this job.")
        return EventStream(job, after=int(after), within_s=self.settings.wait_s, resumable=True)

    async def delete_job(self, request: Request) -> Response:
        await self.jobs.delete(request.path_params["job_id"], self.callers.identify(request.headers).name)
        return Response(status_code=204)

    async def delete_picture(self, request: Request) -> Response:
        caller = self.callers.identify(request.headers)
        if self.stored is None:
            raise NotFound("This deployment stores no pictures.")
        await self.stored.delete(request.path_params["picture_id"], caller.name)
        return Response(status_code=204)


def _with_headers(body: dict[str, Any], request: Request, preferences: Preferences) -> dict[str, Any]:
    """The input, completed with values from the headers. Raises `InvalidRequest` if header and body disagree."""
    filled = dict(body)
    for header, name in _HEADER_FIELDS.items():
        value = request.headers.get(header)
        if value is None:
            continue
        value = value.removeprefix('"').removesuffix('"')
        if filled.setdefault(name, value) != value:
            raise InvalidRequest(f"`{name}`: the header and the body have different values.")
    if preferences.image_format is not None:
        filled.setdefault("output_format", preferences.image_format)
    return filled


def _check_form(parsed: PictureRequest, preferences: Preferences) -> None:
    if preferences.form != "image":
        return
    if parsed.n > 1:
        raise NotAcceptable("An image response has one picture: request `n` pictures with `Accept: application/json`.")
    if preferences.image_format not in {None, parsed.output_format}:
        raise NotAcceptable("`Accept` and `output_format` name different formats.")


def _answer_headers(job: HttpJob, preferences: Preferences) -> dict[str, str]:
    applied = preferences.applied
    return {
        "X-Job-Id": job.id,
        "X-Request-Id": job.request.request_id or job.id,
        **({"Preference-Applied": applied} if applied else {}),
    }


def _accepted(job: HttpJob) -> dict[str, Any]:
    return {**job.view(), "events": f"/v1/jobs/{job.id}/events"}
