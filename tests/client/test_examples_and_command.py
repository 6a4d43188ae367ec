"""Each example and each command of `img-pod` runs against the HTTP API itself."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
from img_pod.cli import app
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from core.settings import ROOT
from tests.client.test_client_parts import SECRET, signed
from tests.playground import conftest as page

settings = page.settings
make_service = page.make_service
endpoints = page.endpoints
address = page.address
selfie = page.selfie


@pytest.fixture(autouse=True)
def place(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a temporary folder, which the examples write to."""
    monkeypatch.setenv("IMG_POD_URL", address)
    monkeypatch.delenv("RUNPOD_API_KEY")
    monkeypatch.delenv("IMG_POD_ENDPOINT_ID", raising=False)
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_example(name: str, *arguments: str) -> None:
    main: Callable[..., Any] = example(name).main
    if inspect.iscoroutinefunction(main):
        anyio.run(main, *arguments)
    else:
        main(*arguments)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image


def test_every_example_has_a_test() -> None:
    text = Path(__file__).read_text()

    assert [file.stem for file in (ROOT / "examples").glob("*.py") if f'"{file.stem}"' not in text] == []


def test_avatar_example_saves_a_picture(selfie: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("avatar", str(selfie))

    assert opened(place / "avatar.webp").size == (256, 256)
    assert "age_band 25_34" in capsys.readouterr().out


def test_chat_example_keeps_its_person(selfie: Path, place: Path, endpoints: page.PictureEndpoints) -> None:
    run_example("chat_same_person", str(selfie))

    expanded = [call.payload for call in endpoints.calls if call.stage == "expand"]
    assert len(list(place.glob("chat-*.webp"))) == 3
    assert [len(payload["messages"]) for payload in expanded] == [1, 3, 5]
    assert {payload["features"]["age_band"] for payload in expanded} == {"25_34"}


def test_batch_example_processes_a_folder(selfie: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = selfie.parent / "selfies"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(selfie.read_bytes())

    run_example("batch_selfies", str(folder))

    assert len(list(folder.glob("*.avatar.webp"))) == 10
    assert capsys.readouterr().out.count("avatar.webp") == 10


def test_progress_example_prints_progress(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("progress", "a lighthouse at dusk")

    assert (place / "picture.webp").is_file()
    assert "generate" in capsys.readouterr().out


def test_webhook_application_takes_signed_results_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG_POD_WEBHOOK_SECRET", SECRET)
    module = example("webhook_app")
    body = '{"type": "picture.completed"}'

    with TestClient(module.app) as client:
        good = client.post("/img-pod", content=body, headers=signed(body))
        bad = client.post("/img-pod", content=body, headers=signed("{}"))

    assert (good.status_code, bad.status_code) == (200, 401)
    assert module.received == [{"type": "picture.completed"}]


def img_pod(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_profile_writes_the_avatar_and_the_features(selfie: Path, place: Path) -> None:
    done = img_pod("profile", str(selfie), "-o", "avatar.webp", "--features", "me.json")

    assert done.exit_code == 0, done.output
    assert opened(place / "avatar.webp").format == "WEBP"
    assert json.loads((place / "me.json").read_text())["age_band"] == "25_34"


def test_chat_draws_the_person_of_a_file(place: Path, endpoints: page.PictureEndpoints) -> None:
    (place / "me.json").write_text('{"hair_color": "red"}')

    done = img_pod("chat", "a walk on the beach", "--person", "me.json", "-o", "walk.webp")

    assert done.exit_code == 0, done.output
    assert endpoints.calls[0].payload["features"]["hair_color"] == "red"
    assert "lighthouse" in done.output


def test_several_pictures_are_numbered_and_json_has_no_bytes(place: Path) -> None:
    done = img_pod("imagegen", "a lighthouse", "-n", "3", "--seed", "5", "--json")

    # The service runs in this process and logs to the same stream.
    result, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{\n") :])
    assert sorted(file.name for file in place.glob("*.webp")) == [f"picture-{n}.webp" for n in (1, 2, 3)]
    assert "image_base64" not in result
    assert result["files"] == ["picture-1.webp", "picture-2.webp", "picture-3.webp"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("imagegen", "a nude child"), 1, "policy_blocked"),
        (("imagegen", "a lighthouse", "--url", "http://127.0.0.1:9"), 3, "Is it running?"),
        (("imagegen", "a lighthouse", "--person", "none.json"), 2, "--person"),
        (("chat", "hello", "--route", "sideways"), 2, "--route"),
        (("profile", "none.jpg"), 2, "none.jpg"),
    ],
)
def test_failure_has_its_exit_status_and_one_sentence(arguments: tuple[str, ...], code: int, said: str) -> None:
    done = img_pod(*arguments)

    sentence = " ".join(done.output.split())  # it is wrapped at the width of the terminal
    assert (done.exit_code, said in sentence) == (code, True), done.output
