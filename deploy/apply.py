"""Apply a plan, one endpoint after the other.

The command can be repeated after a failure at any step: endpoints are found by name, so an existing one is never
created again, and those that call others come last, when the ids are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.api import Api, ApiError, LiveEndpoint, RateLimited, ServerFailed, Unreachable
from deploy.desired_state import DesiredEndpoint
from deploy.plan import Action, Kind, Plan, find_live, known_ids, make_plan


class ApplyBlocked(Exception):
    """The plan can't be applied; nothing was changed."""


@dataclass(frozen=True)
class Step:
    name: str
    endpoint_id: str
    done: Kind
    url: str | None = None
    """The base URL of a load-balancing endpoint."""


def apply(api: Api, desired: list[DesiredEndpoint], plan: Plan, report: Callable[[Step], None]) -> list[Step]:
    """Apply the plan. Raises `ApplyBlocked` before the first change, or the `ApiError` that ended it."""
    _check(plan)
    ids = known_ids(desired, tuple(action.live for action in plan.actions if action.live))
    steps = []
    for one in desired:
        action = _current_action(one, plan, ids)
        live = _perform(api, action, ids)
        ids[one.name] = live.id
        steps.append(Step(live.name, live.id, action.kind, live.http_url if live.load_balancer else None))
        report(steps[-1])
    return steps


def destroy(
    api: Api, desired: list[DesiredEndpoint], live: tuple[LiveEndpoint, ...], report: Callable[[str], None]
) -> None:
    """Delete the endpoints, those that call others first, so that no deleted endpoint is called."""
    for endpoint in to_delete(desired, live):
        api.delete(endpoint)
        report(endpoint.name)


def to_delete(desired: list[DesiredEndpoint], live: tuple[LiveEndpoint, ...]) -> list[LiveEndpoint]:
    return [endpoint for one in reversed(desired) for endpoint in find_live(one, live)]


def _check(plan: Plan) -> None:
    blocked = [f"{action.desired.body['name']}: {action.reason}" for action in plan.actions if action.reason]
    if blocked:
        raise ApplyBlocked("; ".join(blocked) + ".")
    if not plan.fits:
        raise ApplyBlocked(
            f"The file needs {plan.workers} workers, other endpoints of the account have {plan.workers_elsewhere}, "
            f"and the quota is {plan.quota}: lower `workers.max`, or pass the account's quota with --quota."
        )


def _current_action(one: DesiredEndpoint, plan: Plan, ids: dict[str, str]) -> Action:
    """The action of the plan; for an endpoint that calls others, recomputed with the ids of created endpoints."""
    [action] = [action for action in plan.actions if action.desired is one]
    if not one.pool_endpoints or action.live is None:
        return action
    return make_plan([DesiredEndpoint(one.name, one.spec, one.with_pool_ids(ids))], (action.live,), plan.quota).actions[
        0
    ]


def _perform(api: Api, action: Action, ids: dict[str, str]) -> LiveEndpoint:
    if action.live is None:
        return _create(api, action.desired, ids)
    return api.update(action.live, action.patch) if action.kind is Kind.UPDATE else action.live


def _create(api: Api, desired: DesiredEndpoint, ids: dict[str, str]) -> LiveEndpoint:
    body = {name: value for name, value in desired.with_pool_ids(ids).items() if value is not None}
    try:
        return api.create(body)
    except (Unreachable, ServerFailed, RateLimited) as error:
        return _find_created(api, desired, error)


def _find_created(api: Api, desired: DesiredEndpoint, error: ApiError) -> LiveEndpoint:
    """Look for an endpoint whose creation was not confirmed."""
    found = find_live(desired, api.endpoints())
    if len(found) == 1:
        return found[0]
    raise error
