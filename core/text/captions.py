"""Write a caption of 10 to 15 words from a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from core.backends import Completion, Turn
from core.contracts import Language
from core.prompts.chat import (
    CAPTION_EXAMPLE,
    CAPTION_SYSTEM,
    MAX_CAPTION_WORDS,
    MAX_EXPANSION_WORDS,
    MIN_CAPTION_WORDS,
    TRANSLATE_SYSTEM,
    as_material,
)
from core.text.batching import Program
from core.text.budgets import BUDGETS, Budget, retry_temperature
from core.text.languages import CAPTION_LANGUAGES
from core.text.parsing import (
    FUNCTION_WORDS,
    MAX_ANSWER_CHARS,
    REFUSALS,
    estimate_tokens,
    line_end,
    plain_text,
    read_line,
)

IsSafe: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Caption:
    """`repaired`: the model's answer was unusable, and code made the caption."""

    text: str
    repaired: bool = False


def write_caption(
    prompt: str,
    safe: IsSafe,
    seed: int = 0,
    budget: Budget = BUDGETS["full"],
    language: Language = "en",
) -> Program[Caption]:
    """Write a caption of one safe sentence of 10 to 15 words for a prompt.

    A caption in another language is a translation of an English one that passed the policy, because the policy covers
    English best. The translation does not receive the prompt.
    """
    caption = yield from _write_english(prompt, safe, seed, budget)
    if language == "en":
        return caption
    if not caption.repaired:
        for attempt in range(budget.translation_attempts):
            [answer] = yield [_translation(caption.text, language, attempt, seed, budget)]
            text = read_caption(answer, language)
            if usable_caption(text, language) and safe(text):
                return Caption(text)
    return Caption(template_caption(prompt, safe, language), repaired=True)


def _write_english(prompt: str, safe: IsSafe, seed: int, budget: Budget) -> Program[Caption]:
    material = as_material("picture", _within(" ".join(prompt.split()[:MAX_EXPANSION_WORDS]), budget.chat_tokens))
    for attempt in range(budget.line_attempts):
        [answer] = yield [
            Completion(
                (
                    Turn("system", CAPTION_SYSTEM),
                    Turn("user", as_material("picture", CAPTION_EXAMPLE[0])),
                    Turn("assistant", CAPTION_EXAMPLE[1]),
                    Turn("user", material),
                ),
                max_tokens=budget.caption_tokens,
                stop=line_end,
                temperature=retry_temperature(attempt, budget),
                seed=seed + attempt,
            )
        ]
        text = read_caption(answer)
        if usable_caption(text) and safe(text):
            return Caption(text)
    return Caption(template_caption(prompt, safe), repaired=True)


def _translation(caption: str, language: Language, attempt: int, seed: int, budget: Budget) -> Completion:
    return Completion(
        (
            Turn("system", TRANSLATE_SYSTEM.format(language=CAPTION_LANGUAGES[language].name)),
            Turn("user", as_material("caption", caption)),
        ),
        max_tokens=2 * budget.caption_tokens,
        stop=line_end,
        temperature=retry_temperature(attempt, budget),
        seed=seed + attempt,
    )


def _within(text: str, tokens: int) -> str:
    """Return the beginning of a text, of at most about `tokens` tokens."""
    while estimate_tokens(text) > tokens:
        text = text[: len(text) // 2]
    return text


def read_caption(answer: str, language: Language = "en") -> str:
    """The first sentence of an answer, cut to 15 words at a comma or another pause, if there is one."""
    line = re.sub(r"#\w+", "", read_line(answer)).strip()
    count = CAPTION_LANGUAGES[language].count_words
    sentence = _SENTENCE_END.split(line, maxsplit=1)[0] if count(line) > MAX_CAPTION_WORDS else line
    words = sentence.split()
    if count(sentence) <= MAX_CAPTION_WORDS or len(words) <= MAX_CAPTION_WORDS:
        return sentence
    seams = [n for n in range(MIN_CAPTION_WORDS, MAX_CAPTION_WORDS + 1) if words[n - 1][-1] in ",;:–"]
    return f"{' '.join(words[: seams[-1]])[:-1]}." if seams else sentence


def usable_caption(text: str, language: Language = "en") -> bool:
    spoken = CAPTION_LANGUAGES[language]
    return (
        len(text) <= 160
        and MIN_CAPTION_WORDS <= spoken.count_words(text) <= MAX_CAPTION_WORDS
        and not any(char in text for char in '#@"<>{}')
        and not any(refusal in text.lower() for refusal in REFUSALS)
        and (language == "en" or spoken.may_be(text))
    )


_SENTENCE_END = re.compile(r"(?<=[.!?।])\s|(?<=[。！？])")
_CAPTION_TAILS = {
    6: "in one quiet moment",
    4: "captured in soft and gentle light",
    0: "captured in one quiet moment of soft and gentle light",
}
"""Appended to a caption of at least so many words, to make it 10 to 13."""
_CAPTION_LEAD = re.compile(r"^(the picture shows|portrait of)\s+", re.IGNORECASE)


def template_caption(prompt: str, safe: IsSafe, language: Language = "en") -> str:
    """A caption without a model: the prompt's first 10 to 15 words, or a neutral caption if those aren't safe.

    In other languages than English always the neutral ones, since the prompt is English.
    """
    neutral = CAPTION_LANGUAGES[language].neutral_caption
    return neutral if language != "en" else _beginning_of(prompt, safe) or neutral


def _beginning_of(prompt: str, safe: IsSafe) -> str | None:
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
    return text if usable_caption(text) and safe(text) else None
