"""Commands in docs/deploy.md and README.md: requests declare their type, their bodies are valid, files exist."""

from __future__ import annotations

import itertools
import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from core.contracts import REQUESTS, read_request
from core.settings import ROOT, load_endpoints
from deploy.__main__ import app

PAGES = ("README.md", "docs/deploy.md", "docs/localpod.md")
TASKS = {f"/v1/{task}": task for task in REQUESTS}


def blocks(page: str) -> list[str]:
    return re.findall(r"^```(?:sh)?\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def curls(page: str) -> list[list[str]]:
    """Return the words of each curl command up to a pipe or redirection."""
    text = (ROOT / page).read_text(encoding="utf-8")
    flat = re.sub(r"\\\n\s*", " ", text)
    flat = re.sub(r"\n\s+(?=[\"{\[])", " ", flat)
    return [words for words in (_words(line) for line in flat.splitlines()) if words]


def _words(line: str) -> list[str]:
    if not line.startswith("curl "):
        return []
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>")
    lexer.whitespace_split = True
    words = list(lexer)
    return words[: next((at for at, word in enumerate(words) if word in ("|", ">")), len(words))]


def option(words: list[str], name: str) -> list[str]:
    return [value for flag, value in itertools.pairwise(words) if flag == name]


POSTS = [(page, words) for page in PAGES for words in curls(page) if "-d" in words]


def test_documentation_has_requests_with_bodies() -> None:
    assert {"README.md", "docs/deploy.md"} <= {page for page, _ in POSTS}


@pytest.mark.parametrize(("page", "words"), POSTS, ids=lambda value: value if isinstance(value, str) else "")
def test_each_documented_request_with_a_body_declares_json(page: str, words: list[str]) -> None:
    assert "Content-Type: application/json" in option(words, "-H"), page


@pytest.mark.parametrize(("page", "words"), POSTS, ids=lambda value: value if isinstance(value, str) else "")
def test_each_documented_request_body_is_accepted_by_the_service(page: str, words: list[str]) -> None:
    [text] = option(words, "-d")
    body = json.loads(text)
    if "input" in body:
        read_request(body["input"], REQUESTS)
        return
    [task] = {task for path, task in TASKS.items() if any(word.endswith(path) for word in words)}
    read_request({"task": task, **body}, REQUESTS)


@pytest.mark.parametrize("page", PAGES)
def test_named_endpoint_files_exist_and_load(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in set(re.findall(r"endpoints[\w-]*\.yaml", text)):
        assert load_endpoints(ROOT / name).endpoints


def test_documented_deploy_commands_and_options_exist() -> None:
    lines = [line for block in blocks("docs/deploy.md") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m deploy")]
    assert {command[0] for command in commands} == {"plan", "apply", "doctor", "destroy"}
    for name, *options in commands:
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        assert all(option in shown for option in options if option.startswith("--"))


def test_costs_name_disk_spend_limit_and_quota_by_balance() -> None:
    text = " ".join((ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").split())
    for fact in ("container disk", "$0.10", "$80 an hour", "10 from $100, 20 from $200"):
        assert fact in text
