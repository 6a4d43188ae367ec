"""Captions are safe for every reader; refusals are counted and logged with hashes, never with words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.texts import HARD, LOOKALIKES
from core.contracts import Route
from core.errors import PolicyBlocked
from core.policy import Audit, audit, check, configure_audit, safe_caption
from core.policy.engine import MAX_TEXT_CHARS


@pytest.mark.parametrize(
    "caption",
    [
        "A nude woman by the window",
        "A sexy dancer",
        "A woman in lingerie behind a curtain",
        "Taylor Swift naked",
        "a" * (MAX_TEXT_CHARS + 1),
        *(text for _, text in HARD),
    ],
)
def test_sexual_caption_is_not_safe(caption: str) -> None:
    assert safe_caption(caption) is False


@pytest.mark.parametrize(
    "caption", ["", "A child with a kite on a beach.", "A girl reading at a window.", "a" * MAX_TEXT_CHARS, *LOOKALIKES]
)
def test_plain_caption_is_safe(caption: str) -> None:
    assert safe_caption(caption) is True


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def refuse(text: str, route: Route = Route.SHORTS) -> None:
    with pytest.raises(PolicyBlocked):
        check([text, "and more"], route, stage="request")


def test_refusals_are_counted_by_category_and_route() -> None:
    configure_audit(None, None)
    refuse("bestiality")
    refuse("bestiality", Route.GENERAL)
    refuse("bestiality and loli", Route.GENERAL)
    check(["a nude woman"], Route.GENERAL)
    assert audit().counts() == {
        "animals": {"chat/shorts/generate": 1, "imagegen": 2},
        "sexual_minors": {"imagegen": 1},
    }


def test_audit_file_has_hashes_and_facts_but_no_text(tmp_path: Path) -> None:
    configure_audit(tmp_path / "audit.jsonl", b"key")
    refuse("Zanzibar bestiality")
    refuse("Zanzibar bestiality")
    configure_audit(None, None)
    first, second = lines(tmp_path / "audit.jsonl")
    assert first | {"at": None} == second | {"at": None}
    assert set(first) == {"at", "route", "stage", "categories", "policy_version", "texts"}
    assert (first["route"], first["stage"], first["categories"]) == ("chat/shorts/generate", "request", ["animals"])
    assert str(first["at"]).endswith("+00:00")
    assert [len(text) for text in first["texts"]] == [64, 64]
    content = (tmp_path / "audit.jsonl").read_text(encoding="utf-8").lower()
    assert not any(word in content for word in ("zanzibar", "bestiality", "more"))


def test_audit_hashes_depend_on_the_key_or_the_process(tmp_path: Path) -> None:
    written = []
    for name, key in (("a", b"key"), ("b", b"other"), ("c", None), ("d", None), ("e", b"key")):
        Audit(tmp_path / name, key).refused(("c",), "r", stage=None, version="v", texts=["text\ud800"])
        written.append(lines(tmp_path / name)[0]["texts"][0])
    assert written[0] == written[4]
    assert len(set(written)) == 4


def test_audit_without_a_file_writes_nothing_and_an_unwritable_file_is_an_error(tmp_path: Path) -> None:
    Audit().refused(("c",), "r", stage=None, version="v")
    with pytest.raises(OSError, match="nowhere"):
        Audit(tmp_path / "nowhere" / "file").refused(("c",), "r", stage=None, version="v")
