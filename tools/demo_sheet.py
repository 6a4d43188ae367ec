"""Compose the README's picture from the demo's results in `out/`: the selfie, its avatar, and the chats with captions.

./demo && .venv/bin/python -m tools.demo_sheet docs/pictures/demo.png
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont

from tools.demo import CHATS, OUT

_SIDE = 300
_GAP = 24
_WORDS = 84
_PAPER, _INK, _QUIET = "#faf8f5", "#222222", "#777777"


def panels() -> list[tuple[Path, str, str]]:
    """File, title and caption of each picture."""
    made = [(next(iter(sorted((OUT / "selfies").glob("mara.*")))), "a selfie", "")]
    for task in ("profile/create", *CHATS):
        name = task.replace("/", "-")
        result = json.loads((OUT / f"{name}.json").read_text(encoding="utf-8"))
        made.append((OUT / f"{name}.{result['image_format']}", task, result.get("caption") or ""))
    return made


def main(path: Annotated[Path, typer.Argument(help="The file to write.")]) -> None:
    shown = panels()
    sheet = Image.new("RGB", (len(shown) * (_SIDE + _GAP) + _GAP, _SIDE + 2 * _GAP + _WORDS), _PAPER)
    draw = ImageDraw.Draw(sheet)
    label, words = ImageFont.load_default(15), ImageFont.load_default(14)
    for number, (file, what, caption) in enumerate(shown):
        left = _GAP + number * (_SIDE + _GAP)
        with Image.open(file) as picture:
            sheet.paste(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (left, _GAP))
        draw.text((left, _GAP + _SIDE + 8), what, font=label, fill=_QUIET)
        draw.multiline_text((left, _GAP + _SIDE + 30), textwrap.fill(caption, 42), font=words, fill=_INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    typer.run(main)
