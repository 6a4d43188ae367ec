"""A causal language model that completes many texts at once.

`model` loads it and turns requests into rows of tokens, `decoder` runs the rows together, `slots` holds their keys and
values, `sampling` chooses tokens, `graphs` replays a decode step as a CUDA graph.

May import: torch, transformers, core.backends, core.contracts, core.errors, core.weights.
"""

from core.backends.text.model import LoadedText, load_text, warm_up

__all__ = ["LoadedText", "load_text", "warm_up"]
