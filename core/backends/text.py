"""Completions from a causal language model, many at once, each as if it were alone.

An own decode loop, because each row has its own seed, stop strings and cancel. Rows are padded on the left; what all
rows of a batch begin with (a system prompt, say) is computed once and its KV cache kept for the next batch; a row that
has ended leaves the batch. In fp32 greedy text is the same in a batch as alone.

May import: torch, transformers, core.contracts, core.errors, core.weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from core.backends import BatchCallbacks, Completion, NoCallbacks, Outcome, Turn
from core.backends.devices import choose_device, device_errors, fast_bf16, without_progress_bars
from core.contracts import ModelInfo
from core.errors import Cancelled, TooLarge

if TYPE_CHECKING:
    from core.weights import Located

TOP_P = 0.95
"""Share of the probability that sampling draws from; greedy rows don't look at it."""
_KEPT_PREFIXES = 8
_SHORTEST_KEPT_PREFIX = 16
_REPORTED_EVERY = 4

KeyValues = list[tuple[torch.Tensor, torch.Tensor]]
"""Per layer, `(1, heads, tokens, head size)` each."""


@dataclass(slots=True)
class _Row:
    """A completion on its way. `shared` counts the leading tokens that other requests begin with as well."""

    index: int
    request: Completion
    prompt: list[int]
    shared: int
    draw: torch.Generator
    written: list[int] = field(default_factory=list)
    text: str | None = None

    def ended(self, ends: set[int], decoded: str) -> bool:
        """Whether the row has its text, now that `decoded` is what it has written."""
        at = [place for stop in self.request.stop if (place := decoded.find(stop)) >= 0]
        if at:
            self.text = decoded[: min(at)]
        elif self.written[-1] in ends or len(self.written) >= self.request.max_tokens:
            self.text = decoded
        return self.text is not None


class LoadedText:
    """`TextBackend` over real weights."""

    def __init__(self, info: ModelInfo, model: Any, tokenizer: Any, *, max_batch: int) -> None:
        self.info, self.model, self.tokenizer, self.max_batch = info, model, tokenizer, max_batch
        self.ends = _end_tokens(model, tokenizer)
        self.markers = sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}, key=len, reverse=True)
        self.penalty = float(model.generation_config.repetition_penalty or 1.0)
        self.prefixes: OrderedDict[tuple[int, ...], KeyValues] = OrderedDict()

    def generate(self, requests: Sequence[Completion], watch: BatchCallbacks) -> list[Outcome[str]]:
        outcomes: list[Outcome[str]] = []
        for start in range(0, len(requests), self.max_batch):
            outcomes += self._batch(requests[start : start + self.max_batch], watch, start)
        return outcomes

    def _batch(self, requests: Sequence[Completion], watch: BatchCallbacks, start: int) -> list[Outcome[str]]:
        outcomes: list[Outcome[str] | None] = [None] * len(requests)
        rows = []
        for place, request in enumerate(requests):
            row = self._row(start + place, request)
            if isinstance(row, _Row):
                rows.append(row)
            else:
                outcomes[place] = row
        if rows:
            with device_errors("writing text"), torch.inference_mode():
                _Decoder(self, rows, watch).run()
        for row in rows:
            cancelled = Cancelled("The job was cancelled.")
            outcomes[row.index - start] = cancelled if row.text is None else _clean(row.text)
        return [outcome for outcome in outcomes if outcome is not None]

    def _row(self, index: int, request: Completion) -> _Row | TooLarge:
        turns = [{"role": turn.role, "content": self._as_data(turn.content)} for turn in request.turns]
        prompt = self._tokens(turns, add_generation_prompt=True, prefix=request.prefix)
        room = self.model.config.max_position_embeddings - request.max_tokens
        if len(prompt) > room:
            return TooLarge(f"The text is {len(prompt)} tokens long; the language model reads at most {room}.")
        head = self._tokens(turns[:-1], add_generation_prompt=False) if len(turns) > 1 else []
        draw = torch.Generator().manual_seed(request.seed)
        return _Row(index, request, prompt, _in_common(head, prompt[:-1]), draw)

    def _tokens(self, turns: list[dict[str, str]], *, add_generation_prompt: bool, prefix: str = "") -> list[int]:
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
        tokens: list[int] = self.tokenizer(text + _clean(prefix), add_special_tokens=False)["input_ids"]
        return tokens

    def _as_data(self, content: str) -> str:
        """`content` as plain text: the tokenizer takes a marker such as the end of a turn wherever it reads one."""
        content = _clean(content)
        for marker in self.markers:
            content = content.replace(marker, " ")
        return content

    def prefix(self, tokens: tuple[int, ...]) -> KeyValues:
        """Keys and values of `tokens`, computed once and kept while they are asked for."""
        if tokens in self.prefixes:
            self.prefixes.move_to_end(tokens)
            return self.prefixes[tokens]
        out = self.model(torch.tensor([tokens], device=self.model.device), use_cache=True, logits_to_keep=1)
        self.prefixes[tokens] = [(layer.keys, layer.values) for layer in out.past_key_values.layers]
        if len(self.prefixes) > _KEPT_PREFIXES:
            self.prefixes.popitem(last=False)
        return self.prefixes[tokens]


class _Decoder:
    """One batch from its prompts to its last token."""

    def __init__(self, backend: LoadedText, rows: list[_Row], watch: BatchCallbacks) -> None:
        self.backend, self.watch = backend, watch
        self.live = rows
        self.device = backend.model.device

    def run(self) -> None:
        logits = self._read_prompts()
        while True:
            for row, scores in zip(self.live, logits, strict=True):
                row.written.append(self._choose(row, scores))
            if not self._go_on():
                return
            newest = torch.tensor([[row.written[-1]] for row in self.live], device=self.device)
            logits = self._forward(newest)

    def _read_prompts(self) -> torch.Tensor:
        """Prefill, behind the shared prefix; gives the logits of each row's first token."""
        shared = _shared_prefix(self.live)
        self.cache = _cache_of(self.backend.prefix(shared) if shared else [], len(self.live))
        rests = [row.prompt[len(shared) :] for row in self.live]
        longest = max(map(len, rests))
        pads = [longest - len(rest) for rest in rests]
        ids = torch.tensor([[0] * pad + rest for pad, rest in zip(pads, rests, strict=True)], device=self.device)
        mask = torch.tensor([[1] * len(shared) + [0] * pad + [1] * (longest - pad) for pad in pads], device=self.device)
        self.mask: torch.Tensor | None = mask if any(pads) else None
        self.next = torch.tensor([len(row.prompt) for row in self.live], device=self.device)
        positions = (
            torch.arange(longest, device=self.device) + len(shared) - torch.tensor(pads, device=self.device)[:, None]
        )
        return self._logits(ids, positions.clamp(min=0))

    def _forward(self, newest: torch.Tensor) -> torch.Tensor:
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(newest), 1)], dim=1)
        positions, self.next = self.next[:, None], self.next + 1
        return self._logits(newest, positions)

    def _logits(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        out = self.backend.model(
            ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = out.past_key_values
        last: torch.Tensor = out.logits[:, -1].float().cpu()
        return last

    def _choose(self, row: _Row, scores: torch.Tensor) -> int:
        if row.written and self.backend.penalty != 1.0:
            seen = torch.tensor(sorted(set(row.written)))
            known = scores[seen]
            scores[seen] = torch.where(known > 0, known / self.backend.penalty, known * self.backend.penalty)
        if row.request.temperature <= 0:
            return int(scores.argmax())
        shares, tokens = (scores / row.request.temperature).softmax(-1).sort(descending=True)
        likely = shares * (shares.cumsum(-1) - shares < TOP_P)
        return int(tokens[torch.multinomial(likely, 1, generator=row.draw)])

    def _go_on(self) -> bool:
        """Drop the rows that have ended or were cancelled; False when none is left."""
        going = [place for place, row in enumerate(self.live) if not self._done(row)]
        if len(going) < len(self.live):
            self.live = [self.live[place] for place in going]
            if going:
                kept = torch.tensor(going, device=self.device)
                self.cache.batch_select_indices(kept)
                self.next = self.next[kept]
                self.mask = None if self.mask is None else self.mask[kept]
        return bool(going)

    def _done(self, row: _Row) -> bool:
        if self.watch.cancelled(row.index):
            return True
        decoded = self.backend.tokenizer.decode(row.written, skip_special_tokens=True)
        ended = row.ended(self.backend.ends, decoded)
        if ended or len(row.written) % _REPORTED_EVERY == 0:
            step = row.request.max_tokens if ended else len(row.written)
            self.watch.step(row.index, step, row.request.max_tokens)
        if row.text is not None:
            self.watch.finished(row.index, _clean(row.text))
        return ended


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return {end for end in (*ends, tokenizer.eos_token_id) if end is not None}


def _in_common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _shared_prefix(rows: list[_Row]) -> tuple[int, ...]:
    """What all rows begin with, as far as it is a prompt's fixed part; nothing where it would hardly save work."""
    length = min(row.shared for row in rows)
    first = rows[0].prompt
    for row in rows[1:]:
        length = min(length, _in_common(first, row.prompt))
    return tuple(first[:length]) if length >= _SHORTEST_KEPT_PREFIX else ()


def _cache_of(prefix: KeyValues, rows: int) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, (keys, values) in enumerate(prefix):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
    return cache


def _clean(text: str) -> str:
    """Without lone surrogates, which can be neither tokenized nor sent."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load_text(located: Located, *, device: str | None = None, max_batch: int = 8) -> LoadedText:
    """bf16 where the device computes in it, else fp32. Raises `Misconfigured` where the device isn't there."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    on = choose_device(device)
    without_progress_bars()
    return _loaded(
        located,
        AutoModelForCausalLM.from_pretrained(
            located.path, dtype=torch.bfloat16 if fast_bf16(on) else torch.float32, device_map={"": on}
        ),
        AutoTokenizer.from_pretrained(located.path),
        max_batch,
    )


def _loaded(located: Located, model: Any, tokenizer: Any, max_batch: int) -> LoadedText:
    info = ModelInfo(name=located.name, revision=located.revision, profile=located.profile)
    return LoadedText(info, model.eval(), tokenizer, max_batch=max_batch)


def warm_up(backend: LoadedText) -> None:
    """A few tokens, so that the first job finds kernels chosen and memory reserved."""
    backend.generate([Completion((Turn("system", "Answer."), Turn("user", "Hello")), max_tokens=4)], NoCallbacks())
