"""A classifier makes the rules' verdict stricter or leaves it; its failure refuses on moderated routes."""

from __future__ import annotations

import pytest

from core.backends import Classified
from core.contracts import Route
from core.errors import PolicyBlocked
from core.policy import PIECE_CHARS, Action, Verdict, apply_classifier, enforce, judge, split_for_classifier

ADULT, MODERATED = Route.CHAT_1TO1, [route for route in Route if route is not Route.CHAT_1TO1]
SAFE = Classified("safe")
SEXUAL = Classified("unsafe", ("Sexual Content or Sexual Acts",))
VIOLENT = Classified("unsafe", ("Violent",))
UNHEARD = Classified("unsafe", ("Something New",))
POLITICAL = Classified("unsafe", ("Politically Sensitive Topics", "PII", "Copyright Violation"))
PLAIN = judge(["a woman at a window"], Route.GENERAL)
HARD = judge(["bestiality"], Route.GENERAL)


@pytest.mark.parametrize("route", Route)
@pytest.mark.parametrize("opinions", [[], [SAFE], [SEXUAL], [None], [VIOLENT]])
def test_classification_never_overrides_a_hard_verdict(route: Route, opinions: list[Classified | None]) -> None:
    joined = apply_classifier(HARD, opinions, route)
    assert joined.action is Action.REFUSE
    assert "animals" in joined.categories


@pytest.mark.parametrize("route", Route)
def test_safe_classification_does_not_change_the_verdict(route: Route) -> None:
    for verdict in (
        PLAIN,
        HARD,
        Verdict(Action.CONSTRAIN, ("explicit",), "v"),
        Verdict(Action.ALLOW, ("explicit",), "v"),
    ):
        assert apply_classifier(verdict, [SAFE, SAFE], route) == verdict


@pytest.mark.parametrize("route", MODERATED)
def test_moderated_routes_constrain_sexual_classifications_and_refuse_failed_ones(route: Route) -> None:
    assert apply_classifier(PLAIN, [SAFE, SEXUAL], route) == Verdict(Action.CONSTRAIN, ("explicit",), PLAIN.version)
    assert apply_classifier(PLAIN, [SAFE, None], route) == Verdict(Action.REFUSE, ("classifier_failed",), PLAIN.version)


def test_adult_route_allows_sexual_classifications_and_falls_back_to_the_rules() -> None:
    assert apply_classifier(PLAIN, [SEXUAL, None], ADULT) == PLAIN
    assert apply_classifier(PLAIN, [SEXUAL], ADULT, treated_as="moderated").action is Action.CONSTRAIN
    assert apply_classifier(PLAIN, [None], ADULT, treated_as="moderated").action is Action.REFUSE


@pytest.mark.parametrize("route", Route)
def test_other_unsafe_and_unknown_categories_are_refused_on_every_route(route: Route) -> None:
    assert apply_classifier(PLAIN, [VIOLENT], route).categories == ("classifier: violent",)
    assert apply_classifier(PLAIN, [UNHEARD], route).categories == ("classifier: something new",)
    assert apply_classifier(PLAIN, [Classified("unsafe")], route).categories == ("classifier",)
    mixed = Classified("unsafe", ("Sexual Content or Sexual Acts", "Jailbreak"))
    assert apply_classifier(PLAIN, [mixed], route).categories == ("classifier: jailbreak",)


@pytest.mark.parametrize("route", Route)
def test_category_outside_this_policy_is_allowed(route: Route) -> None:
    assert apply_classifier(PLAIN, [POLITICAL, Classified("controversial", ("Violent",))], route) == PLAIN


def test_controversial_sexual_text_is_constrained_on_moderated_routes() -> None:
    opinion = Classified("controversial", ("Sexual Content or Sexual Acts", "Violent"))
    assert apply_classifier(PLAIN, [opinion], Route.SCENES).action is Action.CONSTRAIN


def test_equally_strict_verdicts_report_both_reasons() -> None:
    assert apply_classifier(HARD, [VIOLENT], Route.GENERAL).categories == ("animals", "classifier: violent")
    assert apply_classifier(HARD, [SEXUAL], Route.GENERAL).categories == ("animals",)


def test_combined_verdict_is_enforced_like_one_of_the_rules() -> None:
    plain = ["a woman at a window"]
    assert enforce(PLAIN, plain, Route.SCENES) is PLAIN
    with pytest.raises(PolicyBlocked) as caught:
        enforce(apply_classifier(PLAIN, [None], Route.SCENES), plain, Route.SCENES, stage="classifier")
    assert caught.value.categories == ("classifier_failed",)
    assert caught.value.stage == "classifier"


@pytest.mark.parametrize(
    ("lengths", "pieces"),
    [
        ([], []),
        ([10], [10]),
        ([PIECE_CHARS + 5], [PIECE_CHARS + 5]),
        ([3_000, 4_999], [8_000]),
        ([3_000, 5_000], [3_000, 5_000]),
        ([4_000, 4_000, 4_000], [4_000, 4_000, 4_000]),
        ([5_000, 10, 10, 5_000], [5_022, 5_000]),
    ],
)
def test_texts_are_packed_into_pieces_without_loss(lengths: list[int], pieces: list[int]) -> None:
    texts = [str(place) * length for place, length in enumerate(lengths)]
    joined = split_for_classifier(texts)
    assert [len(piece) for piece in joined] == pieces
    assert "\n".join(joined) == "\n".join(texts)
