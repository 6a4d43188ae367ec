"""Write a caption of 10 to 15 words from a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from core.backends import Completion, Turn
from core.prompts.chat import (
    CAPTION_EXAMPLE,
    CAPTION_SYSTEM,
    MAX_CAPTION_WORDS,
    MAX_EXPANSION_WORDS,
    MIN_CAPTION_WORDS,
    as_material,
)
from core.text.batching import Program
from core.text.budgets import BUDGETS, Budget, retry_temperature
from core.text.parsing import FUNCTION_WORDS, MAX_ANSWER_CHARS, REFUSALS, count_words, plain_text, read_line

IsSafe: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Caption:
    """`repaired`: the model's answer was unusable, and code made the caption."""

    text: str
    repaired: bool = False


def write_caption(prompt: str, safe: IsSafe, seed: int = 0, budget: Budget = BUDGETS["full"]) -> Program[Caption]:
    """A prompt → one sentence of 10 to 15 words that anyone may read."""
    material = as_material("picture", " ".join(prompt.split()[:MAX_EXPANSION_WORDS])[: budget.model_reads_chars])
    for attempt in range(budget.attempts):
        [answer] = yield [
            Completion(
                (
                    Turn("system", CAPTION_SYSTEM),
                    Turn("user", as_material("picture", CAPTION_EXAMPLE[0])),
                    Turn("assistant", CAPTION_EXAMPLE[1]),
                    Turn("user", material),
                ),
                max_tokens=budget.caption_tokens,
                stop=("\n",),
                temperature=retry_temperature(attempt, budget),
                seed=seed + attempt,
            )
        ]
        text = read_caption(answer)
        if usable_caption(text) and safe(text):
            return Caption(text)
    return Caption(template_caption(prompt, safe), repaired=True)


def read_caption(answer: str) -> str:
    """The first sentence of an answer, brought to 15 words where it has a seam to be cut at."""
    line = re.sub(r"#\w+", "", read_line(answer)).strip()
    sentence = re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0] if count_words(line) > MAX_CAPTION_WORDS else line
    if count_words(sentence) <= MAX_CAPTION_WORDS:
        return sentence
    words = sentence.split()
    seams = [n for n in range(MIN_CAPTION_WORDS, MAX_CAPTION_WORDS + 1) if words[n - 1][-1] in ",;:–"]
    return f"{' '.join(words[: seams[-1]])[:-1]}." if seams else sentence


def usable_caption(text: str) -> bool:
    return (
        MIN_CAPTION_WORDS <= count_words(text) <= MAX_CAPTION_WORDS
        and len(text) <= 160
        and not any(char in text for char in '#@"<>{}')
        and not any(said in text.lower() for said in REFUSALS)
    )


_CAPTION_TAILS = {
    6: "in one quiet moment",
    4: "captured in soft and gentle light",
    0: "captured in one quiet moment of soft and gentle light",
}
"""What is put behind a caption of at least so many words to make it 10 to 13."""
_CAPTION_LEAD = re.compile(r"^(the picture shows|portrait of)\s+", re.IGNORECASE)
_NEUTRAL_CAPTION = "A small moment from our story, painted in light and colour just for you."


def template_caption(prompt: str, safe: IsSafe) -> str:
    """A caption without a model: 10 to 15 words of the prompt's beginning, or neutral ones where those aren't safe."""
    first = re.split(r"(?<=[.!?])\s", plain_text(prompt[:MAX_ANSWER_CHARS]), maxsplit=1)[0]
    first = _CAPTION_LEAD.sub("", first)
    words = re.sub(r"[^\w\s,'’-]", "", first).split()[:MAX_CAPTION_WORDS]
    while len(words) > MIN_CAPTION_WORDS and words[-1].lower().strip(",") in FUNCTION_WORDS:
        words.pop()
    words = " ".join(words).strip(",").split()
    if len(words) < MIN_CAPTION_WORDS:
        words += next(tail for least, tail in _CAPTION_TAILS.items() if len(words) >= least).split()
    text = " ".join(words)
    text = f"{text[:1].upper()}{text[1:]}."
    return text if usable_caption(text) and safe(text) else _NEUTRAL_CAPTION
