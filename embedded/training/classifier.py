"""Train the text classifier of the embedded profile, on one core about four minutes for 2,400 steps.

    pip install wordfreq==3.1.1        # everyday words of 42 languages, which fill the texts; training only
    python -m embedded.training.classifier FIRST --steps 2400
    python -m embedded.training.classifier RUNS --steps 1200 --peak 0.006 --seed 1 --start FIRST/classifier
    python -m embedded.training.ship RUNS classifier

Writes `RUNS/classifier/` in the format of `core.backends.ngrams`, and prints the accuracy of each head and of both
together on 4,000 new texts. `python -m bench.classifier` measures the shipped weights at several thresholds.
"""

# ruff: noqa: S311  (random texts, no secrets)
from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import typer
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from core.backends.ngrams import BUCKETS, MODEL_TYPE, WEIGHTS_FILE, WIDTH, features_of, tokens_of
from embedded.training.classifier_texts import LabelledText, Words, english, everyday_text, labelled_text, lexicons

DIMENSION = 16
HIDDEN = 96
_LONGEST = 96
"""Number of used positions of a training text."""
_FEATURE_DROPOUT = 0.25
_POSITIONS_WITH_DROPOUT = 0.7
_features_of = lru_cache(maxsize=300_000)(features_of.__wrapped__)
"""The backend's own cache is too small for the words of all languages."""


class NgramModel(nn.Module):
    """A differentiable, batched version of `core.backends.ngrams.Parameters`."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(BUCKETS, DIMENSION, mode="sum")
        self.convolution = nn.Conv1d(DIMENSION, HIDDEN, WIDTH, padding=WIDTH // 2)
        self.heads = nn.Linear(HIDDEN, 2)
        nn.init.constant_(self.heads.bias, -3)  # most positions of a text are irrelevant
        nn.init.normal_(self.table.weight, std=0.05)  # small, so that features never seen in training decide little

    def forward(self, features: torch.Tensor, offsets: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """`(B, 2)` logits of texts whose positions' features are concatenated.

        In training the maximum over positions is a smooth one, so that every position has a gradient.
        """
        counts = torch.diff(offsets, append=torch.tensor([len(features)]))
        embedded = self.table(features, offsets) / counts.clamp(min=1).sqrt()[:, None]
        spaced = [F.pad(one, (0, 0, 0, WIDTH // 2)) for one in embedded.split(list(lengths))]
        hidden = F.relu(self.convolution(torch.cat(spaced).T[None]))[0].T
        pieces = self.heads(hidden).split([length + WIDTH // 2 for length in lengths])
        texts = [piece[:length] for piece, length in zip(pieces, lengths, strict=True)]
        scored = nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=float("-inf"))
        return torch.as_tensor(scored.logsumexp(dim=1) if self.training else scored.amax(dim=1))


Batch = tuple[torch.Tensor, torch.Tensor, list[int]]


def batch_of(texts: Sequence[str], rng: np.random.Generator | None = None) -> Batch:
    """Features, offsets of positions, positions per text; with `rng`, a share of the features is dropped."""
    tokens = [tokens_of(text)[:_LONGEST] or [""] for text in texts]
    found = [_features_of(token) for one in tokens for token in one]
    features = np.fromiter(chain.from_iterable(found), np.int64)
    counts = np.array([len(one) for one in found])
    if rng is not None:
        dropped = rng.random(len(counts)) < _POSITIONS_WITH_DROPOUT
        kept = (rng.random(len(features)) >= _FEATURE_DROPOUT) | ~np.repeat(dropped, counts)
        counts = np.add.reduceat(kept.astype(np.int64), np.concatenate(([0], counts.cumsum()[:-1])))
        features = features[kept]
    offsets = np.concatenate(([0], counts.cumsum()[:-1]))
    return torch.from_numpy(features), torch.from_numpy(offsets), [len(one) for one in tokens]


def everyday_words(count: int = 2000, of_english: int = 30_000, of_others: int = 6000) -> Words:
    """Words of each language, except forms of words that decide a label: the most frequent ones as often as the others.

    Rare words matter because they share n-grams with the words of the lists.
    """
    from wordfreq import available_languages, top_n_list  # type: ignore[import-not-found]  # only for training

    found: dict[str, list[str]] = {}
    for language in sorted({*available_languages("small")} & {*lexicons()}):
        words = [
            word
            for word in top_n_list(language, of_english if language == "en" else of_others)
            if not any(map(str.isdigit, word)) and not _decides(word, language)
        ]
        found[language] = words + words[:count] * (len(words) // count - 1)
    return found


def _decides(word: str, language: str) -> bool:
    """Whether `word` is, or is a form of, a single word that decides a label in its language."""
    exact, beginnings = _deciding(language)
    return word in exact or any(word[:length] in beginnings for length in range(5, len(word) + 1))


@lru_cache
def _deciding(language: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return words that decide a label and their plurals, and the beginnings of those with six letters or more."""
    said = chain.from_iterable(lexicons()[language][kind] for kind in ("sexual", "minor"))
    if language == "en":
        said = chain(said, chain.from_iterable(chain(kind) for kind in english()["minor"].values()))
    words = {one.casefold() for one in said if one.isalpha()}
    exact = words | {f"{word}s" for word in words}
    return frozenset(exact), frozenset(word[: max(5, len(word) - 2)] for word in words if len(word) > 5)


def drawn(rng: random.Random, everyday: Words, count: int) -> list[LabelledText]:
    return [(labelled_text if rng.random() < 0.8 else everyday_text)(rng, everyday) for _ in range(count)]


def train(
    everyday: Words, *, steps: int, size: int, peak: float, seed: int, start: NgramModel | None = None
) -> NgramModel:
    rng, dropout = random.Random(f"train/{seed}"), np.random.default_rng(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # with more threads, each step would wait for the slowest one
    model = (start or NgramModel()).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=peak)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.1)
    for step in range(1, steps + 1):
        texts = drawn(rng, everyday, size)
        wanted = torch.tensor([[one.sexual, one.minor] for one in texts], dtype=torch.float32)
        loss = F.binary_cross_entropy_with_logits(model(*batch_of([one.text for one in texts], dropout)), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            typer.echo(f"step {step}: loss {loss.item():.4f}")
    return model.eval()


def save(model: NgramModel, folder: Path, threshold: float) -> None:
    """Save the parameters in fp16, with the layout and the names of `core.backends.ngrams.Parameters`."""
    tensors = {
        "table": model.table.weight,
        "convolution": model.convolution.weight.permute(2, 1, 0),
        "bias": model.convolution.get_parameter("bias"),
        "heads": model.heads.weight.T,
        "head_bias": model.heads.bias,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: one.detach().half().contiguous() for name, one in tensors.items()}, folder / WEIGHTS_FILE)
    config = {"model_type": MODEL_TYPE, "threshold": threshold}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def loaded(folder: Path) -> NgramModel:
    """Load the model of a shipped folder for further training."""
    stored = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS_FILE).items()}
    model = NgramModel()
    model.load_state_dict(
        {
            "table.weight": stored["table"],
            "convolution.weight": stored["convolution"].permute(2, 1, 0),
            "convolution.bias": stored["bias"],
            "heads.weight": stored["heads"].T,
            "heads.bias": stored["head_bias"],
        }
    )
    return model


@torch.inference_mode()
def accuracy(model: NgramModel, texts: Sequence[LabelledText]) -> dict[str, float]:
    """Accuracy at a probability of one half; recall and false positive rate of both heads together."""
    predicted = model(*batch_of([one.text for one in texts])) > 0
    wanted = torch.tensor([[one.sexual, one.minor] for one in texts])
    both, meant = predicted.all(1), wanted.all(1)
    return {
        "sexual": round((predicted[:, 0] == wanted[:, 0]).float().mean().item(), 4),
        "minor": round((predicted[:, 1] == wanted[:, 1]).float().mean().item(), 4),
        "refused of those to refuse": round(both[meant].float().mean().item(), 4),
        "refused of the others": round(both[~meant].float().mean().item(), 4),
    }


def _main(
    runs: Path,
    steps: int = 2400,
    size: int = 192,
    peak: float = 0.01,
    seed: int = 0,
    threshold: float = 0.8,
    start: Path | None = None,
) -> None:
    """Train, save and measure the model."""
    everyday = everyday_words()
    begun = loaded(start) if start else None
    model = train(everyday, steps=steps, size=size, peak=peak, seed=seed, start=begun)
    save(model, runs / "classifier", threshold)
    typer.echo(accuracy(model, drawn(random.Random(f"test/{seed}"), everyday, 4000)))


if __name__ == "__main__":
    typer.run(_main)
