"""The final check of a prompt before an image model: judge it, put the constraint in front, judge it again.

May import: core.contracts, core.errors, core.policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contracts import Route
from core.policy.constraints import ADULT_ANCHOR, CONSTRAINT, STRONG_CONSTRAINT
from core.policy.engine import AMBIGUOUS_YOUTH, MAX_TEXT_CHARS, check, treatment_of
from core.policy.verdict import Action, Treatment, Verdict

_TEXTS = {"strong_constraint": STRONG_CONSTRAINT, "constraint": CONSTRAINT, "adult_anchor": ADULT_ANCHOR}
"""Texts to put in front of a prompt, strongest first; each includes the meaning of the later ones."""


@dataclass(frozen=True, slots=True)
class FinalPrompt:
    """A prompt with its verdict; `applied` contains `constraint`, `strong_constraint` or `adult_anchor`."""

    prompt: str
    verdict: Verdict
    applied: tuple[str, ...]


def _without_constraints(prompt: str) -> tuple[str, set[str]]:
    """Return the prompt without constraints that were added before, and their names."""
    had: set[str] = set()
    while True:
        prompt = prompt.lstrip()
        name = next((name for name, text in _TEXTS.items() if prompt.startswith(text)), None)
        if name is None:
            return prompt, had
        had.add(name)
        prompt = prompt[len(_TEXTS[name]) :]


def build_final_prompt(
    prompt: str, route: Route, *, treated_as: Treatment | None = None, strength: Literal[0, 1] = 0
) -> FinalPrompt:
    """Return the prompt for the image model, constrained if the verdict requires it. Raises `PolicyBlocked`.

    The constraint comes first, because the model's encoder cuts a prompt after 512 tokens. With `strength` 1 the
    stronger constraint is added for any verdict. Calling this again with the returned prompt does not change it.
    """
    bare, wanted = _without_constraints(prompt) if len(prompt) <= MAX_TEXT_CHARS else (prompt, set())
    verdict = check((bare,), route, treated_as=treated_as, stage="assemble")
    if strength == 1:
        wanted.add("strong_constraint")
    if verdict.action is Action.CONSTRAIN:
        wanted.add("constraint")
    if AMBIGUOUS_YOUTH in verdict.categories and treatment_of(route, treated_as) == "adult_allowed":
        wanted.add("adult_anchor")
    front = next((name for name in _TEXTS if name in wanted), None)
    assembled = f"{_TEXTS[front]} {bare}".rstrip() if front else bare
    check((assembled,), route, treated_as=treated_as, stage="assemble")
    return FinalPrompt(assembled, verdict, (front,) if front else ())


def constrain(prompt: str) -> str:
    """Put the constraint in front of a prompt whose chat was explicit, whatever the prompt's own verdict."""
    bare, had = _without_constraints(prompt)
    return prompt if had & {"constraint", "strong_constraint"} else f"{CONSTRAINT} {bare}"


def evaluate_private_chat(prompt: str) -> FinalPrompt:
    """Build the prompt of `chat/private/imagegen`: constrain explicit text. Raises `PolicyBlocked` for hard text."""
    return build_final_prompt(prompt, Route.PRIVATE)


def sanitize_general(prompt: str) -> FinalPrompt:
    """Build the prompt of `imagegen`: constrain explicit text. Raises `PolicyBlocked` for hard text."""
    return build_final_prompt(prompt, Route.GENERAL)
