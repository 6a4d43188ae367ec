"""Find concepts that follow each other with only linking words between, such as `took off` and `dress`.

May import: core.policy.normalization.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from core.policy.normalization import Stream

Span: TypeAlias = tuple[int, int]
"""Index of the first token, and of the one after the last."""
Found: TypeAlias = dict[str, list[Span]]
"""The spans of each concept in a stream."""

GAP = "~"
"""In a sequence: up to `GAP_MAX` words of any kind."""
GAP_MAX = 4
LINKING_MAX = 5
"""Maximum number of linking words between two spans."""


def spans_of(found: Found, group: Sequence[str]) -> list[Span]:
    return [span for concept in group for span in found.get(concept, ())]


def linked_spans(found: Found, groups: Sequence[Sequence[str]], stream: Stream, linking: set[str]) -> list[Span]:
    """Return the spans in which a concept of each group follows in this order, from the first group to the last."""
    if not all(any(concept in found for concept in group) for group in groups if GAP not in group):
        return []
    open_spans = {end: start for start, end in sorted(spans_of(found, groups[0]))}
    gap = False
    for group in groups[1:]:
        if GAP in group:
            gap = True
            continue
        reached = {
            at: start
            for end, start in open_spans.items()
            for at in (range(end, end + GAP_MAX + 1) if gap else _after_linking_words(stream, end, linking))
        }
        open_spans = {end: reached[start] for start, end in spans_of(found, group) if start in reached}
        gap = False
    return [(start, end) for end, start in open_spans.items()]


def _after_linking_words(stream: Stream, at: int, linking: set[str]) -> Iterator[int]:
    yield at
    for token in stream[at : at + LINKING_MAX]:
        if linking.isdisjoint(token):
            return
        at += 1
        yield at
