"""Features of a selfie: the age gate, and the signature that carries its result to the next request.

May import: core.contracts, core.errors.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from core.contracts import ATTRIBUTES, AgeBand, Features
from core.errors import MinorSuspected

MINOR_THRESHOLD = 0.35
"""Probability of `under_18` from which the profile is refused, also where another band is likelier."""


def gate_profile(features: Features, *, threshold: float = MINOR_THRESHOLD) -> None:
    """Veto a selfie that looks under age: raises `MinorSuspected`. An estimate is never proof that someone is adult.

    `features.confidence["age_band"]` is the probability of the band that was read. What is left may all belong to
    `under_18`, but only the band beside it, `18_24`, is close enough for that to mean anything.
    """
    read = features.confidence.get("age_band", 1.0)
    neighbour = features.age_band is AgeBand.FROM_18_TO_24 and 1.0 - read >= threshold
    if features.age_band is AgeBand.UNDER_18 or neighbour:
        raise MinorSuspected("The person in the selfie may be under 18. Use a picture of an adult.")


def _canonical(features: Features) -> bytes:
    """The attributes as sorted JSON.

    Confidence is left out: it decides nothing after the gate, and a client that rounds floats must not lose its
    signature by that.
    """
    values = {name: str(getattr(features, name)) for name in ATTRIBUTES}
    return json.dumps({"v": 1, "attributes": values}, sort_keys=True, separators=(",", ":")).encode()


def _signature(features: Features, key: bytes) -> str:
    return "v1:" + hmac.new(key, _canonical(features), hashlib.sha256).hexdigest()


def sign_features(features: Features, key: bytes) -> Features:
    """The same features with `signature` set: HMAC-SHA256 over the attributes."""
    return features.model_copy(update={"signature": _signature(features, key)})


def signed(features: Features, key: bytes) -> bool:
    """Whether `signature` is ours for these very attributes. Features under 18 are never signed."""
    if features.signature is None or features.age_band is AgeBand.UNDER_18:
        return False
    return hmac.compare_digest(features.signature.encode(), _signature(features, key).encode())
