"""A prompt about to reach an image model: judged, constrained in front, judged again.

May import: core.contracts, core.errors, core.policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contracts import Route
from core.policy.constraints import CONSTRAINT, STRONG_CONSTRAINT
from core.policy.engine import check
from core.policy.verdict import Action, Treatment, Verdict


@dataclass(frozen=True, slots=True)
class Assembled:
    """`applied` names what was put into the prompt: `constraint` or `strong_constraint`."""

    prompt: str
    verdict: Verdict
    applied: tuple[str, ...]


def _bare(prompt: str) -> tuple[str, set[str]]:
    """The prompt without the constraint texts at its front, and the names of those it had."""
    had: set[str] = set()
    while True:
        prompt = prompt.lstrip()
        for name, text in (("strong_constraint", STRONG_CONSTRAINT), ("constraint", CONSTRAINT)):
            if prompt.startswith(text):
                had.add(name)
                prompt = prompt[len(text) :]
                break
        else:
            return prompt, had


def assemble(
    prompt: str, route: Route, *, treated_as: Treatment | None = None, strength: Literal[0, 1] = 0
) -> Assembled:
    """The prompt that may reach a device. Raises `PolicyBlocked`.

    The constraint comes first, because the model's encoder cuts off at 512 tokens; at `strength` 1 the stronger text is
    put in whatever the verdict. A prompt assembled before comes back unchanged.
    """
    bare, had = _bare(prompt)
    verdict = check((bare,), route, treated_as=treated_as, stage="assemble")
    front: tuple[str, ...] = ()
    if strength == 1 or "strong_constraint" in had:
        front = ("strong_constraint",)
    elif verdict.action is Action.CONSTRAIN or "constraint" in had:
        front = ("constraint",)
    texts = {"constraint": CONSTRAINT, "strong_constraint": STRONG_CONSTRAINT}
    assembled = " ".join([*(texts[name] for name in front), bare]).rstrip()
    check((assembled,), route, treated_as=treated_as, stage="assemble")
    return Assembled(assembled, verdict, front)


def constrain(prompt: str) -> str:
    """The prompt with the constraint in front whatever it says: the chat that it was written from was explicit."""
    bare, had = _bare(prompt)
    return prompt if had else f"{CONSTRAINT} {bare}"


def evaluate_private_chat(prompt: str) -> Assembled:
    """The entry of `chat/private/imagegen`: hard text raises `PolicyBlocked`, explicit text is constrained."""
    return assemble(prompt, Route.PRIVATE)


def sanitize_general(prompt: str) -> Assembled:
    """The entry of `imagegen`: hard text raises `PolicyBlocked`, explicit text is constrained."""
    return assemble(prompt, Route.GENERAL)
