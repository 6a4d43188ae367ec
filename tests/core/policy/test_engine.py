"""The verdict: all rules apply to all texts, the most severe decides, and hard texts are refused on every route."""

from __future__ import annotations

import pytest

from bench.texts import ADULTS, HARD, LOOKALIKES
from core.contracts import Route
from core.errors import Misconfigured, PolicyBlocked
from core.policy import POLICY_VERSION, ROUTES, Action, Verdict, check, judge
from core.policy.engine import MAX_TEXT_CHARS, find_matching_rules, treatment_of
from core.policy.engine import _action as action_of
from core.policy.loading import lexicon
from core.policy.rules import Lexicon, Rule

EVERY_TEXT = [
    *(text for _, text in HARD),
    *LOOKALIKES,
    *ADULTS,
    *(text for rule in lexicon().rules for text in (*rule.refused, *rule.allowed)),
]
ADULT = Route.CHAT_1TO1
MODERATED = [route for route in Route if route is not ADULT]


def test_hard_decisions_are_equal_on_every_route_except_minors_on_the_adult_route() -> None:
    stricter = set()
    for text in EVERY_TEXT:
        elsewhere = {judge([text], route).action is Action.REFUSE for route in MODERATED}
        assert len(elsewhere) == 1
        here = judge([text], ADULT)
        if elsewhere != {here.action is Action.REFUSE}:
            assert here.categories == ("minor_on_adult_route",)
            stricter.add(text)
    assert {"a child eating a birthday cake", "she is 15"} <= stricter
    assert stricter.isdisjoint([*LOOKALIKES, *ADULTS])


def test_the_matrix_of_routes_matches_the_policy() -> None:
    assert set(ROUTES) == set(Route)
    for route in MODERATED:
        row = ROUTES[route]
        assert not row.adult_allowed
        assert not row.refuses_any_minor
        assert row.picture_check == "fails_closed"
        assert row.always_constrained
    row = ROUTES[ADULT]
    assert row.adult_allowed
    assert row.refuses_any_minor
    assert row.picture_check == "reports"
    assert not row.always_constrained


@pytest.mark.parametrize("route", MODERATED)
@pytest.mark.parametrize("treated_as", [None, "moderated", "adult_allowed"])
def test_explicit_text_is_constrained_on_a_moderated_route_despite_claims(route: Route, treated_as: str) -> None:
    assert judge(["a nude woman"], route, treated_as=treated_as) == Verdict(
        Action.CONSTRAIN, ("explicit",), POLICY_VERSION
    )


def test_explicit_text_is_allowed_and_reported_on_the_adult_route() -> None:
    assert judge(["a nude woman"], ADULT) == Verdict(Action.ALLOW, ("explicit",), POLICY_VERSION)


def test_adult_route_treated_as_moderated_constrains_and_refuses_minors() -> None:
    assert judge(["a nude woman"], ADULT, treated_as="moderated").action is Action.CONSTRAIN
    assert judge(["a child with a kite"], ADULT, treated_as="moderated").action is Action.REFUSE
    assert treatment_of(ADULT, None) == "adult_allowed"


def test_the_strictest_rule_wins_in_any_order() -> None:
    texts = ["a nude woman", "a sexy dancer", "bestiality"]
    assert judge(texts, Route.GENERAL) == judge(texts[::-1], Route.GENERAL)
    assert judge(texts, Route.GENERAL).categories == ("animals",)
    assert judge(texts[:2], Route.GENERAL).categories == ("explicit", "suggestive")


def test_two_hard_categories_are_both_named_and_sorted() -> None:
    assert judge(["loli", "bestiality"], Route.GENERAL).categories == ("animals", "sexual_minors")


def test_age_and_nudity_in_different_messages_are_combined() -> None:
    assert judge(["I am 15", "and now nude, please"], Route.SCENES).action is Action.REFUSE
    assert judge(["I am 25", "and now nude, please"], Route.SCENES).action is Action.CONSTRAIN


def test_linked_words_must_be_in_one_message() -> None:
    assert judge(["we had sex with", "a dog on the sofa"], ADULT).action is Action.ALLOW


def test_exception_applies_only_to_the_words_it_overlaps() -> None:
    assert judge(["a child sees it with the naked eye"], Route.GENERAL).action is Action.ALLOW
    assert judge(["a naked child sees it with the naked eye"], Route.GENERAL).action is Action.REFUSE


@pytest.mark.parametrize("texts", [[], [""], ["", " \n"]])
def test_empty_text_is_allowed(texts: list[str]) -> None:
    assert judge(texts, ADULT) == Verdict(Action.ALLOW, (), POLICY_VERSION)


def test_a_text_over_the_limit_is_refused_and_not_cut() -> None:
    assert judge(["a" * MAX_TEXT_CHARS], Route.GENERAL).action is Action.ALLOW
    assert judge(["a" * (MAX_TEXT_CHARS + 1)], Route.GENERAL) == Verdict(Action.REFUSE, ("too_long",), POLICY_VERSION)
    assert judge(["a", "b" * 1_000_000], Route.GENERAL).categories == ("too_long",)


def test_texts_may_come_from_a_generator() -> None:
    with pytest.raises(PolicyBlocked):
        check((text for text in ["bestiality"]), Route.GENERAL)


def test_refusal_has_categories_and_stage_but_no_text() -> None:
    with pytest.raises(PolicyBlocked) as caught:
        check(["Zanzibar bestiality"], Route.SHORTS, stage="request")
    assert caught.value.categories == ("animals",)
    assert caught.value.stage == "request"
    assert caught.value.http_status == 422
    assert "animals" in caught.value.message
    assert not {"Zanzibar", "bestiality"} & set(str(caught.value.body()).replace("'", " ").split())


def test_a_check_that_passes_returns_the_verdict() -> None:
    assert check(["a nude woman"], Route.SHORTS).action is Action.CONSTRAIN


@pytest.mark.parametrize("tier", ["hard", "unheard-of", ""])
@pytest.mark.parametrize("route", Route)
def test_unknown_tier_is_refused(tier: str, route: Route) -> None:
    rule = Rule("r", "c", tier, "-", "together", (), 0, (), ())
    assert action_of(rule, route, treatment_of(route, None)) is Action.REFUSE


def test_policy_version_is_a_hash_of_the_rules() -> None:
    number, _, digest = POLICY_VERSION.partition("-")
    assert number.isdigit()
    assert len(digest) == 12


def _met(how: str, text: str, within: int = 0) -> bool:
    from core.policy import engine

    compiled = Lexicon()
    compiled.add({
        "linking": ["with", "a"],
        "concept": {"act": {"words": ["paints"]}, "thing": {"words": ["fence", "old fence"]}},
        "rule": [
            {
                "id": "r", "category": "c", "tier": "hard", "reason": "-", how: [["act"], ["thing"]],
                "within": within, "refused": [], "allowed": [],
            }
        ],
    })  # fmt: skip
    return bool(engine.find_matching_rules([text], compiled.checked()))


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("paints fence", True),
        ("paints a fence", True),
        ("paints with a fence", True),
        ("paints with a with a with fence", True),
        ("paints with a with a with a fence", False),
        ("paints the fence", False),
        ("fence paints", False),
        ("paints a old fence", True),
        ("a fence", False),
        ("paints a", False),
    ],
)
def test_linked_concepts_have_only_linking_words_between(text: str, linked: bool) -> None:  # noqa: FBT001 - a table
    assert _met("linked", text) is linked


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("paints fence", True),
        ("paints one fence", True),
        ("paints one two fence", True),
        ("paints one two three fence", False),
        ("fence one two paints", True),
        ("fence one two three paints", False),
    ],
)
def test_near_concepts_have_at_most_two_tokens_between_in_either_order(text: str, near: bool) -> None:  # noqa: FBT001 - a table
    assert _met("near", text, within=2) is near


def test_together_needs_a_concept_of_every_group_in_the_request() -> None:
    assert _met("together", "fence one two three four five six paints")
    assert not _met("together", "fence")


def test_concept_matches_where_the_concepts_of_its_sequence_follow_each_other() -> None:
    compiled = Lexicon()
    compiled.add({
        "linking": ["the"],
        "concept": {
            "verb": {"words": ["paints"]},
            "thing": {"words": ["fence", "door"]},
            "work": {"sequences": [["verb", "thing"]], "never": ["paints the door"]},
        },
        "rule": [
            {
                "id": "r", "category": "c", "tier": "hard", "reason": "-", "together": [["work"]],
                "refused": [], "allowed": [],
            }
        ],
    })  # fmt: skip
    words = compiled.checked()
    met = {
        text: bool(find_matching_rules([text], words))
        for text in ("paints the fence", "the fence paints", "paints the door")
    }
    assert met == {"paints the fence": True, "the fence paints": False, "paints the door": False}


def test_a_sequence_of_an_unknown_concept_is_named() -> None:
    compiled = Lexicon()
    compiled.add({"concept": {"work": {"sequences": [["nothing", "work"]]}}})
    with pytest.raises(Misconfigured, match="'work' names the concept 'nothing'"):
        compiled.checked()
