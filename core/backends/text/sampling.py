"""Choose the next token of each row: repetition penalty, temperature and top-p, computed on the logits' device.

Only the `CANDIDATES` most likely tokens of a sampled row are copied to the CPU, where the row's own generator draws
from them. The draw is exact: if the nucleus of top-p is larger than the candidates, the whole row is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

TOP_P = 0.95
"""Top-p: the share of the probability from which sampled rows draw."""
CANDIDATES = 128


class SampledRow(Protocol):
    """A row to choose a token for. `written`: its tokens so far; a `temperature` of 0 is greedy."""

    @property
    def temperature(self) -> float: ...

    @property
    def generator(self) -> torch.Generator: ...

    @property
    def written(self) -> Sequence[int]: ...


def choose_tokens(logits: torch.Tensor, rows: Sequence[SampledRow], penalty: float) -> list[int]:
    """The next token of each row; `logits` are `(rows, vocabulary)` on any device."""
    scores = penalize(logits.float(), [row.written for row in rows], penalty)
    tokens = [0] * len(rows)
    for choose, temperature_above_0 in ((_likeliest, False), (draw_tokens, True)):
        places = [place for place, row in enumerate(rows) if (row.temperature > 0) is temperature_above_0]
        if places:
            part = scores if len(places) == len(rows) else scores[torch.tensor(places, device=scores.device)]
            for place, token in zip(places, choose(part, [rows[place] for place in places]), strict=True):
                tokens[place] = token
    return tokens


def _likeliest(scores: torch.Tensor, rows: Sequence[SampledRow]) -> list[int]:
    del rows
    tokens: list[int] = scores.argmax(-1).tolist()
    return tokens


def penalize(scores: torch.Tensor, written: Sequence[Sequence[int]], penalty: float) -> torch.Tensor:
    """Scores with the written tokens made less likely (Keskar et al. 2019, as in transformers).

    Unlike in transformers, tokens of the prompt are not penalized, because an answer should use the request's words.
    """
    longest = max(map(len, written), default=0)
    if penalty == 1.0 or longest == 0:
        return scores
    # Rows are padded to one length: with one of their own tokens, or with token 0, whose score is restored below.
    padded = [[*tokens, *[tokens[0] if tokens else 0] * (longest - len(tokens))] for tokens in written]
    ids = torch.tensor(padded, device=scores.device)
    has_written = torch.tensor([[bool(tokens)] for tokens in written], device=scores.device)
    known = scores.gather(1, ids)
    penalized = torch.where(known > 0, known / penalty, known * penalty)
    return scores.scatter(1, ids, torch.where(has_written, penalized, known))


def draw_tokens(scores: torch.Tensor, rows: Sequence[SampledRow]) -> list[int]:
    """Draw a token for each row by temperature and top-p, with the row's generator."""
    scaled = scores / torch.tensor([[row.temperature] for row in rows], device=scores.device)
    total = scaled.logsumexp(-1).cpu()
    values, ids = (part.cpu() for part in scaled.topk(min(CANDIDATES, scaled.shape[1])))
    tokens = []
    for place, row in enumerate(rows):
        point = float(torch.rand((), generator=row.generator, dtype=torch.float64))
        token = draw_from(values[place], ids[place], total[place], point, complete=values.shape[1] == scaled.shape[1])
        tokens.append(draw_from_all(scaled[place].cpu(), total[place], point) if token is None else token)
    return tokens


def draw_from_all(scaled: torch.Tensor, total: torch.Tensor, point: float) -> int:
    """The token at `point` (0–1) of a whole row's nucleus."""
    token = draw_from(scaled, torch.arange(len(scaled)), total, point, complete=True)
    if token is None:
        raise ValueError("the row has no nucleus")
    return token


def draw_from(
    values: torch.Tensor, ids: torch.Tensor, total: torch.Tensor, point: float, *, complete: bool
) -> int | None:
    """The token at `point` of the nucleus, from the most likely tokens of a row; None if the nucleus is larger.

    Tokens are ordered by score, equal ones by id, so the result does not depend on the order of `values`. `total` is
    the row's logsumexp. `complete`: `values` is the whole row.
    """
    by_id = ids.argsort()
    values, ids = values[by_id], ids[by_id]
    order = values.argsort(descending=True, stable=True)
    values, ids = values[order], ids[order]
    shares = (values.double() - total.double()).exp()
    until = shares.cumsum(0)
    size = max(1, int((until - shares < TOP_P).sum()))
    # Tokens that score like the last candidate may be missing among the candidates.
    if not complete and bool(values[size - 1] <= values[-1]):
        return None
    place = int(torch.searchsorted(until[:size], point * until[size - 1], right=True))
    return int(ids[min(place, size - 1)])
