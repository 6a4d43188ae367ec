"""The matrix of routes, and how one request is treated by it.

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
    """One row: what a route lets pass, and what its worker does with the finished picture.

    `always_constrained` routes get the constraint whenever the text is explicit, and no request can lift that.
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
    """How a request of `route` is treated: adult content passes only where the route allows it and nobody real objects.

    Features describe a real person until a `subject` says otherwise in full; where the deployment signs features, only
    its own signature shows that the age gate was not edited away.
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
