"""Texts for the policy's tests and measurements (the lists are next to its tests), and their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from core.contracts import Route

LISTS = Path(__file__).resolve().parent.parent / "tests" / "core" / "policy"


def _lines(name: str) -> list[str]:
    lines = (LISTS / name).read_text(encoding="utf-8").split("\n")
    return [line for line in lines if line.strip() and not line.startswith("# ")]


LOOKALIKES = _lines("lookalikes.txt") + _lines("lookalikes_rules.txt")
"""Ordinary texts: allowed on every route, without mention of a minor."""
FAMILIES = _lines("families.txt")
"""Ordinary scenes with children; none is refused on a moderated route."""
ADULTS = _lines("adults.txt") + _lines("adults_rules.txt")
"""Explicit or suggestive texts about adults that no route refuses."""
HARD = [(category, text) for category, _, text in (line.partition(" | ") for line in _lines("hard.txt"))]
"""(required category, text that every route refuses)."""
HARD_KINDS = [(kind, text) for kind, _, text in (line.partition("\t") for line in _lines("hard_kinds.tsv"))]
"""(kind, text that every route refuses)."""
SEXUAL_KINDS = [(kind, text) for kind, _, text in (line.partition("\t") for line in _lines("sexual_kinds.tsv"))]
"""(language/kind, mild sexual text about adults)."""
SEXUAL_LOOKALIKES = _lines("sexual_lookalikes.txt")
"""Everyday senses of the words of intimacy."""
AGE_CUES = [(label, kind, text) for label, kind, text in (line.split("\t") for line in _lines("age_cues.tsv"))]
"""(`minor` or `adult`, kind, text): everyday texts that show an age, refused for it only beside sexual content."""


SELFIE = "aGVsbG8="
"""A placeholder for stand-in workers; a real worker refuses it."""
CHATS = (Route.CHAT_1TO1, Route.SHORTS, Route.SCENES)
PROMPTS = (Route.PRIVATE, Route.GENERAL)


def chat_request(route: Route, role: str, text: str) -> dict[str, Any]:
    """A chat with the text between two ordinary messages."""
    ordinary = {"role": "user", "content": "Show me the lighthouse at dusk."}
    return {"task": route, "messages": [ordinary, {"role": role, "content": text}, ordinary]}


def _fields() -> Iterator[tuple[str, Callable[[str], dict[str, Any]]]]:
    yield "profile/create style", lambda text: {"task": Route.PROFILE, "selfie": SELFIE, "style": text}
    for route in PROMPTS:
        yield f"{route} prompt", partial(_prompt_request, route)
    for route in CHATS:
        for role in ("user", "assistant", "system"):
            yield f"{route} {role}", partial(chat_request, route, role)


def _prompt_request(route: Route, text: str) -> dict[str, Any]:
    return {"task": route, "prompt": text}


FIELDS = dict(_fields())
"""Every text field of every route → a request with the text in this field."""
