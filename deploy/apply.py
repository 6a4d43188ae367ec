"""Makes RunPod what the plan says, one endpoint after the other.

Every step leaves a state from which the same command goes on: endpoints are found by name, so one that exists is never
created again, and those that call others come last, when the others' ids are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.api import Api, ApiError, LiveEndpoint, RateLimited, ServerFailed, Unreachable
from deploy.desired_state import Wanted
from deploy.plan import Action, Kind, Plan, known_ids, make_plan, named


class Stopped(Exception):
    """Something has to be decided by a person first; nothing was changed."""


@dataclass(frozen=True)
class Step:
    name: str
    endpoint_id: str
    done: Kind


def apply(api: Api, wanted: list[Wanted], plan: Plan, report: Callable[[Step], None]) -> list[Step]:
    """Raises `Stopped` before anything is changed, or the `ApiError` at which it ended."""
    _check(plan)
    ids = known_ids(wanted, tuple(action.live for action in plan.actions if action.live))
    steps = []
    for one in wanted:
        action = _again(one, plan, ids)
        live = _perform(api, action, ids)
        ids[one.name] = live.id
        steps.append(Step(live.name, live.id, action.kind))
        report(steps[-1])
    return steps


def destroy(api: Api, wanted: list[Wanted], live: tuple[LiveEndpoint, ...], report: Callable[[str], None]) -> None:
    """Callers of others go first, so that nothing calls an endpoint that is gone."""
    for endpoint in doomed(wanted, live):
        api.delete(endpoint)
        report(endpoint.name)


def doomed(wanted: list[Wanted], live: tuple[LiveEndpoint, ...]) -> list[LiveEndpoint]:
    return [endpoint for one in reversed(wanted) for endpoint in named(one, live)]


def _check(plan: Plan) -> None:
    blocked = [f"{action.wanted.body['name']}: {action.reason}" for action in plan.actions if action.reason]
    if blocked:
        raise Stopped("; ".join(blocked) + ".")
    if not plan.fits:
        raise Stopped(
            f"The file asks for {plan.workers} workers, other endpoints of the account have {plan.workers_elsewhere}, "
            f"and the quota is {plan.quota}: lower `workers.max`, or give the account's own quota with --quota."
        )


def _again(one: Wanted, plan: Plan, ids: dict[str, str]) -> Action:
    """The plan's action; of an endpoint that calls others, made again now that their ids are known."""
    [action] = [action for action in plan.actions if action.wanted is one]
    if not one.wired_to or action.live is None:
        return action
    return make_plan([Wanted(one.name, one.spec, one.wired(ids))], (action.live,), plan.quota).actions[0]


def _perform(api: Api, action: Action, ids: dict[str, str]) -> LiveEndpoint:
    if action.live is None:
        return _create(api, action.wanted, ids)
    return api.update(action.live, action.patch) if action.kind is Kind.UPDATE else action.live


def _create(api: Api, wanted: Wanted, ids: dict[str, str]) -> LiveEndpoint:
    body = {name: value for name, value in wanted.wired(ids).items() if value is not None}
    try:
        return api.create(body)
    except (Unreachable, ServerFailed, RateLimited) as error:
        return _if_it_was_made(api, wanted, error)


def _if_it_was_made(api: Api, wanted: Wanted, error: ApiError) -> LiveEndpoint:
    """The answer got lost, the endpoint perhaps not."""
    found = named(wanted, api.endpoints())
    if len(found) == 1:
        return found[0]
    raise error
