"""A running batch of an llm worker's jobs, which others join: texts to write, and texts to classify.

May import: core.backends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.backends import BatchCallbacks, Outcome, TextBackend, TextClassifier
from core.backends.guard import Texts, classify_texts
from core.text.batching import Program, run_programs


def run_jobs(
    requests: Sequence[Any],
    callbacks: BatchCallbacks,
    backend: TextBackend,
    program: Callable[[Any], Program[Any]],
    classifier: TextClassifier | None,
) -> list[Outcome[Any]]:
    """Outcomes of `requests` and of those that joined, in order.

    `Texts` are classified when they join, if there is a `classifier`; each other request runs its `program`.
    """
    batch = _Jobs(callbacks, program, classifier)
    batch.add_written(run_programs(batch.join(requests), backend, batch))
    return [batch.outcomes[index] for index in range(len(batch.outcomes))]


@dataclass
class _Members:
    """The callbacks of some members of a batch, by their index among these; no others join."""

    callbacks: BatchCallbacks
    places: list[int]
    """The index of each member in the whole batch."""

    def step(self, index: int, step: int, of: int) -> None:
        self.callbacks.step(self.places[index], step, of)

    def cancelled(self, index: int) -> bool:
        return self.callbacks.cancelled(self.places[index])

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        self.callbacks.finished(self.places[index], outcome)

    def more(self) -> Sequence[Any]:
        return ()


class _Jobs(_Members):
    """A batch of jobs, and the callbacks of its programs. Texts to classify are answered when they join."""

    def __init__(
        self, callbacks: BatchCallbacks, program: Callable[[Any], Program[Any]], classifier: TextClassifier | None
    ) -> None:
        super().__init__(callbacks, places=[])
        self.program, self.classifier = program, classifier
        self.count = 0
        self.outcomes: dict[int, Outcome[Any]] = {}

    def join(self, requests: Sequence[Any]) -> list[Program[Any]]:
        places = range(self.count, self.count + len(requests))
        self.count += len(requests)
        texts = [(place, one) for place, one in zip(places, requests, strict=True) if isinstance(one, Texts)]
        if texts and self.classifier is not None:
            self._classify(texts, self.classifier)
        written = [(place, one) for place, one in zip(places, requests, strict=True) if place not in self.outcomes]
        self.places += [place for place, _ in written]
        return [self.program(one) for _, one in written]

    def _classify(self, texts: Sequence[tuple[int, Texts]], classifier: TextClassifier) -> None:
        watch = _Members(self.callbacks, [place for place, _ in texts])
        for (place, _), outcome in zip(
            texts, classify_texts([one for _, one in texts], classifier, watch), strict=True
        ):
            self.outcomes[place] = outcome
            self.callbacks.finished(place, outcome)

    def add_written(self, outcomes: Sequence[Outcome[Any]]) -> None:
        self.outcomes |= zip(self.places, outcomes, strict=True)

    def more(self) -> list[Program[Any]]:
        return self.join(self.callbacks.more())
