"""The OpenAPI document is valid, complete and current, and a fuzzer gets only documented answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import hypothesis
import jsonschema
import pytest
import schemathesis
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from core.contracts import Route
from core.settings import ROOT, Settings
from http_api.app import create_app
from http_api.operations import EXAMPLES
from http_api.routes import PATHS
from orchestrator.service import Service
from tools.docs import http_api as document

DOCUMENT = json.loads(document.page())


def test_openapi_document_is_valid() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    validate(DOCUMENT)


def test_openapi_document_in_docs_is_current() -> None:
    assert json.loads((ROOT / "docs/openapi.json").read_text()) == DOCUMENT


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
    }


def test_every_operation_has_a_unique_id_and_a_summary() -> None:
    ids = [operation["operationId"] for operation in operations().values()]

    assert len(set(ids)) == len(ids)
    assert all(operation["summary"] for operation in operations().values())


def test_no_operation_has_the_frameworks_own_validation_error() -> None:
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)
    for name, operation in operations().items():
        if (refusal := operation["responses"].get("422")) is not None:
            assert refusal == {"$ref": "#/components/responses/Problem422"}, name


@pytest.mark.parametrize("route", Route)
def test_example_of_a_task_fits_its_schema(route: Route) -> None:
    body = DOCUMENT["paths"][PATHS[route]]["post"]["requestBody"]["content"]["application/json"]
    schema = {**body["schema"], "components": DOCUMENT["components"]}

    assert body["example"] == EXAMPLES[route]
    jsonschema.Draft202012Validator(schema).validate(body["example"])


def test_a_task_takes_no_task_field() -> None:
    for name in ("ProfileCreate", "ImageGen", "Chat1to1"):
        assert "task" not in DOCUMENT["components"]["schemas"][name]["properties"]


@pytest.fixture
def app(settings: Settings, make_service: Callable[[Settings], Service]) -> Any:
    return create_app(make_service(settings), settings)


async def test_served_openapi_document_is_the_one_in_docs(http: Any) -> None:
    async with http() as client:
        served = (await client.get("/openapi.json")).json()

    assert served == {name: value for name, value in DOCUMENT.items() if name != "x-generated-by"}


async def test_interactive_documentation_loads_from_its_own_host_only(http: Any) -> None:
    async with http() as client:
        page = await client.get("/docs")
        assert "http://" not in page.text
        assert "https://" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for path in ("assets/swagger-ui-bundle.js", "assets/swagger-ui.css", "start.js"):
            assert (await client.get(f"/docs/{path}")).status_code == 200


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    unsupported_method,
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzed_requests_get_documented_answers_and_no_server_error(app: Any, mode: GenerationMode) -> None:
    seen: set[int] = set()
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.POSITIVE or operation.body.items:
            _fuzz(operation, mode, seen)

    assert {200, 404} <= seen if mode is GenerationMode.POSITIVE else 400 in seen


def _fuzz(operation: Any, mode: GenerationMode, seen: set[int]) -> None:
    @hypothesis.settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        response = case.call()
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    run()
