"""Limits for what a language model may write, by weights profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """What a text may cost with the weights at hand, and how much they can be trusted with.

    Messages beyond `shortened_by_model` of them, or longer than `model_reads_chars`, are shortened by code. `guided`:
    code begins the prompt with the request, and the model only goes on.
    """

    expansion_tokens: int = 200
    caption_tokens: int = 40
    shorten_tokens: int = 60
    attempts: int = 2
    shortened_by_model: int = 8
    model_reads_chars: int = 4_000
    temperature: float = 0.7
    guided: bool = False


BUDGETS = {
    "full": Budget(),
    # A model of 135 M parameters that writes 25 tokens a second on two cores, and soon loses the thread.
    "embedded": Budget(
        expansion_tokens=64,
        caption_tokens=28,
        shorten_tokens=40,
        attempts=1,
        shortened_by_model=2,
        model_reads_chars=600,
        guided=True,
    ),
}
"""By weights profile."""


def retry_temperature(attempt: int, budget: Budget) -> float:
    """Greedy first; another attempt has to come out differently."""
    return 0.0 if attempt == 0 else max(budget.temperature, 0.7)
