"""Embed prompts: the chat template, the limit of 512 tokens, and the text encoder.

May import: torch.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch

MAX_PROMPT_TOKENS = 512
_KEPT_EMBEDDINGS = 64
_PLACEHOLDER = "PROMPT"


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Token `ids` of the prompt in its template; `truncated` if the prompt was cut to `MAX_PROMPT_TOKENS`."""

    ids: tuple[int, ...]
    truncated: bool


class PromptEncoder:
    """Tokenizer and text encoder of a pipeline, with a cache of the latest 64 embeddings."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self.tokenizer, self.device = pipeline.tokenizer, device
        self.encoder = _without_last_layer(pipeline.text_encoder)
        self.embeddings: OrderedDict[str, torch.Tensor] = OrderedDict()
        _, _, ending = self._in_template(_PLACEHOLDER).rpartition(_PLACEHOLDER)
        self.ending = self._ids(ending)
        """The template after the prompt; begins with a special token, so its tokens don't depend on the prompt."""

    def tokens(self, prompt: str) -> PromptTokens:
        """Tokenize `prompt` in the pipeline's chat template.

        A longer prompt is cut, but the template's end is kept, because the model was trained with it.
        """
        ids = self._ids(self._in_template(prompt))
        if len(ids) <= MAX_PROMPT_TOKENS:
            return PromptTokens(tuple(ids), truncated=False)
        return PromptTokens((*ids[: MAX_PROMPT_TOKENS - len(self.ending)], *self.ending), truncated=True)

    def embed(self, prompt: str) -> torch.Tensor:
        """`(tokens, features)`: the text encoder's hidden states before its last layer."""
        if prompt in self.embeddings:
            self.embeddings.move_to_end(prompt)
            return self.embeddings[prompt]
        ids = torch.tensor([self.tokens(prompt).ids], device=self.device)
        self.embeddings[prompt] = self.encoder(input_ids=ids, use_cache=False).last_hidden_state[0]
        if len(self.embeddings) > _KEPT_EMBEDDINGS:
            self.embeddings.popitem(last=False)
        return self.embeddings[prompt]

    def _in_template(self, prompt: str) -> str:
        text: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": _without_surrogates(prompt)}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        return text

    def _ids(self, text: str) -> list[int]:
        # Without the tokenizer's own truncation, which is state that is not thread-safe.
        ids: list[int] = self.tokenizer(text, verbose=False)["input_ids"]
        return ids


def _without_last_layer(encoder: Any) -> Any:
    """The text encoder without last layer, norm and head, which `hidden_states[-2]` doesn't need."""
    inner = getattr(encoder, "model", encoder)
    inner.layers = inner.layers[:-1]
    inner.norm = torch.nn.Identity()
    inner.config.num_hidden_layers -= 1
    return inner


def _without_surrogates(text: str) -> str:
    """`text` with lone surrogates replaced, which can't be tokenized."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
