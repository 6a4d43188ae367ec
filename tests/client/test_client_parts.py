"""Selfies, results, webhooks and event parsing of the client."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path

import pytest
from img_pod import InvalidSignature, verify_webhook
from img_pod.contracts import Features
from img_pod.events import EventParser
from img_pod.results import read_result
from img_pod.selfies import MAX_BYTES, selfie_text
from standardwebhooks.webhooks import Webhook

from tests.client.conftest import RESULT

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def test_selfie_may_be_a_path_bytes_a_file_a_url_or_base64(tmp_path: Path) -> None:
    file = tmp_path / "me.jpg"
    file.write_bytes(b"\xff\xd8picture")
    encoded = base64.b64encode(b"\xff\xd8picture").decode()

    assert selfie_text(file) == selfie_text(str(file)) == selfie_text(b"\xff\xd8picture") == encoded
    assert selfie_text(io.BytesIO(b"\xff\xd8picture")) == encoded
    assert selfie_text("https://example.org/me.jpg") == "https://example.org/me.jpg"
    assert selfie_text("data:image/png;base64,AAAA") == "data:image/png;base64,AAAA"
    assert selfie_text("A" * 400) == "A" * 400


def test_selfie_that_is_missing_empty_or_too_large_is_refused_before_sending(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        selfie_text(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="empty"):
        selfie_text(b"")
    with pytest.raises(ValueError, match="limit"):
        selfie_text(b"x" * (MAX_BYTES + 1))


def test_result_saves_its_pictures(tmp_path: Path) -> None:
    one = {"image_base64": RESULT["image_base64"], "image_format": "png", "width": 16, "height": 16, "seed": 7}
    broken = {"seed": 8, "error": {"code": "black_picture", "message": "Black.", "retryable": True}}
    result = read_result({**RESULT, "images": [one, broken]})

    paths = [picture.save(tmp_path / f"{number}.png") for number, picture in enumerate(result.pictures)]

    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG"]
    with pytest.raises(Exception, match="Black"):
        result.images[1].raise_for_error()


def test_features_of_a_result_can_be_sent_again() -> None:
    result = read_result({**RESULT, "features": {"hair_color": "red"}})

    assert Features.model_validate(result.features.model_dump()).hair_color == "red"  # type: ignore[union-attr]


def test_event_data_may_span_lines_and_comments_are_ignored() -> None:
    parser = EventParser()
    lines = [": hello", "id: 4", "event: progress", 'data: {"a":', "data: 1}", "", ":", ""]

    events = [event for line in lines for event in parser.feed(line)]

    assert [(event.name, event.data, event.id) for event in events] == [("progress", {"a": 1}, "4")]


def signed(body: str, age_s: float = 0) -> dict[str, str]:
    from datetime import UTC, datetime

    sent = datetime.fromtimestamp(time.time() - age_s, UTC)
    signature = Webhook(SECRET).sign("msg_1", sent, body)
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(int(sent.timestamp())), "Webhook-Signature": signature}


def test_webhook_signed_by_the_reference_library_is_verified() -> None:
    assert verify_webhook(b'{"a": 1}', signed('{"a": 1}'), SECRET) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "headers", "secret"),
    [
        (b'{"a": 2}', signed('{"a": 1}'), SECRET),
        (b'{"a": 1}', signed('{"a": 1}', age_s=3_600), SECRET),
        (b'{"a": 1}', signed('{"a": 1}'), "whsec_" + base64.b64encode(b"x" * 32).decode()),
        (b'{"a": 1}', {}, SECRET),
        (b'{"a": 1}', signed('{"a": 1}'), "not base64!"),
        (b'{"a": 1}', {**signed('{"a": 1}'), "Webhook-Timestamp": "soon"}, SECRET),
    ],
)
def test_changed_expired_wrongly_signed_or_unsigned_webhook_is_refused(
    body: bytes, headers: dict[str, str], secret: str
) -> None:
    with pytest.raises(InvalidSignature):
        verify_webhook(body, headers, secret)
