"""Cache of keys and values of common prompt prefixes: a system prompt and its example."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.backends.text.slots import KeyValues

KEPT = 8


class PrefixCache:
    """An LRU cache of `KEPT` prefixes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], KeyValues] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, tokens: tuple[int, ...]) -> bool:
        return tokens in self._kept

    def get(self, tokens: tuple[int, ...]) -> KeyValues | None:
        if tokens in self._kept:
            self._kept.move_to_end(tokens)
        return self._kept.get(tokens)

    def put(self, tokens: tuple[int, ...], known: KeyValues) -> None:
        self._kept[tokens] = known
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()
