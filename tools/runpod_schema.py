"""Extract the operations that `deploy` uses from RunPod's OpenAPI file, for the tests' stand-in API.

    python -m tools.runpod_schema openapi.json             writes tests/deploy/runpod-v2.json
    python -m tools.runpod_schema openapi.json --check     exit status 1 if it would differ

The file is RunPod's (github.com/runpod/docs, api-reference-v2/openapi.json) and has no licence that allows
copies. So only the facts that a program needs are kept: paths, names, types and bounds; no prose and no examples.

May import: nothing of the project.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

KEPT = Path(__file__).resolve().parent.parent / "tests" / "deploy" / "runpod-v2.json"
OPERATIONS = (
    "listEndpoints",
    "createEndpoint",
    "getEndpoint",
    "updateEndpoint",
    "deleteEndpoint",
    "listEndpointWorkers",
    "listGpuTypes",
    "listCpuTypes",
)
_PROSE = {"description", "examples", "example", "summary", "title", "externalDocs"}
_SCHEMAS = "#/components/schemas/"


def shape(openapi: dict[str, Any]) -> dict[str, Any]:
    """`operations`: id → method, path, request and responses by status; `$defs`: all schemas that they use."""
    operations = {
        operation["operationId"]: _operation(method, path, operation, openapi)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and operation.get("operationId") in OPERATIONS
    }
    defs: dict[str, Any] = {}
    _collect_schemas(operations, openapi["components"]["schemas"], defs)
    return {"operations": operations, "$defs": dict(sorted(defs.items()))}


def _operation(method: str, path: str, operation: dict[str, Any], openapi: dict[str, Any]) -> dict[str, Any]:
    request = operation.get("requestBody", {})
    answers = {status: _followed(answer, openapi) for status, answer in operation["responses"].items()}
    return {
        "method": method.upper(),
        "path": path,
        "request": _schema(request),
        "answers": {status: _schema(answer) for status, answer in answers.items()},
    }


def _followed(answer: dict[str, Any], openapi: dict[str, Any]) -> dict[str, Any]:
    found = openapi
    for part in answer.get("$ref", "#").split("/")[1:]:
        found = found[part]
    return found if "$ref" in answer else answer


def _schema(holder: dict[str, Any]) -> Any:
    """The schema of a body of any media type; None if there is no body."""
    contents = list(holder.get("content", {}).values())
    return _bare(contents[0]["schema"]) if contents else None


def _bare(node: Any, *, names: bool = False) -> Any:
    """`node` without prose, its references moved to `$defs`. `names`: its keys are a schema's own property names."""
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if not isinstance(node, dict):
        return node.replace(_SCHEMAS, "#/$defs/") if isinstance(node, str) else node
    return {
        key: _bare(value, names=key in ("properties", "dependentRequired") and not names)
        for key, value in node.items()
        if names or not (key in _PROSE or key.startswith("x-"))
    }


def _collect_schemas(node: Any, schemas: dict[str, Any], defs: dict[str, Any]) -> None:
    if isinstance(node, dict):
        for value in node.values():
            _collect_schemas(value, schemas, defs)
    elif isinstance(node, list):
        for item in node:
            _collect_schemas(item, schemas, defs)
    elif isinstance(node, str) and node.startswith("#/$defs/"):
        name = node.removeprefix("#/$defs/")
        if name not in defs:
            defs[name] = _bare(schemas[name])
            _collect_schemas(defs[name], schemas, defs)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.runpod_schema")
    parser.add_argument("openapi", type=Path, help="RunPod's OpenAPI file, version 2")
    parser.add_argument("--check", action="store_true", help="report differences and change nothing")
    arguments = parser.parse_args(argv)
    text = json.dumps(shape(json.loads(arguments.openapi.read_text(encoding="utf-8"))), indent=1) + "\n"
    if arguments.check:
        current = KEPT.is_file() and KEPT.read_text(encoding="utf-8") == text
        print(f"{KEPT.name} is {'current' if current else 'out of date'}")
        return 0 if current else 1
    KEPT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
