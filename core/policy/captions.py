"""Whether a caption may be shown: on every route, the adult one included, anyone may read it.

May import: core.contracts, core.policy.
"""

from __future__ import annotations

from core.contracts import Route
from core.policy.engine import judge
from core.policy.verdict import Action


def safe_caption(caption: str) -> bool:
    """Nothing explicit and nothing hard, judged as the strictest of both kinds of route."""
    moderated = judge((caption,), Route.GENERAL)
    adult = judge((caption,), Route.CHAT_1TO1)
    return moderated.action is Action.ALLOW and adult.action is Action.ALLOW
