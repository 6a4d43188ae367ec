"""The reference documents are current and complete, and their examples work."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
from pydantic import BaseModel

import core.contracts
import core.settings
from core.contracts import REQUESTS, STAGE_REQUESTS, Result, read_request
from core.errors import BY_CODE
from orchestrator.flows import FLOWS
from tools.docs import api, errors, examples
from tools.docs.__main__ import ROOT, documents, main, stale, write

DOCUMENTED: tuple[ModuleType, ...] = (core.contracts, core.settings)


def models() -> Iterator[type[BaseModel]]:
    for module in DOCUMENTED:
        for found in vars(module).values():
            if (
                isinstance(found, type)
                and issubclass(found, BaseModel)
                and found.__module__.startswith(f"{module.__name__}.")
            ):
                yield found


def fields() -> list[tuple[str, str | None]]:
    """Return every public field of every public message and settings section; `Settings` itself lists the sections."""
    return [
        (f"{model.__name__}.{name}", field.description)
        for model in models()
        for name, field in model.model_fields.items()
        if not model.__name__.startswith("_") and model is not core.settings.Settings
    ]


def test_the_documents_of_the_repository_are_current() -> None:
    assert stale() == []


def test_every_public_field_has_a_description_of_one_sentence() -> None:
    assert len(fields()) > 150, "the fields are not found any more"
    assert [name for name, description in fields() if not description or not description.endswith(".")] == []


@pytest.mark.parametrize("model", [*REQUESTS.values(), *STAGE_REQUESTS.values(), Result], ids=lambda m: m.__name__)
def test_every_message_has_a_description(model: type[BaseModel]) -> None:
    assert model.__doc__ != core.contracts.Message.__doc__, "the docstring is inherited"
    assert model.__doc__


@pytest.mark.parametrize("task", REQUESTS)
def test_the_example_of_an_orchestrator_task_is_a_valid_request(task: str) -> None:
    example = api.request_example(task)

    assert read_request(example, REQUESTS).task == task
    jsonschema.Draft202012Validator(json.loads(api.schemas()[f"{task.replace('/', '-')}.request"])).validate(example)


@pytest.mark.parametrize("task", STAGE_REQUESTS)
def test_the_example_of_a_worker_task_is_a_valid_request(task: str) -> None:
    assert read_request(api.request_example(task, worker=True), STAGE_REQUESTS).task == task


def test_every_example_is_of_an_existing_task() -> None:
    assert {name.removesuffix("#worker") for name in examples.REQUESTS} == REQUESTS.keys() | STAGE_REQUESTS.keys()


def test_the_example_result_is_valid_and_has_every_field() -> None:
    result = Result.model_validate(examples.RESULT)

    assert examples.RESULT.keys() == Result.model_fields.keys()
    assert result.cost_usd == pytest.approx(sum(record.cost_usd or 0 for record in result.timeline))
    jsonschema.Draft202012Validator(json.loads(api.schemas()["result"])).validate(examples.RESULT)


def test_a_schema_refuses_what_the_contract_refuses() -> None:
    schema = jsonschema.Draft202012Validator(json.loads(api.schemas()["imagegen.request"]))

    for wrong in ({"prompt": ""}, {"prompt": "x", "sed": 7}, {"prompt": "x", "width": 50}, {}):
        assert not schema.is_valid({"task": "imagegen", **wrong})


def test_every_route_is_shown_with_its_stages() -> None:
    assert api.STAGES.keys() == FLOWS.keys()


def test_every_error_code_documents_its_cause_and_remedy() -> None:
    for code, cls in BY_CODE.items():
        assert all(errors.paragraphs(cls)), code
        assert f"| `{code}` | {cls.http_status} |" in errors.page()


@pytest.mark.parametrize("path", sorted(path for path in documents() if path.suffix == ".md"), ids=str)
def test_every_internal_link_of_a_document_resolves(path: Path) -> None:
    text = documents()[path]
    headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in headings_of(text)}

    assert headings_of(text)
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def headings_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


def test_every_document_names_the_command_that_generates_it() -> None:
    for path, text in documents().items():
        head = text if path.name == "CONTRIBUTING.md" else "".join(text.splitlines(keepends=True)[:3])
        assert "python -m tools.docs" in head, path


def test_stale_missing_and_surplus_documents_are_reported_and_corrected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "docs/api.md").write_text("old")
    (tmp_path / "docs/errors.md").unlink()
    (tmp_path / "docs/schema/gone.request.json").write_text("{}")
    wrong = [Path("docs/api.md"), Path("docs/errors.md"), Path("docs/schema/gone.request.json")]

    assert main(["--check"], tmp_path) == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()[:3]] == [str(path) for path in wrong]
    assert write(tmp_path) == wrong
    assert stale(tmp_path) == []


def test_generated_documents_exist() -> None:
    assert all((ROOT / path).is_file() for path in documents())
