"""The rules of each route, and the treatment of one request.

May import: core.contracts, core.policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contracts import Features, Route, Subject
from core.policy.features import signed
from core.policy.verdict import Treatment


@dataclass(frozen=True, slots=True)
class RouteRules:
    """The texts that a route allows, and the check of its finished pictures.

    On an `always_constrained` route explicit text is always constrained; no field of a request changes that.
    """

    adult_allowed: bool
    refuses_any_minor: bool
    picture_check: Literal["fails_closed", "reports"]
    always_constrained: bool


_MODERATED = RouteRules(
    adult_allowed=False, refuses_any_minor=False, picture_check="fails_closed", always_constrained=True
)
ROUTES: dict[Route, RouteRules] = {
    Route.PROFILE: _MODERATED,
    Route.CHAT_1TO1: RouteRules(
        adult_allowed=True, refuses_any_minor=True, picture_check="reports", always_constrained=False
    ),
    Route.SHORTS: _MODERATED,
    Route.SCENES: _MODERATED,
    Route.PRIVATE: _MODERATED,
    Route.GENERAL: _MODERATED,
}


def treatment(
    route: Route, *, features: Features | None, subject: Subject | None, signing_key: bytes | None
) -> Treatment:
    """The treatment of a request: adult content passes only where route, features and subject allow it.

    Features describe a real person unless a complete `subject` states otherwise; where the deployment signs features,
    only its own signature shows that the age check was not removed.
    """
    if not ROUTES[route].adult_allowed:
        return "moderated"
    if features is None:
        return "adult_allowed"
    if subject is None or not (subject.adult_use_consent and subject.age_attested):
        return "moderated"
    if signing_key is not None and not signed(features, signing_key):
        return "moderated"
    return "adult_allowed"
