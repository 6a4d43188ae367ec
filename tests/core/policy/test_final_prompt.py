"""Constraints in front of a prompt: when they are added, only once, and that no text prevents them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import MAX_PROMPT_CHARS, Route
from core.errors import PolicyBlocked
from core.policy import (
    ADULT_ANCHOR,
    CONSTRAINT,
    STRONG_CONSTRAINT,
    Action,
    build_final_prompt,
    constrain,
    evaluate_private_chat,
    judge,
    sanitize_general,
)
from core.policy.engine import MAX_TEXT_CHARS

MODERATED = [route for route in Route if route is not Route.CHAT_1TO1]
NUDE, PLAIN = "a nude woman at a window", "a woman at a window"


@pytest.mark.parametrize("text", [CONSTRAINT, STRONG_CONSTRAINT, ADULT_ANCHOR])
@pytest.mark.parametrize("route", Route)
def test_constraints_match_no_rule_and_are_short(text: str, route: Route) -> None:
    assert judge([text], route).action is Action.ALLOW
    assert not judge([text], route).categories
    assert len(text.split()) <= 25
    assert not {"no", "not", "without"} & set(text.lower().split())


@pytest.mark.parametrize("route", MODERATED)
def test_an_explicit_prompt_is_constrained_in_front_on_moderated_routes(route: Route) -> None:
    done = build_final_prompt(NUDE, route)
    assert done.prompt == f"{CONSTRAINT} {NUDE}"
    assert done.applied == ("constraint",)
    assert done.verdict.categories == ("explicit",)


@pytest.mark.parametrize("route", Route)
def test_a_plain_prompt_is_unchanged(route: Route) -> None:
    done = build_final_prompt(PLAIN, route)
    assert (done.prompt, done.applied, done.verdict.action) == (PLAIN, (), Action.ALLOW)


def test_explicit_prompt_is_allowed_on_the_adult_route_unless_treated_as_moderated() -> None:
    assert build_final_prompt(NUDE, Route.CHAT_1TO1).prompt == NUDE
    assert build_final_prompt(NUDE, Route.CHAT_1TO1, treated_as="moderated").applied == ("constraint",)


def test_adult_wording_is_added_for_girl_on_the_adult_route_only() -> None:
    done = build_final_prompt("a girl at a window", Route.CHAT_1TO1)
    assert done.prompt == f"{ADULT_ANCHOR} a girl at a window"
    assert done.applied == ("adult_anchor",)
    assert build_final_prompt("a girl at a window", Route.CHAT_1TO1, treated_as="moderated").applied == ()
    assert build_final_prompt("a girl at a window", Route.GENERAL).applied == ()
    assert build_final_prompt("a nude girl", Route.CHAT_1TO1, treated_as="moderated").applied == ("constraint",)


@pytest.mark.parametrize("prompt", [NUDE, PLAIN, "a girl at a window"])
@pytest.mark.parametrize("route", Route)
def test_strength_1_adds_the_stronger_constraint_for_any_verdict(prompt: str, route: Route) -> None:
    done = build_final_prompt(prompt, route, strength=1)
    assert done.prompt == f"{STRONG_CONSTRAINT} {prompt}"
    assert done.applied == ("strong_constraint",)


@pytest.mark.parametrize("prompt", [NUDE, PLAIN, "a girl at a window", "a nude girl", "", "  spaced "])
@pytest.mark.parametrize("route", Route)
@pytest.mark.parametrize("strength", [0, 1])
def test_assembling_is_idempotent(prompt: str, route: Route, strength: int) -> None:
    once = build_final_prompt(prompt, route, strength=strength)
    again = build_final_prompt(once.prompt, route, strength=strength)
    assert (again.prompt, again.applied) == (once.prompt, once.applied)
    assert build_final_prompt(once.prompt, route).prompt == once.prompt


def test_the_stronger_constraint_replaces_the_weaker_one() -> None:
    once = build_final_prompt(NUDE, Route.GENERAL).prompt
    repaint = build_final_prompt(once, Route.GENERAL, strength=1).prompt
    assert repaint == f"{STRONG_CONSTRAINT} {NUDE}"
    assert build_final_prompt(f"{CONSTRAINT} {repaint}", Route.GENERAL).prompt == repaint


def test_a_constraint_inside_the_prompt_does_not_count_as_one() -> None:
    assert build_final_prompt(f"{NUDE}. {CONSTRAINT}", Route.GENERAL).prompt.startswith(CONSTRAINT)


def test_an_existing_constraint_is_kept_if_the_rest_is_harmless() -> None:
    assert build_final_prompt(f"{CONSTRAINT} {PLAIN}", Route.GENERAL).prompt == f"{CONSTRAINT} {PLAIN}"
    assert build_final_prompt(f"{CONSTRAINT} {PLAIN}", Route.GENERAL).verdict.action is Action.ALLOW


@pytest.mark.parametrize("route", Route)
def test_hard_prompt_is_refused_after_any_constraint(route: Route) -> None:
    for front in ("", CONSTRAINT, STRONG_CONSTRAINT, ADULT_ANCHOR):
        with pytest.raises(PolicyBlocked) as caught:
            build_final_prompt(f"{front} bestiality", route)
        assert caught.value.stage == "assemble"


def test_chat_constraint_is_added_once_and_replaces_an_anchor() -> None:
    assert constrain(PLAIN) == f"{CONSTRAINT} {PLAIN}"
    assert constrain(constrain(PLAIN)) == constrain(PLAIN)
    assert constrain(f"{STRONG_CONSTRAINT} {PLAIN}") == f"{STRONG_CONSTRAINT} {PLAIN}"
    assert constrain(f"{ADULT_ANCHOR} {PLAIN}") == f"{CONSTRAINT} {PLAIN}"


@pytest.mark.parametrize("entry", [evaluate_private_chat, sanitize_general])
def test_prompt_routes_constrain_and_refuse(entry: type) -> None:
    assert entry(NUDE).applied == ("constraint",)
    assert entry(PLAIN).applied == ()
    with pytest.raises(PolicyBlocked):
        entry("bestiality")


def test_a_prompt_over_the_limit_is_refused() -> None:
    with pytest.raises(PolicyBlocked) as caught:
        build_final_prompt(CONSTRAINT * (MAX_TEXT_CHARS // len(CONSTRAINT) + 1), Route.GENERAL)
    assert caught.value.categories == ("too_long",)


@given(st.text(st.characters(exclude_characters="<"), max_size=MAX_PROMPT_CHARS))
def test_explicit_prompt_in_any_context_begins_with_the_constraint(words: str) -> None:
    try:
        done = build_final_prompt(f"{words} \n nude", Route.GENERAL)
    except PolicyBlocked:
        return
    assert done.prompt.startswith(CONSTRAINT)


def test_assembled_prompt_of_maximum_length_is_recognised() -> None:
    once = f"{CONSTRAINT} {'a' * (MAX_TEXT_CHARS - len(CONSTRAINT) - 1)}"
    assert len(once) == MAX_TEXT_CHARS
    assert build_final_prompt(once, Route.GENERAL).prompt == once
