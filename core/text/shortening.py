"""Shorten a chat message to at most 25 words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.backends import Completion, Turn
from core.contracts import ChatMessage
from core.prompts.chat import (
    MAX_MESSAGE_WORDS,
    SHORTEN_EXAMPLE,
    SHORTEN_SYSTEM,
    as_material,
)
from core.text.batching import Program, run_together
from core.text.budgets import BUDGETS, Budget, retry_temperature
from core.text.parsing import (
    FUNCTION_WORDS,
    MAX_WORD_CHARS,
    REFUSALS,
    REQUEST_WORDS,
    content_stems,
    count_message_words,
    count_words,
    estimate_tokens,
    line_end,
    read_line,
)


def shorten(message: str, seed: int = 0, budget: Budget = BUDGETS["full"]) -> Program[str]:
    """Shorten a message to at most 25 words."""
    for attempt in range(budget.line_attempts):
        [answer] = yield [_shortening(message, seed + attempt, retry_temperature(attempt, budget), budget)]
        text = read_line(answer)
        if usable_shortening(text, message):
            return text
    return shorten_by_code(message)


def shorten_all(messages: Sequence[ChatMessage], seed: int, budget: Budget) -> Program[list[ChatMessage]]:
    """Every message of more than 25 words shortened: the newest by the model, all in one batch, the others by code."""
    long = [place for place, message in enumerate(messages) if count_message_words(message.content) > MAX_MESSAGE_WORDS]
    texts = {place: shorten_by_code(messages[place].content) for place in long}
    readable = [place for place in long if estimate_tokens(messages[place].content) <= budget.shortened_tokens]
    by_model = readable[-budget.shortened_by_model :] if budget.shortened_by_model else []
    programs = [shorten(messages[place].content, seed, budget) for place in by_model]
    texts.update(zip(by_model, (yield from run_together(programs)), strict=True))
    return [
        ChatMessage(role=message.role, content=texts[place]) if place in texts else message
        for place, message in enumerate(messages)
    ]


def _shortening(message: str, seed: int, temperature: float, budget: Budget) -> Completion:
    return Completion(
        (
            Turn("system", SHORTEN_SYSTEM),
            Turn("user", as_material("message", SHORTEN_EXAMPLE[0])),
            Turn("assistant", SHORTEN_EXAMPLE[1]),
            Turn("user", as_material("message", message)),
        ),
        max_tokens=budget.shorten_tokens,
        stop=line_end,
        temperature=temperature,
        seed=seed,
    )


def usable_shortening(text: str, message: str) -> bool:
    """Whether `text` has at most 25 words, is about the message, and is not a reply to it."""
    if not 1 <= count_words(text) <= MAX_MESSAGE_WORDS or any(refusal in text.lower() for refusal in REFUSALS):
        return False
    stems = content_stems(text)
    return bool(stems) and len(stems & content_stems(message)) >= 0.5 * len(stems)


def shorten_by_code(message: str) -> str:
    """At most 25 words of a message, in their order: the sentence with the request, then other words that fit."""
    if count_message_words(message) <= MAX_MESSAGE_WORDS:
        return message
    sentences = [part for part in re.split(r"(?<=[.!?;\n])\s+|(?<=[。！？])", message) if part.strip()]
    ranked = sorted(range(len(sentences)), key=lambda place: (-_weight(sentences[place]), -place))
    kept: list[int] = []
    room = MAX_MESSAGE_WORDS
    for place in ranked:
        if (length := count_message_words(sentences[place])) <= room:
            kept.append(place)
            room -= length
    return " ".join(sentences[place] for place in sorted(kept)) or _without_function_words(sentences[ranked[0]])


def _weight(sentence: str) -> int:
    words = set(re.findall(r"\w+", sentence.lower()))
    return 3 * len(words & REQUEST_WORDS) + min(5, len(content_stems(sentence)))


def _without_function_words(sentence: str) -> str:
    """The last 25 words of a text without function words, because a request is usually at the end."""
    words = [word[:MAX_WORD_CHARS] for word in sentence.split()]
    telling = [word for word in words if word.lower().strip(",.;:!?") not in FUNCTION_WORDS]
    return " ".join((telling or words)[-MAX_MESSAGE_WORDS:])[-10 * MAX_MESSAGE_WORDS :].strip()
