"""The command `img-pod`: make an avatar, a picture of a chat, or pictures of a prompt.

Exit status: 0 success, 1 the service refused or failed, 2 wrong usage, 3 the service could not be reached, 130 Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
except ImportError:  # the library works without the command's packages
    sys.exit("The command needs more packages: pip install 'img-pod-client[cli]'")

from img_pod import ImgPod, Result
from img_pod.contracts import StageProgress
from img_pod.errors import ConnectionFailed, ImgPodError

app = typer.Typer(help="Avatar pictures from an img-pod deployment.", no_args_is_help=True)
out, err = Console(), Console(stderr=True)

Url = Annotated[str | None, typer.Option("--url", envvar="IMG_POD_URL", help="The HTTP API. Default: localpod.")]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", envvar="IMG_POD_ENDPOINT_ID", help="Use this RunPod endpoint's job API instead."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File of the picture.")]
Count = Annotated[int, typer.Option("-n", min=1, max=4, help="How many pictures.")]
Seed = Annotated[int | None, typer.Option(help="The same seed and prompt give the same picture.")]
Person = Annotated[Path | None, typer.Option(help="The features of a person, as `profile --features` wrote them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, without the picture's bytes.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait; then the job is cancelled.")]


@app.command()
def profile(
    selfie: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A picture of a face.")],
    output: Output = None,
    features: Annotated[Path | None, typer.Option(help="Write the person's features to this file.")] = None,
    style: Annotated[str | None, typer.Option(help="Style of the picture, such as `watercolour`.")] = None,
    n: Count = 1,
    seed: Seed = None,
    url: Url = None,
    endpoint: Endpoint = None,
    timeout: Timeout = 300.0,
    as_json: AsJson = False,
) -> None:
    """Make an avatar from a selfie."""
    fields = {"selfie": selfie, "style": style, "n": n, "seed": seed}
    result = _run(
        lambda client, report: client.profile.create(on_progress=report, **_set_fields(fields)), url, endpoint, timeout
    )
    if features is not None and result.features is not None:
        features.write_text(result.features.model_dump_json(exclude_none=True), encoding="utf-8")
    _finish(result, output or Path("avatar"), as_json=as_json)


@app.command()
def chat(
    message: Annotated[str, typer.Argument(help="The last message of the chat.")],
    route: Annotated[str, typer.Option(help="one_to_one, shorts or scenes.")] = "scenes",
    person: Person = None,
    output: Output = None,
    n: Count = 1,
    seed: Seed = None,
    url: Url = None,
    endpoint: Endpoint = None,
    timeout: Timeout = 300.0,
    as_json: AsJson = False,
) -> None:
    """Make a captioned picture from a chat message."""
    if route not in {"one_to_one", "shorts", "scenes"}:
        raise typer.BadParameter("must be one_to_one, shorts or scenes", param_hint="--route")
    messages = [{"role": "user", "content": message}]
    fields = {"messages": messages, "features": _features(person), "n": n, "seed": seed}
    result = _run(
        lambda client, report: getattr(client.chat, route)(on_progress=report, **_set_fields(fields)),
        url,
        endpoint,
        timeout,
    )
    _finish(result, output or Path("chat"), as_json=as_json)


@app.command()
def imagegen(
    prompt: Annotated[str, typer.Argument(help="What the picture shows.")],
    person: Person = None,
    output: Output = None,
    caption: Annotated[bool, typer.Option("--caption", help="Write a caption, too.")] = False,
    n: Count = 1,
    seed: Seed = None,
    url: Url = None,
    endpoint: Endpoint = None,
    timeout: Timeout = 300.0,
    as_json: AsJson = False,
) -> None:
    """Make pictures from a prompt."""
    fields = {"prompt": prompt, "features": _features(person), "caption": caption, "n": n, "seed": seed}
    result = _run(
        lambda client, report: client.imagegen(on_progress=report, **_set_fields(fields)), url, endpoint, timeout
    )
    _finish(result, output or Path("picture"), as_json=as_json)


def _run(
    call: Callable[[ImgPod, Callable[[StageProgress], None]], Result],
    url: str | None,
    endpoint: str | None,
    timeout: float,
) -> Result:
    """Run `call` with a progress bar on stderr and return its result; an error sets the exit status."""
    client = ImgPod.runpod(endpoint, timeout=timeout) if endpoint else ImgPod(url, timeout=timeout)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    try:
        with client, Progress(*columns, console=err, transient=True) as bars:
            bar = bars.add_task("waiting", total=100)
            return call(client, lambda report: bars.update(bar, description=report.stage, completed=report.percent))
    except ConnectionFailed as error:
        err.print(f"[red]{error.message}[/red] Is it running? `python -m localpod up` starts one on this machine.")
        raise typer.Exit(3) from None
    except ImgPodError as error:
        again = " Trying again may help." if error.retryable else ""
        err.print(f"[red]{error.code}[/red]: {error.message}{again}", highlight=False)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        err.print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(2) from None


def _set_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value is not False}


def _features(person: Path | None) -> Any:
    if person is None:
        return None
    try:
        return json.loads(person.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"can't be read: {error}", param_hint="--person") from None


def _finish(result: Result, base: Path, *, as_json: bool) -> None:
    saved = [str(picture.save(path)) for picture, path in zip(result.pictures, _paths(result, base), strict=True)]
    if as_json:
        plain = result.model_dump(mode="json", exclude={"image_base64": True, "images": {"__all__": {"image_base64"}}})
        out.print_json(data={**plain, "files": saved})
        return
    for path in saved:
        out.print(path, highlight=False)
    if result.caption:
        out.print(result.caption, highlight=False)


def _paths(result: Result, base: Path) -> list[Path]:
    """A path for each picture: the given name, numbered if there are several."""
    count = len(result.pictures)
    suffix = base.suffix or f".{result.image_format}"
    if count == 1:
        return [base.with_suffix(suffix)]
    return [base.with_name(f"{base.stem}-{number}").with_suffix(suffix) for number in range(1, count + 1)]


def main() -> None:
    app()


if __name__ == "__main__":
    main()
