"""Command `python -m http_api`: the server of the HTTP API.

    python -m http_api                   serve on HTTP_HOST:HTTP_PORT
    python -m http_api --upstream URL    serve the playground for a remote deployment; the key is RUNPOD_API_KEY
    python -m http_api new-key NAME      create a caller's key and its entry for HTTP_KEYS_FILE
    python -m http_api webhook-secret    create an ORCHESTRATOR_WEBHOOK_SECRET

To run it locally: `python -m localpod run -- python -m http_api`.
"""

from __future__ import annotations

import argparse
import base64
import secrets
import sys
from typing import NoReturn

from core.errors import Misconfigured
from core.logs import configure
from core.settings import load_settings


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "new-key":
            return _new_key(arguments.name)
        if arguments.command == "webhook-secret":
            print(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")
            return 0
        if arguments.upstream is not None:
            return _serve_upstream(arguments.upstream)
        _serve()
    except Misconfigured as error:
        print(error.message, file=sys.stderr)
        return 1


def _serve() -> NoReturn:
    from http_api.server import serve
    from orchestrator.__main__ import load

    settings = load_settings()
    configure(on_platform=settings.platform.endpoint_id is not None, level=settings.worker.log_level)
    serve(lambda: load(settings), settings)


def _serve_upstream(upstream: str) -> int:
    from http_api.upstream import serve

    settings = load_settings()
    configure(on_platform=False, level=settings.worker.log_level)
    print(f"The playground is at http://127.0.0.1:{settings.http.port}/", file=sys.stderr)
    serve(upstream, settings.platform.key, settings.http.port)
    return 0


def _new_key(name: str) -> int:
    from http_api.callers import new_key

    key, entry = new_key(name)
    print(f"The key, which is not stored: {key}", file=sys.stderr)
    print(
        "Add to the `keys:` of HTTP_KEYS_FILE, optionally with max_in_flight, per_minute or daily_usd:", file=sys.stderr
    )
    print(entry, end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m http_api", description="The HTTP API of img-pod.")
    parser.add_argument("--upstream", metavar="URL", help="serve the playground for this deployment and add the key")
    commands = parser.add_subparsers(dest="command")
    key = commands.add_parser("new-key", help="create a caller's key and its entry for HTTP_KEYS_FILE")
    key.add_argument("name", help="the caller's name")
    commands.add_parser("webhook-secret", help="make an ORCHESTRATOR_WEBHOOK_SECRET")
    return parser


if __name__ == "__main__":
    sys.exit(main())
