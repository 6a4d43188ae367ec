"""Limits for what a language model reads and writes, by weights profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """What a text may cost with the weights at hand.

    Of an expansion's `attempts`, the first `free_attempts` are the model's own; the others begin with the last request
    as a phrase, so that their subject can't be lost. Messages beyond `shortened_by_model` of them, or longer than
    `shortened_tokens`, are shortened by code. `chat_tokens` bounds what an expansion reads of a chat, the newest first.
    `line_attempts` are those of a caption or a shortened message.
    """

    expansion_tokens: int = 200
    caption_tokens: int = 40
    shorten_tokens: int = 60
    attempts: int = 3
    free_attempts: int = 2
    line_attempts: int = 2
    translation_attempts: int = 2
    shortened_by_model: int = 8
    shortened_tokens: int = 1_500
    chat_tokens: int = 1_200
    temperature: float = 0.7


BUDGETS = {
    "full": Budget(),
    # 135 M parameters and 25 tokens a second on two cores. Left free, it copies the example or drops the subject.
    "embedded": Budget(
        expansion_tokens=64,
        caption_tokens=28,
        shorten_tokens=40,
        attempts=1,
        free_attempts=0,
        line_attempts=1,
        translation_attempts=0,  # it was trained on English
        shortened_by_model=2,
        shortened_tokens=150,
        chat_tokens=400,
        temperature=0.0,
    ),
}
"""By weights profile."""


def retry_temperature(attempt: int, budget: Budget) -> float:
    """Greedy first; another attempt has to come out differently."""
    return 0.0 if attempt == 0 else max(budget.temperature, 0.7)
