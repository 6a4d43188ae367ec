"""A text classifier over Qwen3Guard-Gen, or any causal model that answers in its form.

Its own chat template turns a user's turn into the question, and it answers `Safety: Unsafe` and `Categories: Violent`
(model card of Qwen/Qwen3Guard-Gen-0.6B, "Moderating User Prompt"). The weights are read by the same lines as the
language model's. What follows from an opinion is in core/policy/seat.py.

May import: core.backends, core.errors. torch comes with core.backends.text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from core.backends import Classified, Completion, Outcome, TextBackend, Turn, Watch
from core.errors import BadAnswer, ImgPodError

if TYPE_CHECKING:
    from typing import Literal

    from core.weights import Located

MAX_TOKENS = 48
"""Room for the label and every category that the card names."""
_LABEL = re.compile(r"^\s*Safety: (Safe|Controversial|Unsafe)\s*$", re.MULTILINE)
_CATEGORIES = re.compile(r"^\s*Categories:(.*)$", re.MULTILINE)


class Guard:
    """`TextClassifier` over a language model that was trained to answer as one."""

    def __init__(self, model: TextBackend) -> None:
        self.info, self._model = model.info, model

    def classify(self, texts: Sequence[str], watch: Watch) -> list[Outcome[Classified]]:
        asked = [Completion((Turn("user", text),), max_tokens=MAX_TOKENS) for text in texts]
        return [
            answer if isinstance(answer, ImgPodError) else read_opinion(answer)
            for answer in self._model.generate(asked, watch)
        ]


def read_opinion(answer: str) -> Outcome[Classified]:
    """What an answer says; `BadAnswer` where it doesn't say it in the form of the card, in whatever other words."""
    label, categories = _LABEL.search(answer), _CATEGORIES.search(answer)
    if label is None or categories is None:
        return BadAnswer("The text classifier's answer can't be read; check that its weights are a Qwen3Guard-Gen.")
    named = tuple(part.strip() for part in categories[1].split(",") if part.strip() not in {"", "None"})
    return Classified(cast("Literal['safe', 'controversial', 'unsafe']", label[1].lower()), named)


def load_guard(located: Located, *, device: str | None = None, max_batch: int = 8) -> Guard:
    """Raises `Misconfigured` where the device isn't there."""
    from core.backends.text import load_text

    return Guard(load_text(located, device=device, max_batch=max_batch))
