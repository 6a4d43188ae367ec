"""A model hub on localhost: lists a folder as one repository at any commit, and sends its files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit


class _Handler(BaseHTTPRequestHandler):
    """`GET /api/models/<owner>/<name>/tree/<commit>` and `/<owner>/<name>/resolve/<commit>/<path>`."""

    root: Path
    status: int = 200

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        match unquote(urlsplit(self.path).path).split("/")[1:]:
            case _ if self.status != 200:
                self.send_error(self.status)
            case ["api", "models", owner, name, "tree", _commit]:
                listed = json.dumps(list(self._listed(self.root / owner / name))).encode()
                self._headers(len(listed), "application/json")
                self.wfile.write(listed)
            case [owner, name, "resolve", commit, *path] if (file := self.root.joinpath(owner, name, *path)).is_file():
                etag = hashlib.sha256(str(file).encode()).hexdigest()
                self._headers(file.stat().st_size, "application/octet-stream", {"ETag": etag, "X-Repo-Commit": commit})
                if with_body:
                    with file.open("rb") as opened:
                        shutil.copyfileobj(opened, self.wfile, 2**20)
            case _:
                self.send_error(404)

    def _headers(self, length: int, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in ({"Content-Length": str(length), "Content-Type": kind} | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()

    @staticmethod
    def _listed(folder: Path) -> Iterator[dict[str, object]]:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                path = file.relative_to(folder).as_posix()
                oid = hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()
                yield {"type": "file", "path": path, "size": file.stat().st_size, "oid": oid}

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def local_hub(root: Path, *, status: int = 200) -> Iterator[str]:
    """Serve the repositories `root`/owner/name; return the address. `status`: answer everything with this status."""
    handler = type("Handler", (_Handler,), {"root": root, "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
