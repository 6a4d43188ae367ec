"""Run several text programs over one text backend.

A program is a generator: it yields the completions it needs, receives their texts, and returns its result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from core.backends import BatchCallbacks, Completion, Outcome, TextBackend
from core.errors import Cancelled, ImgPodError

R = TypeVar("R")
Program: TypeAlias = Generator[list[Completion], list[str], R]


def run_together(programs: Sequence[Program[R]]) -> Program[list[R]]:
    """Combine several programs into one that yields the completions of all of them in each round."""
    runs = [_Run(program) for program in programs]
    while unfinished := [run for run in runs if not run.ended]:
        texts = yield [completion for run in unfinished for completion in run.pending]
        for run in unfinished:
            mine, texts = texts[: len(run.pending)], texts[len(run.pending) :]
            run.resume(mine)
    return [run.result for run in runs if run.result is not None]


class _Run(Generic[R]):
    """A program, its pending completions, and the answers that have arrived. `failed` ends it without a result."""

    def __init__(self, program: Program[R]) -> None:
        self.program = program
        self.pending: list[Completion] = []
        self.answers: dict[int, Outcome[str]] = {}
        self.progress = 0.0
        self.result: R | None = None
        self.failed: ImgPodError | None = None
        self.ended = False
        self._step(lambda: next(program))

    def answer(self, place: int, outcome: Outcome[str]) -> bool:
        """Store the outcome of a pending completion; return True if it was the last and the program was resumed."""
        self.answers[place] = outcome
        if len(self.answers) < len(self.pending):
            return False
        answers = [self.answers[n] for n in range(len(self.pending))]
        self.answers = {}
        if cancelled := next((answer for answer in answers if isinstance(answer, Cancelled)), None):
            self.failed, self.ended, self.pending = cancelled, True, []
            self.program.close()
        else:
            self.resume([answer if isinstance(answer, str) else "" for answer in answers])
        return True

    def resume(self, texts: list[str]) -> None:
        self._step(lambda: self.program.send(texts))

    def outcome(self) -> Outcome[R]:
        if self.failed is not None:
            return self.failed
        if self.result is None:
            raise TypeError("a program has to return a result")
        return self.result

    def _step(self, go: Callable[[], list[Completion]]) -> None:
        try:
            self.pending = go()
        except StopIteration as end:
            self.result, self.ended, self.pending = end.value, True, []


class _Completions:
    """The completions of all programs as one batch; implements `BatchCallbacks` for the backend.

    The next completions of a resumed program enter the running batch: `more` returns them together with those of
    programs that join. A backend that never calls `more` gets them as its next batch.
    """

    def __init__(self, callbacks: BatchCallbacks) -> None:
        self.callbacks = callbacks
        self.runs: list[_Run[Any]] = []
        self.waiting: list[tuple[int, int, Completion]] = []
        self.owners: list[tuple[int, int]] = []
        self.finished_indices: set[int] = set()

    def start(self, programs: Sequence[Program[Any]]) -> None:
        for program in programs:
            self.runs.append(_Run(program))
            self._after_resume(len(self.runs) - 1)

    def next_batch(self) -> list[Completion]:
        """The pending completions, as a separate batch."""
        self.owners, self.finished_indices = [], set()
        return self._take_pending()

    def more(self) -> list[Completion]:
        self.start(self.callbacks.more())
        return self._take_pending()

    def step(self, index: int, step: int, of: int) -> None:
        owner, share = self.owners[index][0], step / of
        if share > self.runs[owner].progress:
            self.runs[owner].progress = share
            self.callbacks.step(owner, step, of)

    def cancelled(self, index: int) -> bool:
        return self.callbacks.cancelled(self.owners[index][0])

    def finished(self, index: int, outcome: Outcome[str]) -> None:
        if index in self.finished_indices:
            return
        self.finished_indices.add(index)
        owner, place = self.owners[index]
        if self.runs[owner].answer(place, outcome):
            self._after_resume(owner)

    def _after_resume(self, owner: int) -> None:
        run = self.runs[owner]
        if run.ended:
            self.callbacks.finished(owner, run.outcome())
        self.waiting += [(owner, place, completion) for place, completion in enumerate(run.pending)]

    def _take_pending(self) -> list[Completion]:
        handed, self.waiting = self.waiting, []
        self.owners += [(owner, place) for owner, place, _ in handed]
        return [completion for _, _, completion in handed]


def run_programs(
    programs: Sequence[Program[Any]], backend: TextBackend, callbacks: BatchCallbacks
) -> list[Outcome[Any]]:
    """Run programs and return the outcome of each, in order, including those that `callbacks.more` adds.

    A completion that fails on its own counts as an empty answer, which its program repairs; a cancelled one ends its
    program. Raises what the backend raises for a whole batch.
    """
    completions = _Completions(callbacks)
    completions.start(programs)
    while batch := completions.next_batch():
        outcomes = backend.generate(batch, completions)
        for index, outcome in zip(range(len(completions.owners)), outcomes, strict=True):
            completions.finished(index, outcome)
    return [run.outcome() for run in completions.runs]
