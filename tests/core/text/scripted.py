"""A text backend with scripted answers that runs in steps like the decoder, so that members may join between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.backends import BatchCallbacks, Completion, Outcome
from core.contracts import ModelInfo

WORDS_PER_STEP = 3


class Streaming:
    """A text backend that writes the text of `say(completion)`, a few characters per step.

    A row ends by its own stop rule or token limit. The text is what follows the completion's `prefix`; a script that
    contains the prefix again stands for a model that starts over.
    """

    info = ModelInfo(name="streaming", revision="0", profile="none")

    def __init__(self, say: Callable[[Completion], str]) -> None:
        self.say = say
        self.asked: list[Completion] = []

    def generate(self, requests: Sequence[Completion], callbacks: BatchCallbacks) -> list[Outcome[str]]:
        asked = list(requests)
        texts: dict[int, str] = {}
        length = 0
        while len(texts) < len(asked):
            length += WORDS_PER_STEP
            for index, request in enumerate(asked):
                if index not in texts and (text := self._ended(request, length)) is not None:
                    texts[index] = text
                    callbacks.finished(index, text)
            asked += callbacks.more()
        self.asked += asked
        return [texts[index] for index in range(len(asked))]

    def _ended(self, request: Completion, length: int) -> str | None:
        script = self.say(request)
        written = script[:length]
        end = request.stop(written) if request.stop is not None else None
        if end is not None:
            return written[:end]
        return script[: 4 * request.max_tokens] if length >= min(len(script), 4 * request.max_tokens) else None
