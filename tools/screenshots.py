"""Take the playground's screenshots for the documentation: `python -m tools.screenshots URL SELFIE`.

    ./demo --open                                                         # serves a playground and prints its address
    .venv/bin/python -m tools.screenshots http://127.0.0.1:PORT out/selfies/…  # in another terminal

Needs a Chromium on the path. Pictures go to docs/pictures/, one for desktop and one for phones.

May import: playwright.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_STAGE_MS = 300_000
_SIZES: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    "playground": (1280, 900, "light"),
    "playground-dark": (1280, 900, "dark"),
    "playground-phone": (390, 844, "light"),
}


def main(
    url: Annotated[str, typer.Argument(help="The playground's address.")],
    selfie: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The selfie for the avatar.")],
) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        for name, (width, height, scheme) in _SIZES.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            _shoot(context.new_page(), url, selfie, PICTURES / f"{name}.png")
            context.close()
        browser.close()


def _shoot(page: Any, url: str, selfie: Path, target: Path) -> None:
    page.set_default_timeout(_STAGE_MS)
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    page.set_input_files("#selfie-file", str(selfie))
    page.click("#form-person button.primary")
    page.wait_for_selector("#outcome figure img")
    page.screenshot(path=str(target), full_page=True)
    print(target)


if __name__ == "__main__":
    typer.run(main)
