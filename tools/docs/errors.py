"""Generator of docs/errors.md: every code, from the classes of core/errors/.

May import: core.errors, tools.docs.fields.
"""

from __future__ import annotations

import inspect
import json

from core.errors import BY_CODE, ImgPodError, QueueFull
from tools.docs.fields import table

_HEAD = """\
<!-- Made by `python -m tools.docs` from core/errors/: change that and run it again. -->

# Errors

A failed job has the status `FAILED` and an `error`, which is a JSON string and has to be parsed too:

```json
{example}
```

| Field | Meaning |
| --- | --- |
| `code` | One of the codes below. Codes stay the same in later releases; messages may change. |
| `message` | What is wrong and what to do. It never contains a text, picture, address or key of the request. |
| `http_status` | Status of the same error in the HTTP API. |
| `retryable` | Whether a retry of the same request may succeed. |
| `stage` | The failed part: `request` (the request's texts), `assemble` (the final prompt), a stage, or null. |
| `retry_after_ms` | Measured time after which a retry makes sense, or null. |
| `categories` | `policy_blocked` only: the kinds of rules that matched. |

An error that is not such a JSON string comes from the platform itself: a time-out, a cancelled job, a crashed worker.

The orchestrator already retries retryable errors of a stage within the request's `timeout_s`; you only get the errors
that remain after that. A caption or an expansion that fails does not fail the request: code writes a replacement, and
`degraded` in the result says so.
"""


def page() -> str:
    error = QueueFull("This route has reached its limit of concurrent requests.", retry_after_ms=1800)
    example = json.dumps({"error": error.to_wire()}, indent=2)
    codes = table(
        ["Code", "HTTP", "Retry", "When", "What to do"],
        ([f"`{code}`", *_facts(cls), *paragraphs(cls)] for code, cls in sorted(BY_CODE.items(), key=_by_status)),
    )
    return "\n".join([_HEAD.replace("{example}", example), "## Codes\n", codes, ""])


def _by_status(item: tuple[str, type[ImgPodError]]) -> int:
    return item[1].http_status


def _facts(cls: type[ImgPodError]) -> list[str]:
    return [str(cls.http_status), "yes" if cls.retryable else "no"]


def paragraphs(cls: type[ImgPodError]) -> list[str]:
    """The two paragraphs of the class's docstring: cause and remedy."""
    when, _, todo = (inspect.getdoc(cls) or "").partition("\n\n")
    return [" ".join(when.split()), " ".join(todo.split())]
