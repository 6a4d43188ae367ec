"""Every rule is tested by its own examples, and the project's lists by all rules."""

from __future__ import annotations

import pytest

from bench.texts import ADULTS, FAMILIES, HARD, LOOKALIKES
from core.contracts import Route
from core.errors import Misconfigured
from core.policy import Action, judge
from core.policy.engine import matching_rules
from core.policy.loading import lexicon
from core.policy.rules import Lexicon, Rule

RULES = lexicon().rules
REFUSED = [pytest.param(rule, text, id=f"{rule.id}: {text}") for rule in RULES for text in rule.refused]
ALLOWED = [pytest.param(rule, text, id=f"{rule.id}: {text}") for rule in RULES for text in rule.allowed]


@pytest.mark.parametrize(("rule", "text"), REFUSED)
def test_rule_matches_its_examples(rule: Rule, text: str) -> None:
    assert rule.id in {met.id for met in matching_rules([text])}


@pytest.mark.parametrize(("rule", "text"), ALLOWED)
def test_a_rule_does_not_match_its_counterexamples(rule: Rule, text: str) -> None:
    assert rule.id not in {met.id for met in matching_rules([text])}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_has_a_reason_examples_and_counterexamples(rule: Rule) -> None:
    assert len(rule.reason) > 20
    assert rule.refused
    assert len(rule.allowed) >= 2
    assert rule.tier in {"hard", "minor", "soft", "anchor", "caption"}


@pytest.mark.parametrize("text", LOOKALIKES)
def test_ordinary_text_is_allowed_on_every_route(text: str) -> None:
    assert {judge([text], route).action for route in Route} == {Action.ALLOW}


@pytest.mark.parametrize("text", FAMILIES)
def test_ordinary_scene_with_children_is_allowed_on_moderated_routes(text: str) -> None:
    assert judge([text], Route.GENERAL).action is Action.ALLOW


@pytest.mark.parametrize("text", ADULTS)
def test_private_adult_texts_are_constrained_on_moderated_routes_and_never_refused(text: str) -> None:
    assert judge([text], Route.CHAT_1TO1).action is Action.ALLOW
    assert judge([text], Route.GENERAL).action in {Action.CONSTRAIN, Action.ALLOW}
    assert judge([text], Route.CHAT_1TO1, treated_as="moderated").action is not Action.REFUSE


@pytest.mark.parametrize(("category", "text"), HARD)
def test_a_hard_text_is_refused_on_every_route_by_its_category(category: str, text: str) -> None:
    for route in Route:
        verdict = judge([text], route)
        assert verdict.action is Action.REFUSE
        assert category in verdict.categories


def test_list_of_ordinary_texts_is_long_enough_without_duplicates() -> None:
    assert len(LOOKALIKES) >= 200
    assert len(set(LOOKALIKES)) == len(LOOKALIKES)


def test_rule_ids_are_unique() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


def _compiled(**content: object) -> Lexicon:
    compiled = Lexicon()
    compiled.add(content)
    return compiled.checked()


def test_rule_with_an_unknown_concept_is_reported() -> None:
    rule = {"id": "r", "category": "c", "tier": "hard", "reason": "-", "together": [["nothing"]]}
    with pytest.raises(Misconfigured, match="'r' names the concept 'nothing'"):
        _compiled(rule=[{**rule, "refused": [], "allowed": []}])


@pytest.mark.parametrize("parts", [{"sequences": [["a", "gone"]]}, {"near": [["a"], ["gone"]], "within": 3}])
def test_a_composed_concept_with_an_unknown_part_is_reported(parts: dict[str, object]) -> None:
    with pytest.raises(Misconfigured, match="'composed' names the concept 'gone'"):
        _compiled(concept={"a": {"words": ["x"]}, "composed": parts})


def test_words_of_composed_concepts_are_no_hard_words_by_themselves() -> None:
    words = {
        "towel": {"words": ["towel"]},
        "fall": {"words": ["falls"]},
        "both": {"near": [["towel"], ["fall"]], "within": 2},
    }
    assert not {"towel", "falls"} & _compiled(concept={**words, "c": {"words": ["naked"]}}).spelling.words


@pytest.mark.parametrize("ways", [{}, {"together": [["a"]], "near": [["a"], ["a"]]}])
def test_rule_without_exactly_one_combination_is_reported(ways: dict[str, object]) -> None:
    rule = {"id": "r", "category": "c", "tier": "hard", "reason": "-", "refused": [], "allowed": [], **ways}
    with pytest.raises(Misconfigured, match="'r' needs one of"):
        _compiled(concept={"a": {"words": ["x"]}}, rule=[rule])


@pytest.mark.parametrize("pattern", ["(a", "(a (b|c)", "a)"])
def test_unterminated_alternative_is_refused(pattern: str) -> None:
    with pytest.raises(Misconfigured, match="has unbalanced brackets"):
        _compiled(concept={"a": {"words": [pattern]}})


def test_an_empty_phrase_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"'\(\|b\)' may be empty"):
        _compiled(concept={"a": {"words": ["(|b)"]}})
