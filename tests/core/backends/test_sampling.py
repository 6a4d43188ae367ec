"""Tokens drawn from the most likely candidates equal those drawn from the whole row."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.backends.text.sampling import CANDIDATES, TOP_P, choose_tokens, draw_from, draw_from_all, penalize


@dataclass
class Drawn:
    temperature: float = 0.7
    seed: int = 0
    written: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)


def by_whole_row(scores: torch.Tensor, row: Drawn) -> int:
    """Draw by definition: at random from the smallest set of likeliest tokens whose probability reaches `TOP_P`."""
    scaled = scores.float() / row.temperature
    point = float(torch.rand((), generator=row.generator, dtype=torch.float64))
    return draw_from_all(scaled, scaled.logsumexp(-1), point)


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0, 8.0], ids=lambda spread: f"spread {spread}")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_draws_from_candidates_equal_draws_from_the_whole_row(spread: float, dtype: torch.dtype) -> None:
    """A spread of 0 and bf16 make ties; a small one makes the nucleus larger than the candidates."""
    torch.manual_seed(1)
    logits = (spread * torch.randn(24, 5_000)).to(dtype)
    rows = [Drawn(temperature=0.3 + 0.1 * (seed % 9), seed=seed) for seed in range(24)]
    again = [Drawn(row.temperature, row.seed) for row in rows]
    chosen = choose_tokens(logits, rows, 1.0)
    assert chosen == [by_whole_row(scores, row) for scores, row in zip(logits, again, strict=True)]


@given(st.lists(st.integers(-6, 6), min_size=2, max_size=40), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_draw_is_from_the_smallest_set_of_tokens_that_reaches_top_p(scores: list[int], point: float) -> None:
    values = torch.tensor(scores, dtype=torch.float32)
    token = draw_from_all(values, values.logsumexp(-1), point)
    shares = values.double().softmax(-1)
    likelier = float(shares[values > values[token]].sum())
    assert likelier < TOP_P


def test_no_token_is_drawn_if_the_candidates_miss_part_of_the_nucleus() -> None:
    values = torch.zeros(4)
    assert draw_from(values, torch.arange(4), torch.tensor(100.0).log(), 0.5, complete=False) is None


def test_no_token_is_drawn_on_a_tie_at_the_last_candidate() -> None:
    values = torch.tensor([9.0, 1.0, 1.0])
    total = torch.cat([values, torch.ones(4_000)]).logsumexp(-1)
    assert draw_from(values, torch.arange(3), total, 0.99, complete=False) is None


def test_drawn_shares_follow_the_probabilities() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -9.0]).expand(4_000, 4)
    chosen = torch.tensor(choose_tokens(logits, [Drawn(1.0, seed) for seed in range(4_000)], 1.0))
    wanted = torch.tensor([2.0, 1.0, 0.0]).softmax(-1)
    counted = torch.bincount(chosen, minlength=4) / 4_000
    assert counted[3] == 0
    assert torch.allclose(counted[:3], wanted, atol=0.03)


def test_greedy_rows_take_the_likeliest_token_in_a_mixed_batch() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]] * 3)
    assert choose_tokens(logits, [Drawn(0), Drawn(5.0, 3), Drawn(0)], 1.0)[::2] == [1, 1]


def test_repetition_penalty_equals_that_of_transformers() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    torch.manual_seed(0)
    scores = torch.randn(3, 50)
    written = [[3, 3, 7], [], [49]]
    penalized = penalize(scores, written, 1.3)
    theirs = RepetitionPenaltyLogitsProcessor(1.3)
    for place, tokens in enumerate(written):
        alone = scores[place : place + 1].clone()
        assert torch.equal(penalized[place : place + 1], theirs(torch.tensor([tokens]), alone) if tokens else alone)


def test_the_logits_are_not_changed() -> None:
    logits = torch.ones(1, 3 * CANDIDATES)
    choose_tokens(logits, [Drawn(0.7, 0, [1, 2])], 1.3)
    assert bool((logits == 1).all())
