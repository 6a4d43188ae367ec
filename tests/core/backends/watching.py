"""`BatchCallbacks` for tests: one that records calls, and one that cancels jobs at a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.backends import Outcome


class Watching:
    """Records `(index, step, of)`; `cancel` maps an index to the number of its steps after which it is cancelled."""

    def __init__(self, cancel: dict[int, int] | None = None) -> None:
        self.steps: list[tuple[int, int, int]] = []
        self.cancel = cancel or {}
        self.ended: dict[int, Outcome[Any]] = {}
        self.joining: list[Sequence[Any]] = []
        """What `more` gives, call by call."""

    def step(self, index: int, step: int, of: int) -> None:
        self.steps.append((index, step, of))

    def cancelled(self, index: int) -> bool:
        after = self.cancel.get(index)
        return after is not None and sum(seen == index for seen, _, _ in self.steps) >= after

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        self.ended[index] = outcome

    def more(self) -> Sequence[Any]:
        return self.joining.pop(0) if self.joining else ()

    def of(self, index: int) -> list[int]:
        return [step for seen, step, _ in self.steps if seen == index]
