"""`python -m localpod`: `up` and `run -- CMD` start a platform, `fault` and `state` control a running one."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from core.errors import Misconfigured
from core.settings import ROOT, EndpointSpec, Pool, load_endpoints
from localpod.client import AdminClient, Unreachable
from localpod.faults import MEANING, Fault, FaultKind
from localpod.options import Options
from localpod.pod import Localpod, PortInUse
from localpod.spec import LocalEndpoint, http_endpoint
from localpod.thread import LocalpodThread
from localpod.workers import WorkerTimes

app = typer.Typer(
    help="RunPod's endpoint API and worker protocol on this machine. A development tool with no real security.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

EndpointsFile = Annotated[Path, typer.Option("--endpoints", help="The list of endpoints.")]
Only = Annotated[str | None, typer.Option(help="Start these endpoints only, separated by commas.")]
ColdStart = Annotated[float, typer.Option(min=0, help="Delay each worker's start, s.")]
Key = Annotated[str | None, typer.Option(help="Accept this API key only. Unset: any key.")]
WorkerKey = Annotated[
    str | None,
    typer.Option(envvar="LOCALPOD_WORKER_KEY", help="The key of attached workers. Unset: a new one, which is printed."),
]
AllowHost = Annotated[list[str] | None, typer.Option(help="Accept this name in the Host header, besides loopback.")]
Warm = Annotated[bool, typer.Option("--warm", help="Keep at least one worker of each endpoint running.")]
Idle = Annotated[float | None, typer.Option(min=0.1, help="Idle timeout of every endpoint, s.")]
Logs = Annotated[bool, typer.Option("--logs", help="Show the workers' own output.")]
NoLimits = Annotated[bool, typer.Option("--no-limits", help="Don't apply the platform's rate limits.")]
ShareEnv = Annotated[list[str] | None, typer.Option(help="Let workers inherit this BUCKET_… or RUNPOD_… variable.")]
Http = Annotated[
    bool, typer.Option("--http/--no-http", help="Serve the HTTP API under /v1, if there is an orchestrator.")
]
HttpWithoutKey = Annotated[
    bool, typer.Option("--http-without-key", help="Accept HTTP API requests without a key, also beyond loopback.")
]
Attach = Annotated[
    str | None,
    typer.Option(help="Endpoints whose workers you start yourself, separated by commas."),
]
StateDir = Annotated[Path | None, typer.Option(help="Folder for the workers' logs. Unset: a new temporary folder.")]
HTTP_NAME = "http"
EXAMPLE = {"prompt": "a lighthouse at dusk"}
JSON_HEADER = "-H 'Content-Type: application/json'"
JOB_COUNTS = ("inQueue", "inProgress", "completed", "failed")
DEFAULT_URL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option(help="A running localpod.", envvar="LOCALPOD_URL")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CallKey = Annotated[str, typer.Option("--key", help="Its API key.")]


@app.command()
def up(  # noqa: PLR0913, PLR0917  # each is an option of the command
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 finds a free one.")] = 8000,
    endpoints: EndpointsFile = ROOT / "endpoints.yaml",
    only: Only = None,
    cold_start_s: ColdStart = 0.0,
    key: Key = None,
    worker_key: WorkerKey = None,
    allow_host: AllowHost = None,
    warm: Warm = False,  # noqa: FBT002  # an option, not an argument
    idle_timeout_s: Idle = None,
    logs: Logs = False,  # noqa: FBT002  # an option, not an argument
    no_limits: NoLimits = False,  # noqa: FBT002  # an option, not an argument
    share_env: ShareEnv = None,
    attach: Attach = None,
    http: Http = True,  # noqa: FBT002  # an option, not an argument
    http_without_key: HttpWithoutKey = False,  # noqa: FBT002  # an option, not an argument
    state_dir: StateDir = None,
) -> None:
    """Run the platform until Ctrl-C."""
    chosen = _load(endpoints, only)
    options = Options(
        host=host,
        port=port,
        key=key,
        worker_key=worker_key,
        allow_hosts=tuple(allow_host or ()),
        http_without_key=http_without_key,
        warm=warm,
        limits=not no_limits,
        idle_timeout_s=idle_timeout_s,
        times=WorkerTimes(cold_start_s=cold_start_s),
        share_env=tuple(share_env or ()),
        attach=_parse_names(chosen, attach or "", endpoints.name),
        state_dir=state_dir,
        echo=_echo if logs else None,
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)])
    try:
        asyncio.run(_serve(_with_http(chosen) if http else chosen, options))
    except PortInUse as error:
        _fail(str(error))
    except Misconfigured as error:
        _fail(error.message)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(  # noqa: PLR0913, PLR0917  # each is an option of the command
    context: typer.Context,
    endpoints: EndpointsFile = ROOT / "endpoints.yaml",
    only: Only = None,
    cold_start_s: ColdStart = 0.0,
    warm: Warm = False,  # noqa: FBT002  # an option, not an argument
    idle_timeout_s: Idle = None,
    logs: Logs = False,  # noqa: FBT002  # an option, not an argument
    share_env: ShareEnv = None,
    state_dir: StateDir = None,
) -> None:
    """Run a command against a new platform, with the environment set: `python -m localpod run -- CMD …`."""
    if not context.args:
        _fail("no command given; write it after `--`, for example: python -m localpod run -- python -m orchestrator")
    options = Options(
        warm=warm,
        idle_timeout_s=idle_timeout_s,
        times=WorkerTimes(cold_start_s=cold_start_s),
        share_env=tuple(share_env or ()),
        state_dir=state_dir,
        echo=_echo if logs else None,
    )
    with LocalpodThread(_load(endpoints, only), options) as pod:
        for name, reason in pod.wait_ready().items():
            err.print(f"[red]{name}:[/] {escape(reason)}", soft_wrap=True)
        code = _call(context.args, {**os.environ, **pod.environment()})
    raise typer.Exit(code)


@app.command()
def fault(  # noqa: PLR0913, PLR0917  # each is an option of the command
    kind: Annotated[FaultKind | None, typer.Argument(help="The kind of fault; see --kinds.")] = None,
    endpoint: Annotated[str, typer.Option(help="Name of the endpoint; * for all.")] = "*",
    operation: Annotated[
        str, typer.Option(help="client (all of a client's), run, status, job-take, job-done, …")
    ] = "client",
    task: Annotated[str | None, typer.Option(help="Only jobs with this task.")] = None,
    times: Annotated[int, typer.Option(min=0, help="Number of times; 0 for always.")] = 1,
    skip: Annotated[int, typer.Option(min=0, help="Number of matching requests that are not affected at first.")] = 0,
    delay_s: Annotated[float, typer.Option(help="Seconds, for kinds with a duration.")] = 1.0,
    status: Annotated[int, typer.Option(min=500, max=599, help="For server_error.")] = 503,
    retry_after_s: Annotated[float | None, typer.Option(min=0, help="For throttle.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the faults and how often each has fired.")] = False,  # noqa: FBT002  # an option
    clear: Annotated[bool, typer.Option("--clear", help="End all faults.")] = False,  # noqa: FBT002  # an option
    kinds: Annotated[bool, typer.Option("--kinds", help="Describe each kind.")] = False,  # noqa: FBT002  # an option
    url: Url = DEFAULT_URL,
    key: CallKey = "localpod",
    as_json: AsJson = False,  # noqa: FBT002  # an option, not an argument
) -> None:
    """Add a fault to a running localpod, or list or end its faults."""
    if kinds:
        _print_table(["kind", "effect"], [[name.value, text] for name, text in MEANING.items()])
        return
    if kind is None and not (list_ or clear):
        _fail("name a kind of fault (--kinds lists them), or use --list or --clear")
    new_fault = (
        None
        if kind is None
        else Fault(
            kind=kind,
            endpoint=endpoint,
            operation=operation,
            task=task,
            times=times or None,
            skip=skip,
            delay_s=delay_s,
            status=status,
            retry_after_s=retry_after_s,
        )
    )
    _print_faults(_query(url, key, lambda client: client.change_faults(new_fault, clear=clear)), as_json=as_json)


@app.command()
def state(url: Url = DEFAULT_URL, key: CallKey = "localpod", as_json: AsJson = False) -> None:  # noqa: FBT002  # an option
    """Show the endpoints, workers and faults of a running localpod."""
    current = _query(url, key, lambda client: client.state())
    if as_json:
        out.print_json(data=current)
        return
    _print_table(
        ["endpoint", "queued", "running", "completed", "failed", "workers"],
        [
            [
                name,
                *(str(one["jobs"][count]) for count in ("inQueue", "inProgress", "completed", "failed")),
                _workers_cell(one),
            ]
            for name, one in current["endpoints"].items()
        ],
    )
    _print_faults(current["faults"], as_json=False)


async def _serve(endpoints: Mapping[str, EndpointSpec | LocalEndpoint], options: Options) -> None:
    stopping = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    async with Localpod(endpoints, options) as pod:
        _print_startup(pod, options)
        await stopping.wait()
        err.print("stopping the workers …")


def _print_startup(pod: Localpod, options: Options) -> None:
    _print_table(["endpoint", "POST", "workers"], [_endpoint_row(pod, name) for name in pod.endpoints])
    if not options.on_loopback:
        err.print(f"[red]Listening on {options.host}: everyone who can reach this machine can run jobs on it.[/]")
    _print_line("\nA development tool without real security: every program on this machine can use it.", style="dim")
    _print_line(f"Workers' logs: {pod.state_dir}", style="dim")
    _print_line(f"export RUNPOD_ENDPOINT_BASE_URL={pod.base_url}")
    if pod.url != DEFAULT_URL:
        _print_line(f"export LOCALPOD_URL={pod.url}  # for `python -m localpod state` and `fault`")
    if options.attach:
        _print_line(f"export RUNPOD_AI_API_KEY={pod.worker_key}  # for the attached workers")
    for command in _examples(pod):
        _print_line(escape(command))


def _endpoint_row(pod: Localpod, name: str) -> list[str]:
    local = pod.endpoints[name]
    url = f"{pod.url}/lb/{name}/…" if local.load_balancer else f"{pod.base_url}/{name}/runsync"
    return [name, url, f"{local.scaler.min}–{local.scaler.max}"]


def _examples(pod: Localpod) -> list[str]:
    """Example requests: one to the job API, and one to the HTTP API if it is served."""
    queues = [name for name, local in pod.endpoints.items() if not local.load_balancer]
    key = f"-H 'Authorization: Bearer {pod.key}'"
    examples = []
    if queues:
        first = "orchestrator" if "orchestrator" in queues else queues[0]
        body = json.dumps({"input": {"task": "imagegen", **EXAMPLE}})
        examples.append(f"curl {pod.base_url}/{first}/runsync {key} {JSON_HEADER} -d {body!r}")
    if any(local.load_balancer for local in pod.endpoints.values()):
        auth = "" if pod.open_http else f"{key} "
        examples.append(f"curl {pod.url}/v1/imagegen {auth}{JSON_HEADER} -d {json.dumps(EXAMPLE)!r}")
    return examples


def _print_line(text: str, style: str | None = None) -> None:
    out.print(text, style=style, soft_wrap=True)


def _with_http(endpoints: Mapping[str, EndpointSpec]) -> dict[str, EndpointSpec | LocalEndpoint]:
    """The endpoints, with an HTTP API for an orchestrator that has only a queue.

    The HTTP API starts with the orchestrator's settings, so all pools must have an endpoint.
    """
    callers = [spec for spec in endpoints.values() if spec.calls_others]
    served = any(spec.type == "load_balancer" for spec in endpoints.values())
    complete = {pool for spec in endpoints.values() for pool in spec.pools} == set(Pool)
    if served or not callers or not complete or HTTP_NAME in endpoints:
        return {**endpoints}
    return {**endpoints, HTTP_NAME: http_endpoint(callers[0])}


def _load(path: Path, only: str | None) -> dict[str, EndpointSpec]:
    try:
        known = load_endpoints(path).endpoints
    except Misconfigured as error:
        _fail(error.message)
    return known if only is None else {name: known[name] for name in _parse_names(known, only, path.name)}


def _parse_names(known: Mapping[str, EndpointSpec], names: str, where: str) -> tuple[str, ...]:
    listed = tuple(name.strip() for name in names.split(",") if name.strip())
    if unknown := [name for name in listed if name not in known]:
        _fail(f"{where} has no endpoint {', '.join(unknown)}; it has {', '.join(known)}")
    return listed


def _call(command: list[str], env: dict[str, str]) -> int:
    """Run a command and return its exit code, or 128 + N if signal N ended it, as a shell does."""
    try:
        process = subprocess.Popen(command, env=env)  # noqa: S603  # the user's own command
    except OSError as error:
        _fail(f"{command[0]} can't be run: {error.strerror}")
    # Ctrl-C reaches the command directly, and localpod exits after it; a SIGTERM to localpod is passed on.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def _echo(endpoint: str, line: str) -> None:
    err.print(f"[cyan]{endpoint:>12}[/] {escape(line)}", soft_wrap=True)


def _query(url: str, key: str, question: Callable[[AdminClient], Any]) -> Any:
    try:
        with AdminClient(url, key) as client:
            return question(client)
    except Unreachable as error:
        _fail(str(error))


def _print_faults(faults: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        out.print_json(data=faults)
        return
    if not faults:
        out.print("no faults")
        return
    rows = [
        [str(one["id"]), one["kind"], one["endpoint"], one["operation"], one["task"] or "*", _fired_cell(one)]
        for one in faults
    ]
    _print_table(["id", "kind", "endpoint", "operation", "task", "fired"], rows)


def _fired_cell(fault: dict[str, Any]) -> str:
    return f"{fault['fired']} of {fault['times'] or 'always'}"


def _workers_cell(endpoint: dict[str, Any]) -> str:
    return (
        ", ".join(f"{count} {name}" for name, count in endpoint["workers"].items() if count and name != "ready") or "–"
    )


def _print_table(heads: list[str], rows: list[list[str]]) -> None:
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def _fail(message: str) -> NoReturn:
    err.print(f"[red]localpod:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    sys.exit(app())
