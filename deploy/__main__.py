"""Command `python -m deploy`: manage endpoints on RunPod from `endpoints.yaml`.

    python -m deploy plan --registry ghcr.io/you     show what would change and what it may cost
    python -m deploy apply --registry ghcr.io/you    create and update; the same command continues after a failure
    python -m deploy doctor --registry ghcr.io/you   check the endpoints, and send one request through each route
    python -m deploy destroy                         delete them

The key comes from RUNPOD_API_KEY and is never printed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from core.errors import Misconfigured
from core.settings import ROOT, PlatformSettings, load_endpoints
from core.version import VERSION
from deploy import apply as applying
from deploy.api import BASE_URL, Api, ApiError, LiveEndpoint
from deploy.desired_state import DesiredEndpoint, Images, desired_endpoints
from deploy.doctor import Finding, Level, diagnose
from deploy.plan import FIRST_QUOTA, Action, Change, Kind, Plan, find_live, make_plan
from deploy.smoke import Smoke, run_http_smoke_tests, run_smoke_tests

app = typer.Typer(
    help="Endpoints on RunPod, from `endpoints.yaml`. The key comes from RUNPOD_API_KEY.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, soft_wrap=True)
_MARKS = {Kind.CREATE: "[green]+[/]", Kind.UPDATE: "[yellow]~[/]", Kind.KEEP: " ", Kind.BLOCKED: "[red]![/]"}


EndpointsFile = Annotated[Path, typer.Option("--endpoints", help="The list of endpoints.")]
Registry = Annotated[
    str,
    typer.Option(help="Registry of the images, such as ghcr.io/you.", envvar="IMG_POD_REGISTRY", show_default=False),
]
Tag = Annotated[str, typer.Option(help="Tag of the images; not `latest`.")]
Credential = Annotated[str | None, typer.Option(help="Id of RunPod's credential for a private registry.")]
Prefix = Annotated[str, typer.Option(help="First part of the endpoints' names, such as img-pod-staging.")]
Quota = Annotated[int, typer.Option(min=1, help="Worker quota of the account, over all its endpoints.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ApiUrl = Annotated[str, typer.Option("--api", help="The management API.", hidden=True)]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]

DEFAULT_FILE = ROOT / "endpoints.yaml"


@dataclass(frozen=True)
class Session:
    api: Api
    desired: list[DesiredEndpoint]
    key: str


@contextmanager
def _session(
    url: str, file: Path, prefix: str, registry: str = "", tag: str = "none", credential: str | None = None
) -> Iterator[Session]:
    """Context of every command; an error ends the command with one sentence on stderr."""
    try:
        key = PlatformSettings().key_that("has write access to serverless endpoints")
        with Api(key, url) as api:
            images = Images(registry, tag, credential)
            yield Session(api, desired_endpoints(load_endpoints(file), images, prefix), key)
    except (Misconfigured, ApiError, applying.ApplyBlocked) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def plan(
    registry: Registry,
    tag: Tag = VERSION,
    endpoints: EndpointsFile = DEFAULT_FILE,
    credential: Credential = None,
    prefix: Prefix = "img-pod",
    quota: Quota = FIRST_QUOTA,
    as_json: AsJson = False,
    api: ApiUrl = BASE_URL,
) -> None:
    """Show what would change, what it may cost, and whether the worker quota allows it."""
    with _session(api, endpoints, prefix, registry, tag, credential) as session:
        made = make_plan(session.desired, session.api.endpoints(), quota)
    _print_plan(made, as_json=as_json)
    if not made.fits or any(action.reason for action in made.actions):
        raise typer.Exit(1)


@app.command()
def apply(
    registry: Registry,
    tag: Tag = VERSION,
    endpoints: EndpointsFile = DEFAULT_FILE,
    credential: Credential = None,
    prefix: Prefix = "img-pod",
    quota: Quota = FIRST_QUOTA,
    yes: Yes = False,
    as_json: AsJson = False,
    api: ApiUrl = BASE_URL,
) -> None:
    """Create and update the endpoints of the file. Run it again after a failure: it continues."""
    with _session(api, endpoints, prefix, registry, tag, credential) as session:
        made = make_plan(session.desired, session.api.endpoints(), quota)
        if not as_json:
            _print_plan(made, as_json=False)
        if made.changes_something and not yes:
            typer.confirm("Apply these changes?", abort=True, err=True)
        say: Callable[[str], None] = (lambda _: None) if as_json else lambda line: console.print(escape(line))
        steps = applying.apply(session.api, session.desired, made, lambda step: say(_step_line(step)))
    if as_json:
        typer.echo(json.dumps({"endpoints": [asdict(step) for step in steps]}, indent=2))


@app.command()
def destroy(
    endpoints: EndpointsFile = DEFAULT_FILE,
    prefix: Prefix = "img-pod",
    yes: Yes = False,
    as_json: AsJson = False,
    api: ApiUrl = BASE_URL,
) -> None:
    """Delete the endpoints of the file, with their queued and running jobs."""
    with _session(api, endpoints, prefix) as session:
        live = session.api.endpoints()
        names = [f"{endpoint.name} ({endpoint.id})" for endpoint in applying.to_delete(session.desired, live)]
        if names and not yes:
            typer.confirm(f"Delete {', '.join(names)}, and their jobs?", abort=True, err=True)
        removed: list[str] = []
        applying.destroy(session.api, session.desired, live, removed.append)
    typer.echo(json.dumps({"removed": removed}) if as_json else f"Removed {', '.join(removed) or 'nothing'}.")


@app.command()
def doctor(
    registry: Registry,
    tag: Tag = VERSION,
    endpoints: EndpointsFile = DEFAULT_FILE,
    credential: Credential = None,
    prefix: Prefix = "img-pod",
    smoke: Annotated[bool, typer.Option(help="Send one request through each route; six pictures.")] = True,
    as_json: AsJson = False,
    api: ApiUrl = BASE_URL,
) -> None:
    """Check the live endpoints, and say how to correct what is wrong."""
    with _session(api, endpoints, prefix, registry, tag, credential) as session:
        findings = diagnose(session.api, session.desired)
        tried = _smoke(session, as_json=as_json) if smoke and not _no_endpoint_to_call(findings) else []
    if as_json:
        found = {"findings": [asdict(finding) for finding in findings], "smoke": [asdict(one) for one in tried]}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_findings(findings)
    if any(finding.level is Level.ERROR for finding in findings) or not all(one.ok for one in tried):
        raise typer.Exit(1)


def _no_endpoint_to_call(findings: list[Finding]) -> bool:
    """Whether a request can only fail: the key is refused, or an endpoint doesn't exist."""
    return any(finding.endpoint is None or finding.what == "doesn't exist" for finding in findings)


def _smoke(session: Session, *, as_json: bool) -> list[Smoke]:
    live = session.api.endpoints()
    callers = [found[0] for one in session.desired if one.pool_endpoints and (found := find_live(one, live))]
    report: Callable[[Smoke], None] = (lambda _: None) if as_json else _print_smoke
    return [result for endpoint in callers for result in _smoke_of(endpoint, session.key, report)]


def _smoke_of(endpoint: LiveEndpoint, key: str, report: Callable[[Smoke], None]) -> list[Smoke]:
    if endpoint.load_balancer:
        return run_http_smoke_tests(endpoint.http_url, key, report=report)
    return run_smoke_tests(PlatformSettings().endpoint_base_url, key, endpoint.id, report=report)


def _print_plan(made: Plan, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_plan_json(made), indent=2, ensure_ascii=False))
        return
    for action in made.actions:
        _print_action(action)
    worst, idle = made.worst_case_usd_per_hour(), made.idle_usd_per_hour()
    console.print(
        f"Workers: {made.workers} here, {made.workers_elsewhere} in the account's other endpoints, quota {made.quota}"
        + ("" if made.fits else " [red](too many)[/]")
    )
    console.print(f"Worst case {_usd(worst)} an hour, with every worker busy; {_usd(idle)} with no request.")


def _step_line(step: applying.Step) -> str:
    return ", ".join(part for part in (f"{step.name}: {step.done}", step.endpoint_id, step.url) if part)


def _print_action(action: Action) -> None:
    where = f" ({action.live.id})" if action.live else ""
    console.print(f"{_MARKS[action.kind]} {action.desired.body['name']}{where}: {action.reason or action.kind}")
    for change in action.changes:
        console.print(f"    {change.field}: {escape(_change_text(change))}")


def _change_text(change: Change) -> str:
    if change.field == "env":
        return ", ".join(change.new)
    return f"{change.old} → {change.new}" if change.old is not None else str(change.new)


def _plan_json(made: Plan) -> dict[str, Any]:
    actions = [
        {
            "name": action.desired.body["name"],
            "kind": action.kind,
            "endpoint_id": action.live.id if action.live else None,
            "changes": [asdict(change) for change in action.changes],
            "reason": action.reason or None,
        }
        for action in made.actions
    ]
    return {
        "actions": actions,
        "workers": made.workers,
        "workers_elsewhere": made.workers_elsewhere,
        "quota": made.quota,
        "fits": made.fits,
        "worst_case_usd_per_hour": made.worst_case_usd_per_hour(),
        "idle_usd_per_hour": made.idle_usd_per_hour(),
    }


def _usd(figure: float | None) -> str:
    return "unknown (a `price_per_s` is missing)" if figure is None else f"${figure:.2f}"


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        colour = "red" if finding.level is Level.ERROR else "yellow"
        where = f"{finding.endpoint}: " if finding.endpoint else ""
        console.print(
            f"[{colour}]{finding.level}[/] {escape(where + finding.what)}. {escape(_capitalised(finding.do))}"
        )
    if not findings:
        console.print("[green]Nothing is wrong.[/]")


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def _print_smoke(one: Smoke) -> None:
    mark = "[green]ok[/]" if one.ok else "[red]failed[/]"
    console.print(f"{mark} {one.route} in {one.seconds:.1f} s: {escape(one.detail)}")


if __name__ == "__main__":
    app()
