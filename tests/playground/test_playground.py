"""The playground's three tasks, gallery and recipes, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

from http_api.playground import STATIC
from tests.playground.conftest import PictureEndpoints, Watched, downloaded, is_webp

MAX_BYTES = 100_000


def make_avatar(page: Any, selfie: Path) -> None:
    page.set_input_files("#selfie-file", str(selfie))
    page.wait_for_selector("#selfie-preview:not([hidden])")
    page.click("#form-person button.primary")
    page.wait_for_selector("#outcome figure img")


def test_avatar_of_a_selfie_keeps_its_person_in_a_chat(
    watched: Watched, selfie: Path, endpoints: PictureEndpoints
) -> None:
    page = watched.page
    make_avatar(page, selfie)
    page.wait_for_selector("#features-box:not([hidden])")
    page.select_option("#feature-hair_color", "red")

    page.click("text=Use this person in a chat")
    page.fill("#message", "Show us at the beach!")
    page.click("#form-chat button.primary")
    page.wait_for_selector("#outcome .caption")

    expand = next(call for call in endpoints.calls if call.stage == "expand")
    assert expand.payload["features"]["hair_color"] == "red"
    assert expand.payload["messages"][0]["content"] == "Show us at the beach!"
    assert "lighthouse" in page.inner_text("#outcome .caption")
    assert page.locator("#outcome .track").count() == 3
    assert watched.problems == []


def test_selfie_is_reduced_and_never_stored(watched: Watched, selfie: Path, endpoints: PictureEndpoints) -> None:
    page = watched.page
    make_avatar(page, selfie)

    stored = page.evaluate(
        """async () => {
          const { all } = await import('/playground/store.js');
          const entries = await all();
          return JSON.stringify(entries.map(({ blob, ...facts }) => facts));
        }"""
    )

    sent = next(call for call in endpoints.calls if call.stage == "analyze").payload["selfie"]
    assert sent[:40] not in stored
    assert '"selfie"' not in stored


def test_cancel_stops_the_request_and_its_jobs(watched: Watched, endpoints: PictureEndpoints) -> None:
    page = watched.page
    endpoints.hold.clear()
    page.click("#tab-prompt")
    page.fill("#prompt", "a lighthouse at dusk")
    page.click("#form-prompt button.primary")
    page.wait_for_selector("#working:not([hidden])")
    page.wait_for_selector("#stages [data-stage=generate]")

    page.click("#cancel")
    page.wait_for_selector("text=Cancelled. The job was stopped.")

    page.wait_for_function("() => document.querySelector('#working').hidden")
    page.wait_for_timeout(50)
    assert endpoints.cancelled == 1
    assert watched.problems == []


def test_several_pictures_of_one_request_are_shown_and_kept(watched: Watched) -> None:
    page = watched.page
    page.click("#tab-prompt")
    page.fill("#prompt", "a lighthouse at dusk")
    page.fill("#act-prompt [name=n]", "3")
    page.fill("#act-prompt [name=seed]", "7")
    page.click("#form-prompt button.primary")
    page.wait_for_selector("#outcome figure >> nth=2")

    assert "seed 9" in page.inner_text("#outcome figure >> nth=2")
    page.click("#tab-gallery")
    page.wait_for_selector(".card >> nth=3")
    assert page.locator(".card").count() == 4
    assert watched.problems == []


def test_download_keeps_the_marks_and_a_dropped_file_restores_its_recipe(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.click("#tab-prompt")
    page.fill("#prompt", "a lighthouse at dusk")
    page.fill("#act-prompt [name=seed]", "41")
    page.click("#form-prompt button.primary")
    page.wait_for_selector("#outcome figure img")
    data = downloaded(page, lambda: page.click("text=Download"))
    file = tmp_path / "picture.webp"
    file.write_bytes(data)
    assert is_webp(data)

    page.fill("#prompt", "")
    page.fill("#act-prompt [name=seed]", "")
    page.click("#tab-gallery")
    page.set_input_files("#recall-file", str(file))
    page.wait_for_selector("#recipe[open]")
    assert "41" in page.inner_text("#recipe-body")

    page.click("#recipe-all")
    assert page.input_value("#prompt") == "a lighthouse at dusk"
    assert page.input_value("#act-prompt [name=seed]") == "41"

    page.click("#tab-gallery")
    page.set_input_files("#recall-file", [])
    page.set_input_files("#recall-file", str(file))
    page.click("#recipe-remix")
    assert page.input_value("#act-prompt [name=seed]") == ""
    assert watched.problems == []


def test_picture_without_a_recipe_is_reported(watched: Watched, selfie: Path) -> None:
    page = watched.page
    page.click("#tab-gallery")
    page.set_input_files("#recall-file", str(selfie))
    page.wait_for_selector("#recipe[open]")

    assert "no recipe" in page.inner_text("#recipe-body")
    assert page.is_disabled("#recipe-all")


def test_gallery_is_searched_compared_and_deleted(watched: Watched) -> None:
    page = watched.page
    for prompt in ("a red boat", "a green hill"):
        page.click("#tab-prompt")
        page.fill("#prompt", prompt)
        page.click("#form-prompt button.primary")
        page.wait_for_selector("#outcome figure img")
        page.wait_for_function("() => document.querySelector('#working').hidden")
    page.click("#tab-gallery")
    page.wait_for_selector(".card >> nth=2")

    page.fill("#search", "boat")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 1")
    page.fill("#search", "")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 3")

    page.check(".card >> nth=0 >> input")
    page.check(".card >> nth=1 >> input")
    page.click("#compare")
    page.wait_for_selector("#compare-box[open]")
    page.click("#compare-close")

    page.click(".card >> nth=0 >> text=Delete")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 2")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#delete-all")
    page.wait_for_selector("text=No pictures yet.")
    assert watched.problems == []


def test_results_of_the_demo_are_in_the_gallery(watched: Watched) -> None:
    watched.page.click("#tab-gallery")
    watched.page.wait_for_selector("text=An offered picture.")

    assert watched.problems == []


def test_refusal_names_its_rules_and_what_to_change(watched: Watched) -> None:
    page = watched.page
    page.click("#tab-prompt")
    page.fill("#prompt", "a nude child")
    page.click("#form-prompt button.primary")
    page.wait_for_selector("#outcome .error")

    text = page.inner_text("#outcome .error")
    assert "Rules:" in text
    assert "Change what the request asks for" in text


def test_request_is_copied_as_curl_and_as_python(watched: Watched) -> None:
    page = watched.page
    page.click("#tab-prompt")
    page.fill("#prompt", "it's a lighthouse")
    page.click("#form-prompt button.primary")
    page.wait_for_selector("text=Copy as curl")

    page.click("text=Copy as curl")
    curl = page.evaluate("() => navigator.clipboard.readText()")
    page.click("text=Copy as Python")
    python = page.evaluate("() => navigator.clipboard.readText()")

    assert curl.startswith("curl -s http://127.0.0.1")
    assert "'\\''" in curl
    compile(python, "copied", "exec")
    assert "client.imagegen(" in python


def test_bounds_of_inputs_come_from_the_api_description(watched: Watched, address: str) -> None:
    n = httpx.get(f"{address}/openapi.json").json()["components"]["schemas"]["ImageGen"]["properties"]["n"]

    shown = watched.page.locator("#act-prompt [name=n]")

    assert (shown.get_attribute("min"), shown.get_attribute("max")) == (str(n["minimum"]), str(n["maximum"]))


def test_page_is_usable_with_the_keyboard(watched: Watched) -> None:
    page = watched.page
    page.focus("#tab-person")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-prompt", "aria-selected") == "true"

    page.focus("#prompt")
    page.keyboard.type("a lighthouse")
    page.focus("#form-prompt button.primary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#outcome figure img")

    assert "ready" in page.inner_text("#live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", ["person", "chat", "prompt", "gallery"])
def test_accessibility_checker_finds_nothing_serious(watched: Watched, tab: str, scheme: str) -> None:
    page = watched.page
    page.emulate_media(color_scheme=scheme)
    page.click(f"#tab-{tab}")

    found = Axe().run(page).response["violations"]

    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}] == []


def test_page_does_not_overflow_on_a_phone(watched: Watched) -> None:
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})

    for tab in ("person", "chat", "prompt", "gallery"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), tab


def test_page_is_small_and_blocks_scripts_of_other_origins(address: str) -> None:
    policy = httpx.get(address).headers["content-security-policy"]

    assert sum(file.stat().st_size for file in STATIC.iterdir()) < MAX_BYTES
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_path_traversal_out_of_the_playground_files_is_refused(address: str) -> None:
    for path in ("/playground/..%2fapp.py", "/playground/offered/..%2f..%2fx", "/playground/none.js"):
        assert httpx.get(f"{address}{path}").status_code == 404
