"""Load a causal language model and complete texts with it, in batches that don't affect the single texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from core.backends import BatchCallbacks, Completion, Outcome
from core.backends.devices import choose_device, fast_bf16, without_progress_bars
from core.backends.text.decoder import SLOT_TOKENS, Decoder, Row
from core.contracts import ModelInfo
from core.errors import TooLarge

if TYPE_CHECKING:
    from core.weights import Located

_SHORTEST_HEAD = 16
"""Least tokens of a common prefix that is cached."""


class LoadedText:
    """`TextBackend` over real weights. New requests join the running batch between its steps."""

    def __init__(self, info: ModelInfo, model: Any, tokenizer: Any, *, max_batch: int) -> None:
        self.info, self.model, self.tokenizer, self.max_batch = info, model, tokenizer, max_batch
        self.ends = _end_tokens(model, tokenizer)
        self.markers = sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}, key=len, reverse=True)

    @cached_property
    def decoder(self) -> Decoder:
        penalty = float(self.model.generation_config.repetition_penalty or 1.0)
        return Decoder(self.model, slots=self.max_batch, tokens=self.max_batch * SLOT_TOKENS, penalty=penalty)

    @property
    def longest(self) -> int:
        """Tokens of the longest text, answer included: limited by the model and by the memory for rows."""
        return min(int(self.model.config.max_position_embeddings), self.decoder.cache.tokens)

    def generate(self, requests: Sequence[Completion], callbacks: BatchCallbacks) -> list[Outcome[str]]:
        batch = _Batch(self, callbacks)
        self.decoder.run(batch.join(requests), batch)
        return [batch.outcomes[index] for index in range(len(batch.outcomes))]

    def row(self, index: int, request: Completion) -> Row | TooLarge:
        turns = [{"role": turn.role, "content": self._as_data(turn.content)} for turn in request.turns]
        prompt = self._tokens(turns, add_generation_prompt=True, prefix=request.prefix)
        room = self.longest - request.max_tokens
        if len(prompt) > room:
            return TooLarge(
                f"The text is {len(prompt)} tokens long; the language model takes at most {room}. Shorten it."
            )
        head = self._tokens(turns[:-1], add_generation_prompt=False) if len(turns) > 1 else []
        shared = _in_common(head, prompt[:-1])
        head = prompt[:shared] if shared >= _SHORTEST_HEAD else []
        return Row(index, request, prompt, tuple(head), torch.Generator().manual_seed(request.seed))

    def text_of(self, row: Row) -> str | None:
        """The text of a finished row, with its newest token; None while it continues."""
        text = clean(self.tokenizer.decode(row.written, skip_special_tokens=True))
        end = row.request.stop(text) if row.request.stop is not None else None
        if end is not None:
            return text[:end]
        return text if row.written[-1] in self.ends or len(row.written) >= row.request.max_tokens else None

    def _tokens(self, turns: list[dict[str, str]], *, add_generation_prompt: bool, prefix: str = "") -> list[int]:
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
        tokens: list[int] = self.tokenizer(text + clean(prefix), add_special_tokens=False)["input_ids"]
        return tokens

    def _as_data(self, content: str) -> str:
        """`content` without special tokens such as the end of a turn, which the tokenizer would interpret."""
        content = clean(content)
        for marker in self.markers:
            content = content.replace(marker, " ")
        return content


class _Batch:
    """The rows of one `generate` call, numbered as the batch's callbacks number them."""

    def __init__(self, backend: LoadedText, callbacks: BatchCallbacks) -> None:
        self.backend, self.callbacks = backend, callbacks
        self.count = 0
        self.outcomes: dict[int, Outcome[str]] = {}

    def join(self, requests: Sequence[Completion]) -> list[Row]:
        rows = []
        for request in requests:
            row = self.backend.row(self.count, request)
            if isinstance(row, Row):
                rows.append(row)
            else:
                self._end(self.count, row)
            self.count += 1
        return rows

    def _end(self, index: int, outcome: Outcome[str]) -> None:
        self.outcomes[index] = outcome
        self.callbacks.finished(index, outcome)

    def more(self) -> list[Row]:
        return self.join(self.callbacks.more())

    def cancelled(self, row: Row) -> bool:
        return self.callbacks.cancelled(row.index)

    def step(self, row: Row, step: int) -> None:
        self.callbacks.step(row.index, step, row.request.max_tokens)

    def text_of(self, row: Row) -> str | None:
        return self.backend.text_of(row)

    def finished(self, row: Row, outcome: Outcome[str]) -> None:
        self._end(row.index, outcome)


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return {end for end in (*ends, tokenizer.eos_token_id) if end is not None}


def _in_common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def clean(text: str) -> str:
    """`text` without lone surrogates, which can be neither tokenized nor sent."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load_text(located: Located, *, device: str | None = None, max_batch: int = 8) -> LoadedText:
    """Load the text model in bf16 if the device supports it, else in fp32. Raises `Misconfigured`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    on = choose_device(device)
    without_progress_bars()
    model = AutoModelForCausalLM.from_pretrained(
        located.path, dtype=torch.bfloat16 if fast_bf16(on) else torch.float32, device_map={"": on}
    )
    info = ModelInfo(name=located.name, revision=located.revision, profile=located.profile)
    return LoadedText(info, model.eval(), AutoTokenizer.from_pretrained(located.path), max_batch=max_batch)


def warm_up(backend: LoadedText) -> None:
    """Run the largest steps once, also to check that they fit. Raises `OutOfDeviceMemory`."""
    backend.decoder.warm_up()
