"""Events and state of a job, for both transports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from pydantic import ValidationError

from img_pod.contracts import StageProgress
from img_pod.errors import ImgPodError

State = Literal["queued", "running", "completed", "failed", "cancelled"]
Progress = StageProgress
OnProgress = Union[Callable[[StageProgress], object], None]


@dataclass(frozen=True)
class Event:
    """One event: `accepted`, `progress`, `result` or `error`. `data` is its JSON."""

    name: str
    data: Any = field(repr=False)
    id: str = ""

    @property
    def progress(self) -> StageProgress | None:
        return read_progress(self.data) if self.name == "progress" else None


@dataclass(frozen=True)
class Status:
    """The state of a job; `result` and `error` are set at its end."""

    state: State
    progress: StageProgress | None = None
    result: Any = field(default=None, repr=False)
    error: ImgPodError | None = None

    @property
    def ended(self) -> bool:
        return self.state in {"completed", "failed", "cancelled"}


def read_progress(data: Any) -> StageProgress | None:
    """The progress report in `data`; None if it is invalid, because a lost report has no effect."""
    try:
        return StageProgress.model_validate(data, extra="ignore")
    except ValidationError:
        return None


@dataclass
class EventParser:
    """Server-sent events, line by line (WHATWG HTML, section 9.2)."""

    name: str = "message"
    id: str = ""
    data: list[str] = field(default_factory=list)

    def feed(self, line: str) -> Iterator[Event]:
        """Take one line without its end; yield the event that it completes."""
        if line:
            self._field(line)
            return
        if self.data:
            yield Event(self.name, json.loads("\n".join(self.data)), self.id)
        self.name, self.data = "message", []

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self.name = value
        elif name == "data":
            self.data.append(value)
        elif name == "id":
            self.id = value
