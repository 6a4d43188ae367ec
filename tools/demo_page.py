"""The demo's HTML page: every result with its picture, texts and stages. It has no scripts and loads no other files."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; color: #222;
       background: #faf8f5 }
h1 { font-size: 1.5rem } h2 { font: 600 1rem ui-monospace, monospace; color: #555; margin: 0 0 .75rem }
section { display: grid; grid-template-columns: 16rem 1fr; gap: 1.5rem; background: #fff; border: 1px solid #e6e0d8;
          border-radius: 12px; padding: 1.25rem; margin: 1.25rem 0 }
img { width: 100%; border-radius: 8px; display: block } figure { margin: 0 0 .75rem }
figcaption { font-style: italic; margin-top: .5rem } .said { color: #555; margin: .2rem 0 }
.prompt { background: #f4f1ec; border-radius: 8px; padding: .5rem .75rem }
table { border-collapse: collapse; font-size: .85rem } td, th { text-align: left; padding: .15rem .9rem .15rem 0 }
.failed { color: #a02020 } @media (max-width: 40rem) { section { grid-template-columns: 1fr } }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    task: str
    wall_s: float
    output: dict[str, Any] | None
    error: str | None
    messages: list[dict[str, str]]


def write_page(path: Path, results: list[Shown], selfie: str) -> None:
    """Write the page. `selfie` is the path of its file, relative to the page."""
    sections = "\n".join(_section(result, selfie) for result in results)
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>img-pod: results of the demo</title><style>{_STYLE}</style>"
        f"<h1>Results of one selfie and three chats</h1>\n{sections}\n</html>\n",
        encoding="utf-8",
    )


def _section(result: Shown, selfie: str) -> str:
    head = f"<h2>{escape(result.task)} · {result.wall_s:.1f} s</h2>"
    messages = "".join(
        f"<p class=said><b>{escape(message['role'])}</b> {escape(message['content'])}</p>"
        for message in result.messages
    )
    if result.output is None:
        return (
            f"<section><div></div><div>{head}{messages}<p class=failed>{escape(result.error or '')}</p></div></section>"
        )
    output = result.output
    name = f"{result.task.replace('/', '-')}.{output['image_format']}"
    given = f"<figure><img src='{escape(selfie)}' alt='the selfie'></figure>" if result.task == "profile/create" else ""
    source = escape(output.get("image_url") or name)
    caption = f"<figcaption>{escape(output['caption'])}</figcaption>" if output.get("caption") else ""
    picture = f"<figure><img src='{source}' alt='{escape(result.task)}'>{caption}</figure>"
    prompt = f"<p class=prompt>{escape(output['prompt_used'])}</p>"
    return (
        f"<section><div>{given}{picture}</div>"
        f"<div>{head}{messages}{prompt}{_features(output)}{_stages(output)}{_degraded(output)}</div></section>"
    )


def _features(output: dict[str, Any]) -> str:
    if not (features := output.get("features")):
        return ""
    confidence = features.get("confidence", {})
    cells = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}<td>{escape(value.replace('_', ' '))}<td>{confidence[name]:.0%}"
        for name, value in features.items()
        if name in confidence
    )
    face = output["face"]
    quality = f"face found, quality {face['quality_score']:.2f}" if face["detected"] else "no face found"
    return f"<table><tr><th>feature<th>read as<th>confidence{cells}</table><p>{quality}</p>"


def _stages(output: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(record['stage'])}<td>{escape(record['endpoint_id'])}"
        f"<td>{record['queue_ms']} ms<td>{record['device_ms']} ms<td>{record['wall_ms']} ms"
        for record in output["timeline"]
    )
    return f"<table><tr><th>stage<th>endpoint<th>queued<th>device<th>whole{rows}</table>"


def _degraded(output: dict[str, Any]) -> str:
    return "".join(
        f"<p class=failed>{escape(item['stage'])}: {escape(item['reason'])}, {escape(item['fallback'])} instead</p>"
        for item in output["degraded"]
    )
