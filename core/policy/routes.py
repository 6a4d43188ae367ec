"""The policy of each route, and the treatment of a request.

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
    """The policy of a route.

    `adult_allowed`: explicit text may pass. `refuses_any_minor`: a minor is refused in any scene. `picture_check`: an
    unsafe or unchecked picture is withheld (`fails_closed`) or only reported (`reports`). `always_constrained`:
    explicit text is constrained, whatever the request's fields.
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
    """Return the treatment of a request: adult content is allowed only if route, features and subject allow it.

    Features describe a real person unless a complete `subject` states otherwise. If the deployment signs features, only
    features with its signature are accepted, because it shows that their age was not changed.
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
