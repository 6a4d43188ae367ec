"""docs/errors.md: every code, from the classes of core/errors.py.

May import: core.errors, tools.docs.fields.
"""

from __future__ import annotations

import inspect
import json

from core.errors import BY_CODE, ImgPodError, QueueFull
from tools.docs.fields import table

_HEAD = """\
<!-- Made by `python -m tools.docs` from core/errors.py: change that and run it again. -->

# Errors

A job that failed has the status `FAILED` and an `error` that is a JSON string; parse it once more:

```json
{example}
```

| Field | What it is |
| --- | --- |
| `code` | One of the codes below. It does not change from release to release; the message may. |
| `message` | What to do, in a sentence. It never holds a text, picture, address or key of the request. |
| `http_status` | What the same error is over HTTP. |
| `retryable` | Whether the same request, sent again, may succeed. |
| `stage` | What failed: `request` (its own texts), `assemble` (a prompt about to be painted), a stage, or null. |
| `retry_after_ms` | A measured time after which trying again makes sense, or null. |
| `categories` | `policy_blocked` only: the kinds of rules that were met. |

An error that is no such JSON was made by the platform itself: a time-out, a cancelled job, a worker that died.

The orchestrator tries retryable errors of a stage again by itself, within the request's `timeout_s`; what reaches you
has outlived that. A caption or an expansion that fails does not fail the request: code writes one instead, and the
result's `degraded` says so.
"""


def page() -> str:
    example = json.dumps({"error": QueueFull("This route has no room.", retry_after_ms=1800).to_wire()}, indent=2)
    codes = table(
        ["Code", "HTTP", "Retry", "When", "What to do"],
        ([f"`{code}`", *_facts(cls), *said(cls)] for code, cls in sorted(BY_CODE.items(), key=_by_status)),
    )
    return "\n".join([_HEAD.replace("{example}", example), "## Codes\n", codes, ""])


def _by_status(item: tuple[str, type[ImgPodError]]) -> int:
    return item[1].http_status


def _facts(cls: type[ImgPodError]) -> list[str]:
    return [str(cls.http_status), "yes" if cls.retryable else "no"]


def said(cls: type[ImgPodError]) -> list[str]:
    """When, and what to do: the two paragraphs of the class's docstring."""
    when, _, todo = (inspect.getdoc(cls) or "").partition("\n\n")
    return [" ".join(when.split()), " ".join(todo.split())]
