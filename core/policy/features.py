"""Features of a selfie: refusal of minors, and the signature that later requests need.

May import: core.contracts, core.errors, core.policy.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from core.contracts import ATTRIBUTES, AgeBand, Features, Route
from core.errors import MinorSuspected
from core.policy.audit import audit
from core.policy.version import POLICY_VERSION

MINOR_THRESHOLD = 0.3
"""Probability of `under_18` from which the profile is refused, even if another age band is more likely."""


def reject_minor(features: Features, *, threshold: float = MINOR_THRESHOLD, route: Route = Route.PROFILE) -> None:
    """Raise `MinorSuspected` if the person in a selfie may be under 18. An estimate never proves an adult age.

    `features.confidence["age_band"]` is the probability of the estimated band; the estimator returns `under_18` if its
    probability reaches the threshold. For `18_24`, half of the remaining probability is assumed to be that of
    `under_18`, one of its two neighbours.
    """
    read = features.confidence.get("age_band", 1.0)
    neighbour = features.age_band is AgeBand.FROM_18_TO_24 and (1.0 - read) / 2 >= threshold
    if features.age_band is AgeBand.UNDER_18 or neighbour:
        audit().refused((MinorSuspected.code,), route, stage="gate", version=POLICY_VERSION)
        raise MinorSuspected("The person in the selfie may be under 18. Use a picture of an adult.")


def _canonical(features: Features) -> bytes:
    """Serialize the attributes and the confidence of the age as sorted JSON.

    That confidence is signed, because `reject_minor` uses it: without it a refusal could be avoided. The others are not
    signed, so a client may omit them. It is rounded to two decimals, because JSON libraries may round a float.
    """
    values = {name: str(getattr(features, name)) for name in ATTRIBUTES}
    age = features.confidence.get("age_band")
    signed_over = {"v": 1, "attributes": values, "age_confidence": None if age is None else f"{age:.2f}"}
    return json.dumps(signed_over, sort_keys=True, separators=(",", ":")).encode()


def _signature(features: Features, key: bytes) -> str:
    return "v1:" + hmac.new(key, _canonical(features), hashlib.sha256).hexdigest()


def sign_features(features: Features, key: bytes) -> Features:
    """Return the features with `signature` set: HMAC-SHA256 over the attributes and the age's confidence."""
    return features.model_copy(update={"signature": _signature(features, key)})


def signed(features: Features, key: bytes) -> bool:
    """Whether `signature` is valid for these attributes, compared in constant time; never for a person under 18."""
    if features.signature is None or features.age_band is AgeBand.UNDER_18:
        return False
    return hmac.compare_digest(features.signature.encode(), _signature(features, key).encode())
