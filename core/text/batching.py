"""Run several text programs as shared batches of completions.

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
    """Several programs as one, whose rounds are the rounds of all."""
    runs = [_Run(program) for program in programs]
    while pending := [run for run in runs if not run.ended]:
        texts = yield [completion for run in pending for completion in run.wanted]
        for run in pending:
            mine, texts = texts[: len(run.wanted)], texts[len(run.wanted) :]
            run.resume(mine)
    return [run.result for run in runs if run.result is not None]


class _Run(Generic[R]):
    """A program and where it stands."""

    def __init__(self, program: Program[R]) -> None:
        self.program = program
        self.wanted: list[Completion] = []
        self.result: R | None = None
        self.ended = False
        self._step(lambda: next(program))

    def resume(self, texts: list[str]) -> None:
        self._step(lambda: self.program.send(texts))

    def _step(self, go: Callable[[], list[Completion]]) -> None:
        try:
            self.wanted = go()
        except StopIteration as end:
            self.result, self.ended, self.wanted = end.value, True, []


class _Round:
    """One batch as a `BatchCallbacks`: completions in, whole programs out; `told` is each program's furthest progress.

    A program goes on when its own completions are finished. One that then has its result is told of while the rest of
    the batch still runs; one that wants another completion waits for the next round.
    """

    def __init__(self, runs: dict[int, _Run[Any]], watch: BatchCallbacks, told: dict[int, float]) -> None:
        self.runs, self.watch, self.told = runs, watch, told
        self.wanted = [completion for run in runs.values() for completion in run.wanted]
        self.owners = [place for place, run in runs.items() for _ in run.wanted]
        self.answers: dict[int, Outcome[str]] = {}
        self.failed: dict[int, ImgPodError] = {}

    def step(self, index: int, step: int, of: int) -> None:
        owner, share = self.owners[index], step / of
        if share > self.told.get(owner, 0.0):
            self.told[owner] = share
            self.watch.step(owner, step, of)

    def cancelled(self, index: int) -> bool:
        return self.watch.cancelled(self.owners[index])

    def finished(self, index: int, outcome: Outcome[str]) -> None:
        if index in self.answers:
            return
        self.answers[index] = outcome
        mine = [place for place, owner in enumerate(self.owners) if owner == self.owners[index]]
        if all(place in self.answers for place in mine):
            self._go_on(self.owners[index], [self.answers[place] for place in mine])

    def _go_on(self, place: int, answers: list[Outcome[str]]) -> None:
        run = self.runs[place]
        if cancelled := next((answer for answer in answers if isinstance(answer, Cancelled)), None):
            self.failed[place] = cancelled
            run.program.close()
            return
        run.resume([answer if isinstance(answer, str) else "" for answer in answers])
        if run.ended:
            self.watch.finished(place, _result(run))


def run_programs(programs: Sequence[Program[R]], backend: TextBackend, watch: BatchCallbacks) -> list[Outcome[R]]:
    """Run `programs` in lockstep, one batch a round; `watch`'s index is a program's place.

    A completion that failed on its own counts as an empty answer, which its program repairs; a cancelled one ends its
    program. Raises what the backend raises for a whole batch.
    """
    runs = [_Run(program) for program in programs]
    failed: dict[int, ImgPodError] = {}
    told: dict[int, float] = {}
    while pending := {place: run for place, run in enumerate(runs) if not run.ended and place not in failed}:
        batch = _Round(pending, watch, told)
        for index, answer in zip(range(len(batch.wanted)), backend.generate(batch.wanted, batch), strict=True):
            batch.finished(index, answer)
        failed |= batch.failed
    return [failed.get(place) or _result(run) for place, run in enumerate(runs)]


def _result(run: _Run[R]) -> R:
    if run.result is None:
        raise TypeError("a program has to return a result")
    return run.result
