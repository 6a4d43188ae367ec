"""The playground: a web page that makes pictures with the HTTP API of the same address.

Static ES modules in `static/`, without a framework, a build step or a request to another host. `offered.py` provides
existing results, such as those of `./demo`.

May import: starlette, core.errors, http_api.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from core.errors import NotFound
from http_api.playground.offered import OfferedResults

STATIC = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data: https:; "
    "connect-src 'self' https:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Scripts and styles from this address only. Pictures may also come from a bucket, whose address is unknown here."""
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes(results_folder: Path | None) -> list[Route]:
    """The page at `/`, its files under `/playground/`, and the offered results of `results_folder`."""
    offered = OfferedResults(results_folder)
    return [
        Route("/", _page, include_in_schema=False),
        Route("/playground/offered.json", offered.index, include_in_schema=False),
        Route("/playground/offered/{name}", offered.picture, include_in_schema=False),
        Route("/playground/{name}", _file, include_in_schema=False),
    ]


async def _page(request: Request) -> Response:
    del request
    return _static("index.html")


async def _file(request: Request) -> Response:
    return _static(request.path_params["name"])


def _static(name: str) -> Response:
    """A static file. Raises `NotFound`. Only names of existing files are accepted, which prevents path traversal."""
    files = {file.name: file for file in STATIC.iterdir()}
    if name not in files:
        raise NotFound("The playground has no such file.")
    return FileResponse(files[name], media_type=_TYPES[files[name].suffix], headers=_HEADERS)
