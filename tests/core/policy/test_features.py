"""Features of a selfie: refusal of minors, and a signature that detects edited features."""

from __future__ import annotations

import pytest

from core.contracts import (
    ATTRIBUTES,
    AgeBand,
    EyeColor,
    Features,
    GenderPresentation,
    HairColor,
    Route,
    Subject,
)
from core.errors import MinorSuspected
from core.policy import audit, configure_audit, reject_minor, sign_features, signed, treatment

KEY = b"a key of the deployment"
ADULT = Features(
    gender_presentation=GenderPresentation.FEMININE,
    age_band=AgeBand.FROM_25_TO_34,
    hair_color=HairColor.RED,
    confidence={"age_band": 0.8, "hair_color": 0.9},
)
SUBJECT = Subject(kind="self", adult_use_consent=True, age_attested=True)


def aged(band: AgeBand, confidence: float | None) -> Features:
    return Features(age_band=band, confidence={} if confidence is None else {"age_band": confidence})


@pytest.mark.parametrize("confidence", [None, 0.0, 0.2, 1.0])
def test_a_selfie_with_age_band_under_18_is_refused_at_any_confidence(confidence: float | None) -> None:
    with pytest.raises(MinorSuspected):
        reject_minor(aged(AgeBand.UNDER_18, confidence))


@pytest.mark.parametrize(("confidence", "refused"), [(0.39, True), (0.4, True), (0.41, False), (1.0, False)])
def test_adjacent_age_band_is_refused_at_low_confidence(
    confidence: float,
    refused: bool,  # noqa: FBT001 - a table
) -> None:
    features = aged(AgeBand.FROM_18_TO_24, confidence)
    if refused:
        with pytest.raises(MinorSuspected):
            reject_minor(features)
    else:
        reject_minor(features)


def test_confidence_threshold_can_be_set() -> None:
    reject_minor(aged(AgeBand.FROM_18_TO_24, 0.2), threshold=0.41)
    with pytest.raises(MinorSuspected):
        reject_minor(aged(AgeBand.FROM_18_TO_24, 0.9), threshold=0.04)


@pytest.mark.parametrize("band", [AgeBand.FROM_25_TO_34, AgeBand.FROM_65, AgeBand.UNKNOWN])
def test_older_age_bands_are_accepted_at_low_confidence(band: AgeBand) -> None:
    reject_minor(aged(band, 0.3))
    reject_minor(aged(AgeBand.FROM_18_TO_24, None))


def test_veto_is_counted_and_its_error_says_what_to_do() -> None:
    configure_audit(None, None)
    with pytest.raises(MinorSuspected, match="Use a picture of an adult"):
        reject_minor(aged(AgeBand.UNDER_18, 0.9))
    assert audit().counts() == {"minor_suspected": {"profile/create": 1}}


def test_signed_features_are_the_same_and_are_accepted() -> None:
    ours = sign_features(ADULT, KEY)
    assert ours.model_copy(update={"signature": None}) == ADULT
    assert signed(ours, KEY)
    assert sign_features(ADULT, KEY) == ours
    assert sign_features(ours, KEY) == ours


def test_signature_of_an_earlier_release_is_accepted() -> None:
    once = "v1:22656d9247c59a3e44cf34c4fceb39e98c455cc675f59e02c4a7dcfe9298119b"
    assert signed(ADULT.model_copy(update={"signature": once}), KEY)


def test_unsigned_features_and_other_keys_are_not_accepted() -> None:
    assert not signed(ADULT, KEY)
    assert not signed(sign_features(ADULT, KEY), b"another key")
    assert not signed(ADULT.model_copy(update={"signature": ""}), KEY)
    assert not signed(ADULT.model_copy(update={"signature": "é"}), KEY)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_changing_any_attribute_breaks_the_signature(attribute: str) -> None:
    ours = sign_features(ADULT, KEY)
    other = next(value for value in ATTRIBUTES[attribute] if value != getattr(ours, attribute))
    assert not signed(ours.model_copy(update={attribute: other}), KEY)


@pytest.mark.parametrize("confidence", [{}, {"age_band": 0.99}, {"hair_color": 0.9}])
def test_age_confidence_is_signed(confidence: dict[str, float]) -> None:
    assert not signed(sign_features(ADULT, KEY).model_copy(update={"confidence": confidence}), KEY)


def test_other_confidences_and_rounding_do_not_affect_the_signature() -> None:
    ours = sign_features(ADULT, KEY)
    assert signed(ours.model_copy(update={"confidence": {"age_band": 0.8004}}), KEY)


def test_signature_is_valid_after_serialization() -> None:
    ours = sign_features(ADULT, KEY)
    assert signed(Features.model_validate_json(ours.model_dump_json()), KEY)


def test_features_under_18_are_never_accepted_as_signed() -> None:
    assert not signed(sign_features(aged(AgeBand.UNDER_18, 0.9), KEY), KEY)


def treated(features: Features | None, subject: Subject | None, key: bytes | None, route: Route) -> str:
    return treatment(route, features=features, subject=subject, signing_key=key)


@pytest.mark.parametrize("route", [route for route in Route if route is not Route.CHAT_1TO1])
def test_other_routes_are_moderated_for_any_attestation(route: Route) -> None:
    assert treated(sign_features(ADULT, KEY), SUBJECT, KEY, route) == "moderated"
    assert treated(None, None, None, route) == "moderated"


@pytest.mark.parametrize(
    ("features", "subject", "key", "expected"),
    [
        (None, None, None, "adult_allowed"),
        (None, None, KEY, "adult_allowed"),
        (ADULT, None, None, "moderated"),
        (ADULT, SUBJECT, None, "adult_allowed"),
        (ADULT, SUBJECT.model_copy(update={"adult_use_consent": False}), None, "moderated"),
        (ADULT, SUBJECT.model_copy(update={"age_attested": False}), None, "moderated"),
        (ADULT, SUBJECT.model_copy(update={"kind": "synthetic"}), None, "adult_allowed"),
        (ADULT, SUBJECT, KEY, "moderated"),
        (sign_features(ADULT, b"another"), SUBJECT, KEY, "moderated"),
        (sign_features(ADULT, KEY), SUBJECT, KEY, "adult_allowed"),
        (sign_features(ADULT, KEY), None, KEY, "moderated"),
        (sign_features(ADULT, KEY).model_copy(update={"eye_color": EyeColor.BLUE}), SUBJECT, KEY, "moderated"),
    ],
)
def test_adult_route_needs_a_full_subject_and_signed_features(
    features: Features | None, subject: Subject | None, key: bytes | None, expected: str
) -> None:
    assert treated(features, subject, key, Route.CHAT_1TO1) == expected
