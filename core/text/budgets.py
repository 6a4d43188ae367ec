"""Limits for a language model's input and output, by weights profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Attempts and tokens that a text may use.

    The first `free_attempts` of an expansion's `attempts` have no prefix; the others begin with the last request as a
    phrase, so that the subject is kept. Messages beyond the first `shortened_by_model`, or longer than
    `shortened_tokens`, are shortened by code. `chat_tokens` bounds the part of a chat that an expansion uses, newest
    messages first. `line_attempts` are the attempts for a caption or a shortened message.
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
    # 135 M parameters and 25 tokens a second on two cores. Without a prefix it copies the example or drops the subject.
    "embedded": Budget(
        expansion_tokens=64,
        caption_tokens=28,
        shorten_tokens=40,
        attempts=3,
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
    """Temperature of an attempt: greedy first, then sampled, because a repeated attempt must give another text."""
    return 0.0 if attempt == 0 else max(budget.temperature, 0.7)
