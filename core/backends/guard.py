"""Load the text classifier of a deployment and run it on the device.

`model_type` in the weights' `config.json` selects the model: the small one of core/backends/ngrams.py, or
Qwen3Guard-Gen, a causal language model whose chat template turns a user's turn into the question and which answers with
the lines `Safety:` and `Categories:` (model card of Qwen/Qwen3Guard-Gen-0.6B). core/policy/classifier.py decides what
follows from a classification.

May import: core.backends, core.errors, core.logs; torch through core.backends.text.
"""

from __future__ import annotations

import json
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
from core.errors import BadAnswer, Cancelled, DeviceError, ImgPodError, Misconfigured
from core.logs import logger

if TYPE_CHECKING:
    from typing import Literal

    from core.weights import Located

log = logger()

MAX_TOKENS = 96
"""Tokens for the label and every category of the model card, which are about 60."""
_LABEL = re.compile(r"^[ \t]*Safety:[ \t]*(Safe|Controversial|Unsafe)[ \t]*$", re.MULTILINE)
_CATEGORIES = re.compile(r"^[ \t]*Categories:(.*?)(?=^[ \t]*Refusal:|\Z)", re.MULTILINE | re.DOTALL)
_SEPARATORS = re.compile(r"[,;\n]")
_SEVERITY = ("safe", "controversial", "unsafe")


class GuardClassifier:
    """`TextClassifier` over a language model that was trained to classify texts."""

    def __init__(self, model: TextBackend) -> None:
        self.info, self._model = model.info, model

    def classify(self, texts: Sequence[str], watch: BatchCallbacks) -> list[Outcome[Classified]]:
        completions = [Completion((Turn("user", text),), max_tokens=MAX_TOKENS) for text in texts]
        return [
            answer if isinstance(answer, ImgPodError) else parse_classification(answer)
            for answer in self._model.generate(completions, watch)
        ]


def parse_classification(answer: str) -> Outcome[Classified]:
    """Parse the label and categories of an answer in the model card's format; `BadAnswer` for any other.

    The format: one label; one category, several separated by commas or lines, or `None`; then a `Refusal:` line if a
    response was classified. Of several labels the strictest is used.
    """
    labels, categories = _LABEL.findall(answer), _CATEGORIES.search(answer)
    if not labels or categories is None:
        return BadAnswer("The text classifier's answer can't be parsed; check that its weights are a Qwen3Guard-Gen.")
    label = max((label.lower() for label in labels), key=_SEVERITY.index)
    named = (part.strip() for part in _SEPARATORS.split(categories[1]))
    kept = tuple(dict.fromkeys(name for name in named if name not in {"", "None"}))
    return Classified(cast("Literal['safe', 'controversial', 'unsafe']", label), kept)


def load_classifier(located: Located, *, device: str | None = None, max_batch: int = 8) -> TextClassifier:
    """Load and warm up the classifier. Raises `Misconfigured` if the weights or the device can't be used."""
    from core.backends.ngrams import MODEL_TYPE, load_ngrams

    classifier: TextClassifier
    if _model_type(located) == MODEL_TYPE:
        classifier = load_ngrams(located)
    else:
        from core.backends.text import load_text, warm_up

        model = load_text(located, device=device, max_batch=max_batch)
        warm_up(model)
        classifier = GuardClassifier(model)
    classifier.classify(["Hello"], NoCallbacks())
    return classifier


def _model_type(located: Located) -> str:
    try:
        config = json.loads((located.path / "config.json").read_text(encoding="utf-8"))
        return str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Misconfigured(f"{located.name} has no config.json with a model_type; fetch the weights again.") from None


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one classification job."""

    pieces: tuple[str, ...]


Classifications: TypeAlias = tuple[Classified | None, ...]
"""The classification of each piece; None if it failed."""


@dataclass(frozen=True, slots=True)
class _PieceWatch:
    """Maps a batch of pieces to their jobs. The stage is too short to report steps."""

    watch: BatchCallbacks
    owners: Sequence[int]

    def step(self, index: int, step: int, of: int) -> None:
        del index, step, of

    def cancelled(self, index: int) -> bool:
        return self.watch.cancelled(self.owners[index])

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        del index, outcome  # a job needs the classifications of all its pieces

    def more(self) -> Sequence[Any]:
        return ()


def classify_texts(
    jobs: Sequence[Texts], classifier: TextClassifier, watch: BatchCallbacks
) -> list[Outcome[Classifications]]:
    """Classify all pieces of all jobs as one batch. A failed piece gives None; raises only `DeviceError`."""
    owners = [place for place, job in enumerate(jobs) for _ in job.pieces]
    pieces = [piece for job in jobs for piece in job.pieces]
    try:
        answers = list(zip(owners, classifier.classify(pieces, _PieceWatch(watch, owners)), strict=True))
    except DeviceError:
        raise
    except Exception as error:  # noqa: BLE001 - any failure means that there is no classification; the policy decides what follows
        log.error("text classifier failed", error_type=type(error).__name__)
        return [(None,) * len(job.pieces) for job in jobs]
    return [_of_job([answer for owner, answer in answers if owner == place]) for place in range(len(jobs))]


def _of_job(answers: Sequence[Outcome[Classified]]) -> Outcome[Classifications]:
    if cancelled := next((answer for answer in answers if isinstance(answer, Cancelled)), None):
        return cancelled
    return tuple(None if isinstance(answer, ImgPodError) else answer for answer in answers)
