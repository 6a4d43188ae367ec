"""The playground in a real browser, over a service whose stages answer in-process."""

from __future__ import annotations

import base64
import io
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from core.images import Recipe, encode
from core.settings import Settings
from http_api.app import create_app
from orchestrator.endpoints import Call, StageAnswer
from orchestrator.service import Service
from tests.http_api import conftest as instant

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
settings = instant.settings
make_service = instant.make_service


class PictureEndpoints(instant.InstantEndpoints):
    """Stages that answer at once; pictures have the product's marks."""

    async def call(self, call: Call, deadline: Any, on_progress: Any = None) -> StageAnswer:
        answer = await super().call(call, deadline, on_progress)
        if call.stage == "generate":
            seed, prompt = int(call.payload.get("seed", 5)), str(call.payload["prompt"])
            answer.output.update(  # type: ignore[union-attr]
                image_base64=picture(seed, prompt), image_format="webp", width=256, height=256
            )
        if call.stage == "analyze":
            answer.output["face"]["box"] = [40, 30, 200, 220]  # type: ignore[index]
        return answer


def picture(seed: int, prompt: str) -> str:
    image = Image.new("RGB", (256, 256), ((seed * 53) % 255, 120, 160))
    recipe = Recipe(model="stand-in", revision="0", seed=seed, steps=8, policy_version="0", prompt=prompt)
    return base64.b64encode(encode(image, image_format="webp", recipe=recipe)).decode()


@pytest.fixture
def endpoints() -> PictureEndpoints:
    return PictureEndpoints()


@pytest.fixture
def selfie(tmp_path: Path) -> Path:
    file = tmp_path / "me.jpg"
    Image.new("RGB", (400, 500), (200, 160, 140)).save(file, "jpeg")
    return file


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def address(settings: Settings, make_service: Callable[[Settings], Service], tmp_path: Path) -> Iterator[str]:
    """The page's address."""
    results = tmp_path / "results"
    write_offered(results)
    own = instant.with_http(settings, results_folder=results)
    app = create_app(make_service(own), own)
    port = _free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def write_offered(folder: Path) -> None:
    """Write one result as `./demo` does."""
    folder.mkdir()
    (folder / "imagegen.webp").write_bytes(base64.b64decode(picture(99, "an offered lighthouse")))
    (folder / "imagegen.json").write_text(
        '{"task": "imagegen", "trace_id": "offered", "image_base64": "(in imagegen.webp)", "image_format": "webp",'
        ' "width": 256, "height": 256, "seed": 99, "caption": "An offered picture.", "prompt_used": "a lighthouse"}'
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for one file only: while Playwright runs, no asynchronous test can run in this process."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


class Watched:
    """A page with a record of everything that must not happen on it."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", lambda message: message.type in {"error", "warning"} and self.problems.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._check(request.url, address))

    def _check(self, url: str, address: str) -> None:
        if not url.startswith((address, "blob:", "data:")):
            self.problems.append(f"request to {url}")


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page = context.new_page()
    page.set_default_timeout(20_000)
    opened = Watched(page, address)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    yield opened
    context.close()


def downloaded(page: Any, click: Callable[[], None]) -> bytes:
    with page.expect_download() as waiting:
        click()
    return Path(waiting.value.path()).read_bytes()


def is_webp(data: bytes) -> bool:
    return Image.open(io.BytesIO(data)).format == "WEBP"
