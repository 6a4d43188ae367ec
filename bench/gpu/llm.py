"""Qwen2.5-7B: prefill, and the decode step split in forward, copy and sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from bench.gpu import configs
from bench.gpu.measure import Meter, Row, outcome_of, released
from bench.gpu.plan import Plan
from core.backends import Completion, NoCallbacks, TextBackend, Turn
from core.backends.text import LoadedText
from core.backends.text.sampling import CANDIDATES, choose_tokens
from core.contracts import ModelInfo
from core.weights import Model, locate

Load = Callable[[int], LoadedText]
_WORD = "word "


def random_backend(max_batch: int, device: torch.device, *, shrink: bool) -> LoadedText:
    """The product's backend with the full configuration with random weights."""
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    with configs.built_in(configs.dtype_on(device), device):
        model = configs.text_model(shrink=shrink).eval()
    model.generation_config.repetition_penalty = 1.05
    tokenizer = AutoTokenizer.from_pretrained(locate("embedded", Model.TEXT).path)
    return LoadedText(ModelInfo(name="random", revision="0", profile="random"), model, tokenizer, max_batch=max_batch)


def rows(load: Load, meter: Meter, plan: Plan) -> Iterator[Row]:
    with released(meter):
        backend = load(max(plan.rows))
        yield Row("llm", "weights loaded", meter.allocated())
        for count in plan.rows:
            for tokens in plan.tokens:
                name = f"{count} rows of {tokens} tokens"
                yield meter.row("llm", f"prefill, {name}", _generate(backend, count, tokens, 1))
            yield meter.guarded("llm", f"decode step, {count} rows", partial(_step, backend, meter, plan, count))


def _step(backend: LoadedText, meter: Meter, plan: Plan, count: int) -> dict[str, float]:
    """Time of a decode step, averaged over `decoded_tokens` steps of the product, and of its parts alone."""
    tokens = plan.tokens[0]
    one = meter.times(_generate(backend, count, tokens, 1))["median_ms"]
    many = meter.times(_generate(backend, count, tokens, 1 + plan.decoded_tokens))["median_ms"]
    step = (many - one) / plan.decoded_tokens
    parts = {name: meter.times(run)["median_ms"] for name, run in _parts(backend, count, tokens).items()}
    return {"step_ms": step, "tokens_per_s": 1000 * count / step if step > 0 else 0.0, **parts, **meter.memory()}


def _parts(backend: LoadedText, count: int, tokens: int) -> dict[str, Callable[[], Any]]:
    """The forward pass with and without CUDA graphs, sampling, and the copy to the CPU."""
    decoder, device = backend.decoder, backend.model.device
    at = torch.full((count,), tokens, device=device)
    length = decoder.cache.rounded(tokens + 1)
    rows = [_Row(torch.Generator().manual_seed(row)) for row in range(count)]
    logits = torch.randn(count, backend.model.config.vocab_size, device=device)
    candidates = logits.topk(CANDIDATES)
    parts: dict[str, Callable[[], Any]] = {
        "eager_forward_ms": lambda: decoder._decode(torch.zeros_like(at), at, length),  # noqa: SLF001
        "copy_ms": lambda: [part.cpu() for part in candidates],
        "sampling_with_copy_ms": lambda: choose_tokens(logits, rows, decoder.penalty),
    }
    if (graphs := decoder.graphs) is not None:
        parts["graph_forward_ms"] = lambda: graphs.run([0] * count, [tokens] * count)
    return {name: torch.inference_mode()(run) for name, run in parts.items()}


@dataclass(frozen=True, slots=True)
class _Row:
    generator: torch.Generator
    temperature: float = 0.7
    written: Sequence[int] = (0,)


def _generate(backend: TextBackend, count: int, tokens: int, written: int) -> Callable[[], Any]:
    """Prompts that differ in their first word, so that none is answered from another one's cache."""
    requests = [
        Completion((Turn("user", f"{row} " + _WORD * tokens),), max_tokens=written, temperature=0.7, seed=row)
        for row in range(count)
    ]
    return lambda: outcome_of(backend.generate(requests, NoCallbacks()))
