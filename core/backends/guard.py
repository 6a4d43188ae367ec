"""A text classifier over Qwen3Guard-Gen, or any causal model that answers in its form.

Its own chat template turns a user's turn into the question, and it answers `Safety: Unsafe` and `Categories: Violent`
(model card of Qwen/Qwen3Guard-Gen-0.6B, "Moderating User Prompt"). The weights are read by the same lines as the
language model's. What follows from an opinion is in core/policy/classifier.py.

May import: core.backends, core.errors, core.logs. torch comes with core.backends.text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from core.backends import (
    BatchCallbacks,
    Classified,
    Completion,
    NoCallbacks,
    Outcome,
    TextBackend,
    TextClassifier,
    Turn,
)
from core.errors import BadAnswer, Cancelled, DeviceError, ImgPodError
from core.logs import logger

if TYPE_CHECKING:
    from typing import Literal

    from core.weights import Located

log = logger()

MAX_TOKENS = 48
"""Room for the label and every category that the card names."""
_LABEL = re.compile(r"^\s*Safety: (Safe|Controversial|Unsafe)\s*$", re.MULTILINE)
_CATEGORIES = re.compile(r"^\s*Categories:(.*)$", re.MULTILINE)


class GuardClassifier:
    """`TextClassifier` over a language model that was trained to answer as one."""

    def __init__(self, model: TextBackend) -> None:
        self.info, self._model = model.info, model

    def classify(self, texts: Sequence[str], watch: BatchCallbacks) -> list[Outcome[Classified]]:
        asked = [Completion((Turn("user", text),), max_tokens=MAX_TOKENS) for text in texts]
        return [
            answer if isinstance(answer, ImgPodError) else parse_classification(answer)
            for answer in self._model.generate(asked, watch)
        ]


def parse_classification(answer: str) -> Outcome[Classified]:
    """What an answer says; `BadAnswer` where it doesn't say it in the form of the card, in whatever other words."""
    label, categories = _LABEL.search(answer), _CATEGORIES.search(answer)
    if label is None or categories is None:
        return BadAnswer("The text classifier's answer can't be read; check that its weights are a Qwen3Guard-Gen.")
    named = tuple(part.strip() for part in categories[1].split(",") if part.strip() not in {"", "None"})
    return Classified(cast("Literal['safe', 'controversial', 'unsafe']", label[1].lower()), named)


def load_guard(located: Located, *, device: str | None = None, max_batch: int = 8) -> GuardClassifier:
    """Loaded and warm. Raises `Misconfigured` where the device isn't there."""
    from core.backends.text import load_text

    guard = GuardClassifier(load_text(located, device=device, max_batch=max_batch))
    guard.classify(["Hello"], NoCallbacks())
    return guard


# ── a job's question on the device ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Texts:
    """What one job asks the classifier about."""

    pieces: tuple[str, ...]


Classifications: TypeAlias = tuple[Classified | None, ...]
"""One for each piece; None where the classifier gave none."""


@dataclass(frozen=True, slots=True)
class _PieceWatch:
    """A batch of pieces, told as the jobs that they belong to; so short a stage reports no steps."""

    watch: BatchCallbacks
    owners: Sequence[int]

    def step(self, index: int, step: int, of: int) -> None:
        del index, step, of

    def cancelled(self, index: int) -> bool:
        return self.watch.cancelled(self.owners[index])

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        del index, outcome  # a job's opinions are read together, and the shortest text's is no use alone


def classify_texts(
    jobs: Sequence[Texts], classifier: TextClassifier, watch: BatchCallbacks
) -> list[Outcome[Classifications]]:
    """All pieces of all jobs as one batch. Whatever fails is no opinion; raises only what ends a device."""
    owners = [place for place, job in enumerate(jobs) for _ in job.pieces]
    pieces = [piece for job in jobs for piece in job.pieces]
    try:
        answers = list(zip(owners, classifier.classify(pieces, _PieceWatch(watch, owners)), strict=True))
    except DeviceError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it met, it gave no opinion, and the policy says what that means
        log.error("text classifier failed", error_type=type(error).__name__)
        return [(None,) * len(job.pieces) for job in jobs]
    return [_of_job([answer for owner, answer in answers if owner == place]) for place in range(len(jobs))]


def _of_job(answers: Sequence[Outcome[Classified]]) -> Outcome[Classifications]:
    if cancelled := next((answer for answer in answers if isinstance(answer, Cancelled)), None):
        return cancelled
    return tuple(None if isinstance(answer, ImgPodError) else answer for answer in answers)
