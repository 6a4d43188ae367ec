"""Generator of docs/api.md and docs/schema/*.json: requests and results.

May import: core.contracts, core.policy, tools.docs.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from core.contracts import (
    ATTRIBUTES,
    CHECK_TASK,
    CONTRACT_VERSION,
    MODERATE_TASK,
    REQUESTS,
    ROUTE_OF_TASK,
    STAGE_REQUESTS,
    AnalyzeRequest,
    AnalyzeResult,
    CaptionRequest,
    CaptionResult,
    CheckRequest,
    CheckResult,
    ExpandRequest,
    ExpandResult,
    GenerateRequest,
    GenerateResult,
    ModerateRequest,
    ModerateResult,
    PictureRequest,
    Result,
    Route,
    StageProgress,
    StageRequest,
    StageResult,
)
from core.policy import ROUTES
from tools.docs import examples
from tools.docs.fields import Field, fields_of, parts_of, schema_of, table

STAGES: dict[Route, str] = {
    Route.PROFILE: "analyze → (moderate) → generate → (check)",
    Route.CHAT_1TO1: "expand → generate → (check) ∥ caption",
    Route.SHORTS: "expand → generate → (check) ∥ caption",
    Route.SCENES: "expand → generate → (check) ∥ caption",
    Route.PRIVATE: "(moderate) → generate → (check) ∥ caption",
    Route.GENERAL: "(moderate) → generate → (check) (∥ caption on request)",
}
"""The stages that orchestrator/flows.py calls for each route; ∥ means in parallel. `moderate` runs if there is a
text classifier, `check` for pictures that the output check rates as sexual."""

WORKERS: dict[str, tuple[type[StageRequest], type[StageResult]]] = {
    "selfie · analyze": (AnalyzeRequest, AnalyzeResult),
    "selfie · check": (CheckRequest, CheckResult),
    "llm · expand": (ExpandRequest, ExpandResult),
    "llm · caption": (CaptionRequest, CaptionResult),
    "llm · moderate": (ModerateRequest, ModerateResult),
    "zimage": (GenerateRequest, GenerateResult),
}

_LINE = 110

_HEAD = """\
<!-- Made by `python -m tools.docs` from core/contracts/: change that and run it again. -->

# The job API

Every request is a job. Its input has a `task` and, on the same level, the task's fields:

```bash
curl -s "https://api.runpod.ai/v2/$ORCHESTRATOR_ENDPOINT_ID/runsync" \\
  -H "Authorization: Bearer $RUNPOD_API_KEY" -H "Content-Type: application/json" \\
  -d '{"input": {"task": "imagegen", "prompt": "a lighthouse at dusk"}}'
```

`run` returns the job's id at once; poll `status/<id>` for the result. `runsync` waits for the result. If it returns
before the end of the job, poll `status/<id>` too:

```python
import json, time
import httpx

api = httpx.Client(base_url="https://api.runpod.ai/v2/<endpoint id>", headers={"Authorization": "Bearer <key>"})
job = api.post("/run", json={"input": {"task": "imagegen", "prompt": "a lighthouse at dusk"}}).json()
while job["status"] in {"IN_QUEUE", "IN_PROGRESS"}:
    time.sleep(0.5)
    job = api.get(f"/status/{job['id']}").json()
if job["status"] == "COMPLETED":
    result = job["output"]
elif "error" in job:
    error = json.loads(job["error"])
```

RunPod's own client is shorter, but returns only the output, and `None` if the job failed.

```python
result = runpod.Endpoint("<endpoint id>").run_sync({"input": {"task": "imagegen", "prompt": "a lighthouse at dusk"}})
```

Against [localpod](localpod.md) the same calls work with
`http://127.0.0.1:8000/v2/orchestrator` as the endpoint and any key. RunPod accepts jobs of up to 10 MB with `run` and
20 MB with `runsync`; send a larger picture as a URL.

A failed job has an [error](errors.md): a code, a sentence that says what to do, and whether a retry makes sense.
[safety.md](safety.md) describes which texts each task refuses or constrains.

Rules for all requests:

- Unknown fields are refused, not ignored: a misspelt `seed` would otherwise have no effect.
- NaN, infinity, and strings with half a surrogate pair are refused.
- A job may have `s3Config` next to its `input`, as RunPod documents it. The picture is then uploaded to that bucket,
  and the result contains its URL. See [storage.md](storage.md).

Every request and the result are also available as JSON Schema: [schema/](schema/).
"""

_RESULT = """\
## The result

All tasks have the same result format. Fields that a task doesn't use are null or empty, never missing.
"""

_PROGRESS = """\
## Progress

While a job runs, `output` of `status/<id>` is its newest report. Reports arrive in order, and none arrives after the
result.
"""

_FEATURES = """\
## Features and their values

The vocabulary is closed; an attribute that can't be recognised is `unknown`. There are no attributes for race,
religion, orientation or health. `profile/create` returns the features. If a later request has them as `features`, its
picture shows a person with the same attributes; the face itself is not copied.
"""

_PARTS = """\
## Parts

The objects inside requests and results.
"""

_WORKERS = """\
## Calling a worker yourself

Each worker is an endpoint and can be called directly, with the same rules. A worker checks the texts of its jobs with
the policy of the task's route. `context` is set only by the project's own processes; omit it. Without it, unknown
fields are refused.
"""


def page() -> str:
    sections = [
        _HEAD,
        _overview(),
        *(_public_task(Route(task), model) for task, model in REQUESTS.items()),
        "### Fields that every request takes\n",
        _request_table(fields_of(PictureRequest)),
        _RESULT,
        _json_block(examples.RESULT),
        _result_table(fields_of(Result, "serialization")),
        _PROGRESS,
        _result_table(fields_of(StageProgress, "serialization")),
        _FEATURES,
        table(["Attribute", "Values"], _attributes()),
        _WORKERS,
        "### Fields that every worker takes and returns\n",
        _request_table(fields_of(StageRequest)),
        _result_table(fields_of(StageResult, "serialization")),
        *(_worker(name, *messages) for name, messages in WORKERS.items()),
        _PARTS,
        *_parts(),
    ]
    return "\n".join(section.rstrip("\n") + "\n" for section in sections)


def _overview() -> str:
    rows = [
        [f"[`{task}`](#{_anchor(task)})", _first_line(model), STAGES[Route(task)], _policy(Route(task))]
        for task, model in REQUESTS.items()
    ]
    return "## Tasks of the orchestrator\n\n" + table(["Task", "What it does", "Stages", "Explicit content"], rows)


def _policy(route: Route) -> str:
    return "passes, but never a minor" if ROUTES[route].adult_allowed else "becomes a covered picture"


def _public_task(route: Route, model: type[PictureRequest]) -> str:
    common = PictureRequest.model_fields.keys() - {"task"}
    own = [field for field in fields_of(model) if field.name not in common]
    return "\n".join(
        [
            f"### `{route}`\n",
            f"{_doc(model)}\n\nStages: {STAGES[route]}.\n",
            _json_block({"input": request_example(route)}),
            _request_table(own),
            "\nAnd the [fields that every request takes](#fields-that-every-request-takes).",
        ]
    )


def request_example(task: str, *, worker: bool = False) -> dict[str, Any]:
    """The documented input of a task; of the worker's task if an orchestrator's task has the same name."""
    fields = examples.REQUESTS.get(f"{task}#worker") if worker else None
    return {"task": str(task), **(fields or examples.REQUESTS[task])}


def _worker(name: str, request: type[StageRequest], result: type[StageResult]) -> str:
    tasks = [task for task, model in STAGE_REQUESTS.items() if model is request]
    shared_in, shared_out = StageRequest.model_fields.keys() - {"task"}, StageResult.model_fields.keys()
    return "\n".join(
        [
            f"### {name}\n",
            f"{_doc(request)}\n",
            table(["Task", "By the policy of"], ([f"`{task}`", _policy_route(task)] for task in tasks)) + "\n",
            _json_block({"input": request_example(tasks[0], worker=True)}),
            *_other_tasks(tasks[1:]),
            "Its fields:\n",
            _request_table([field for field in fields_of(request) if field.name not in shared_in]),
            f"\nIts result: {_doc(result)[0].lower()}{_doc(result)[1:]}\n",
            _result_table([field for field in fields_of(result, "serialization") if field.name not in shared_out]),
        ]
    )


def _other_tasks(tasks: list[str]) -> Iterator[str]:
    """One line for each other name of the same message."""
    lines = [json.dumps({"input": request_example(task, worker=True)}, ensure_ascii=False) for task in tasks]
    if lines:
        yield "And, one a line:\n\n```jsonl\n" + "\n".join(lines) + "\n```\n"


def _policy_route(task: str) -> str:
    if task == CHECK_TASK:
        return "none, as it has no text"
    if task == MODERATE_TASK:
        return "the route that its request names"
    return f"`{ROUTE_OF_TASK[task]}`" if task in ROUTE_OF_TASK else "every route: a caption belongs to none"


def _parts() -> Iterator[str]:
    requests = parts_of([*REQUESTS.values(), *STAGE_REQUESTS.values()], "validation")
    results = parts_of([Result, *(result for _, result in WORKERS.values())], "serialization")
    for name in sorted(requests.keys() | results.keys()):
        model = _model(name)
        if name in requests:
            yield f"### {name}\n\n{_doc(model)}\n\n{_request_table(fields_of(model))}"
        else:
            yield f"### {name}\n\n{_doc(model)}\n\n{_result_table(fields_of(model, 'serialization'))}"


def _model(name: str) -> type[BaseModel]:
    import core.contracts

    found: type[BaseModel] = getattr(core.contracts, name)
    return found


def _attributes() -> Iterator[list[str]]:
    for name, values in ATTRIBUTES.items():
        yield [f"`{name}`", ", ".join(f"`{value}`" for value in values)]


def _request_table(fields: Iterable[Field]) -> str:
    rows = (
        [f"`{field.name}`", field.kind, field.bounds or "–", _default_cell(field), field.description]
        for field in fields
    )
    return table(["Field", "Type", "Bounds", "Default", "What it is"], rows)


def _default_cell(field: Field) -> str:
    return f"**{field.default}**" if field.default == "required" else field.default


def _result_table(fields: Iterable[Field]) -> str:
    rows = ([f"`{field.name}`", _bounded(field), field.description] for field in fields)
    return table(["Field", "Type", "What it is"], rows)


def _bounded(field: Field) -> str:
    return f"{field.kind}, {field.bounds}" if field.bounds else field.kind


def _json_block(value: object) -> str:
    return f"```json\n{_compact_json(value)}\n```\n"


def _compact_json(value: object, indent: str = "") -> str:
    """Format JSON with short values on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or (indent and len(indent) + len(flat) < _LINE):
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        opening, closing, items = "[", "]", [_compact_json(item, deeper) for item in value]
    else:
        opening, closing = "{", "}"
        items = [f"{json.dumps(key)}: {_compact_json(item, deeper)}" for key, item in value.items()]
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{indent}{closing}"


def _doc(model: type[BaseModel]) -> str:
    return inspect.getdoc(model) or ""


def _first_line(model: type[BaseModel]) -> str:
    return _doc(model).partition(". ")[0].rstrip(".") + "."


def _anchor(heading: str) -> str:
    return "".join(letter for letter in heading.lower() if letter.isalnum() or letter in "-_ ").replace(" ", "-")


def schemas() -> dict[str, str]:
    """JSON Schema (draft 2020-12) of each public request and of the result, by file name without its ending."""
    found = {f"{task.replace('/', '-')}.request": schema_of(model, "validation") for task, model in REQUESTS.items()}
    found["result"] = schema_of(Result, "serialization")
    found["progress"] = schema_of(StageProgress, "serialization")
    return {name: _schema_file(schema) for name, schema in found.items()}


def _schema_file(schema: dict[str, Any]) -> str:
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"Made by `python -m tools.docs` from core/contracts/; contract version {CONTRACT_VERSION}.",
    }
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"
