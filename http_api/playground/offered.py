"""Local results that the playground shows in its gallery: a folder that `./demo` has written.

Each `<task>.json` is a result whose `image_base64` names the picture's file in the same folder.

May import: starlette, core.errors.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from core.errors import NotFound

_PICTURE = re.compile(r"\(in ([\w-]{1,80}\.(?:webp|png|jpeg))\)")


class OfferedResults:
    """The results in `folder`; empty if it is None or missing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def index(self, request: Request) -> Response:
        """The gallery's entries, with the URL of each picture."""
        del request
        return JSONResponse([entry for entry in map(self._entry, self._results()) if entry is not None])

    async def picture(self, request: Request) -> Response:
        """Return a picture's file. Raises `NotFound`."""
        names = {path.name: path for path in map(self._picture_of, self._results()) if path is not None}
        path = names.get(request.path_params["name"])
        if path is None:
            raise NotFound("There is no such picture.")
        return FileResponse(path)

    def _results(self) -> list[Path]:
        return sorted(self._folder.glob("*.json")) if self._folder is not None and self._folder.is_dir() else []

    def _picture_of(self, result: Path) -> Path | None:
        named = _PICTURE.fullmatch(str(_read(result).get("image_base64", "")))
        picture = result.with_name(named[1]) if named else None
        return picture if picture is not None and picture.is_file() else None

    def _entry(self, result: Path) -> dict[str, Any] | None:
        picture, content = self._picture_of(result), _read(result)
        if picture is None:
            return None
        facts = {name: value for name, value in content.items() if name not in {"image_base64", "images"}}
        return {
            "id": f"{content.get('trace_id')}-0",
            "created": round(1000 * picture.stat().st_mtime),
            "path": content.get("task"),
            "request": {},
            "result": facts,
            **{name: content.get(name) for name in ("seed", "width", "height")},
            "format": content.get("image_format"),
            "url": f"/playground/offered/{picture.name}",
        }


def _read(result: Path) -> dict[str, Any]:
    try:
        content = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
