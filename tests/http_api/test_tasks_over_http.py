"""POST of every task, with every body type and every way to wait."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from core.contracts import Route
from core.errors import EndpointUnavailable, QueueFull, UnsafeOutput
from http_api.operations import EXAMPLES
from http_api.routes import PATHS
from tests.http_api.conftest import PNG, WORDS, InstantEndpoints

IMAGE = {"prompt": "a lighthouse at dusk", "seed": 7}


def events_of(text: str) -> list[tuple[str, Any]]:
    blocks = [block for block in text.split("\n\n") if block.startswith("id:")]
    found = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["event"], json.loads(fields["data"])))
    return found


@pytest.mark.parametrize("route", Route)
async def test_example_of_every_task_is_answered_with_its_result(http: Any, route: Route) -> None:
    async with http() as client:
        response = await client.post(PATHS[route], json=EXAMPLES[route])

    assert response.status_code == 200, response.text
    result = response.json()
    assert result["task"] == route
    assert base64.b64decode(result["image_base64"]) == PNG
    assert result["seed"] == 7


async def test_form_with_a_selfie_file_creates_a_profile(http: Any, endpoints: InstantEndpoints) -> None:
    async with http() as client:
        response = await client.post(
            "/v1/profile/create", files={"selfie": ("me.png", PNG)}, data={"style": "42", "seed": "7", "n": "2"}
        )

    assert response.status_code == 200, response.text
    assert endpoints.calls[0].payload["selfie"] == base64.b64encode(PNG).decode()
    assert [image["seed"] for image in response.json()["images"]] == [7, 8]


async def test_image_body_creates_a_profile(http: Any, endpoints: InstantEndpoints) -> None:
    async with http() as client:
        response = await client.post("/v1/profile/create", content=PNG, headers={"Content-Type": "image/png"})

    assert response.status_code == 200, response.text
    assert base64.b64decode(endpoints.calls[0].payload["selfie"]) == PNG


async def test_accept_image_returns_the_picture_as_the_body(http: Any) -> None:
    async with http() as client:
        body = {**IMAGE, "caption": True, "request_id": "mine"}
        response = await client.post("/v1/imagegen", json=body, headers={"Accept": "image/png"})

    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert response.content == PNG
    assert response.headers["x-seed"] == "7"
    assert response.headers["x-caption"] == WORDS
    assert response.headers["x-request-id"] == "mine"


async def test_stream_ends_with_exactly_one_result(http: Any) -> None:
    async with http() as client:
        response = await client.post("/v1/imagegen", json=IMAGE, headers={"Accept": "text/event-stream"})

    names = [name for name, _ in events_of(response.text)]
    assert response.headers["content-type"] == "text/event-stream"
    assert names[0] == "accepted"
    assert names[-1] == "result"
    assert names.count("result") == 1
    assert "error" not in names


async def test_stream_of_a_failed_request_ends_with_its_problem(http: Any, endpoints: InstantEndpoints) -> None:
    endpoints.failures["generate"] = UnsafeOutput("withheld")
    async with http() as client:
        response = await client.post("/v1/imagegen", json=IMAGE, headers={"Accept": "text/event-stream"})

    name, data = events_of(response.text)[-1]
    assert (name, data["code"], data["status"]) == ("error", "unsafe_output", 422)


async def test_asynchronous_request_is_accepted_and_read_later(http: Any) -> None:
    async with http() as client:
        accepted = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async"})
        assert accepted.status_code == 202
        assert accepted.headers["preference-applied"] == "respond-async"
        events = await client.get(accepted.json()["events"])
        view = (await client.get(accepted.headers["location"])).json()

    assert events_of(events.text)[-1][0] == "result"
    assert view["status"] == "completed"
    assert base64.b64decode(view["result"]["image_base64"]) == PNG


async def test_events_are_replayed_after_the_last_one_seen(http: Any) -> None:
    async with http() as client:
        accepted = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async"})
        path = accepted.json()["events"]
        everything = events_of((await client.get(path)).text)
        rest = events_of((await client.get(path, headers={"Last-Event-ID": "1"})).text)

    assert everything[0][0] == "accepted"
    assert rest == everything[1:]


async def test_asynchronous_answer_is_sent_when_the_wait_ends_before_the_picture(
    http: Any, endpoints: InstantEndpoints
) -> None:
    endpoints.hold.clear()
    async with http() as client:
        response = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "wait=1"})
        assert response.status_code == 202
        endpoints.hold.set()
        await client.get(response.json()["events"])
        view = (await client.get(response.headers["location"])).json()

    assert view["status"] == "completed"


async def test_plain_wait_ends_with_504_and_cancels(http: Any, endpoints: InstantEndpoints) -> None:
    endpoints.hold.clear()
    async with http(wait_s=1) as client:
        response = await client.post("/v1/imagegen", json=IMAGE)

    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
    assert "respond-async" in response.json()["detail"]
    assert endpoints.cancelled == 1


async def test_stream_ends_with_an_error_before_the_platforms_time_limit(
    http: Any, endpoints: InstantEndpoints
) -> None:
    endpoints.hold.clear()
    async with http(wait_s=1) as client:
        response = await client.post("/v1/imagegen", json=IMAGE, headers={"Accept": "text/event-stream"})

    name, data = events_of(response.text)[-1]
    assert (name, data["code"]) == ("error", "deadline_exceeded")
    assert endpoints.cancelled == 1


async def test_cross_origin_call_to_a_server_without_keys_is_refused(http: Any, endpoints: InstantEndpoints) -> None:
    async with http() as client:
        response = await client.post("/v1/profile/create", content=PNG, headers={
            "Content-Type": "image/png", "Sec-Fetch-Site": "cross-site",
        })  # fmt: skip

    assert response.status_code == 401
    assert not endpoints.calls


class RecordedWebhooks:
    """Records webhooks instead of posting them."""

    def __init__(self) -> None:
        self.posted: list[str] = []

    def check(self, request: Any) -> None:
        """Accept every address."""

    def completed(self, request: Any, job_id: str, result: Any) -> None:
        self.posted.append("completed")

    def failed(self, request: Any, job_id: str, error: Any) -> None:
        self.posted.append(error.code)

    async def close(self) -> None:
        """Do nothing: no delivery is pending."""


async def test_request_that_was_not_admitted_posts_no_webhook(http: Any, endpoints: InstantEndpoints) -> None:
    endpoints.hold.clear()
    body = {**IMAGE, "idempotency_key": "order-1"}
    async with http() as client:
        hooks = client.service.webhooks = RecordedWebhooks()
        first = await client.post("/v1/imagegen", json=body, headers={"Prefer": "respond-async"})
        second = await client.post("/v1/imagegen", json=body)
        assert (second.status_code, second.json()["code"]) == (409, "already_running")
        endpoints.hold.set()
        await client.get(first.json()["events"])

    assert hooks.posted == ["completed"]


async def test_cancelled_request_posts_its_webhook(http: Any, endpoints: InstantEndpoints) -> None:
    endpoints.hold.clear()
    async with http() as client:
        hooks = client.service.webhooks = RecordedWebhooks()
        accepted = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async"})
        await endpoints.held.wait()
        await client.delete(accepted.headers["location"])

    assert hooks.posted == ["cancelled"]


async def test_picture_ready_within_the_wait_is_returned_directly(http: Any) -> None:
    async with http() as client:
        response = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async, wait=60"})

    assert response.status_code == 200
    assert response.headers["preference-applied"] == "respond-async, wait=60"


async def test_deleting_a_running_job_cancels_its_stages(http: Any, endpoints: InstantEndpoints) -> None:
    endpoints.hold.clear()
    async with http() as client:
        accepted = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async"})
        await endpoints.held.wait()
        deleted = await client.delete(accepted.headers["location"])
        view = (await client.get(accepted.headers["location"])).json()

    assert deleted.status_code == 204
    assert view["status"] == "cancelled"
    assert view["error"]["code"] == "cancelled"
    assert endpoints.cancelled == 1


async def test_deleting_an_ended_job_forgets_its_result(http: Any) -> None:
    async with http() as client:
        accepted = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async"})
        await client.get(accepted.json()["events"])
        assert (await client.delete(accepted.headers["location"])).status_code == 204
        assert (await client.get(accepted.headers["location"])).status_code == 404


async def test_several_pictures_have_consecutive_seeds_and_one_caption(http: Any, endpoints: InstantEndpoints) -> None:
    async with http() as client:
        response = await client.post("/v1/imagegen", json={**IMAGE, "n": 3, "caption": True})

    result = response.json()
    assert [image["seed"] for image in result["images"]] == [7, 8, 9]
    assert result["seed"] == 7
    assert [call.stage for call in endpoints.calls].count("caption") == 1
    assert len({call.payload["context"]["replay_key"] for call in endpoints.calls}) == 4


async def test_headers_have_the_meaning_of_their_fields(http: Any, endpoints: InstantEndpoints) -> None:
    headers = {"Idempotency-Key": '"order-1"', "X-Request-Id": "mine"}
    async with http() as client:
        first = await client.post("/v1/imagegen", json={"prompt": "a lighthouse"}, headers=headers)
        again = await client.post("/v1/imagegen", json={"prompt": "a lighthouse"}, headers=headers)
        other = await client.post("/v1/imagegen", json={"prompt": "a harbour"}, headers=headers)

    assert first.json()["request_id"] == "mine"
    assert again.json()["trace_id"] == first.json()["trace_id"]
    assert len(endpoints.calls) == 1
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")


async def refused(http: Any, status: int, code: str, **request: Any) -> httpx.Response:
    async with http() as client:
        response: httpx.Response = await client.post(request.pop("path", "/v1/imagegen"), **request)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response


@pytest.mark.parametrize(
    "body",
    [{}, {"prompt": ""}, {"prompt": "x", "sed": 7}, {"prompt": "x", "n": 5}, {"prompt": "x", "task": "profile/create"}],
)
async def test_malformed_request_is_400_and_never_422(http: Any, body: dict[str, Any]) -> None:
    await refused(http, 400, "invalid_request", json=body)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"prompt": NaN}', b"\xff\xfe", b"[" * 100_000])
async def test_body_that_is_not_an_object_is_400(http: Any, content: bytes) -> None:
    await refused(http, 400, "invalid_request", content=content, headers={"Content-Type": "application/json"})


async def test_policy_refusal_is_422_with_its_categories(http: Any) -> None:
    response = await refused(http, 422, "policy_blocked", json={"prompt": "a naked child"})

    assert response.json()["categories"]
    assert "naked" not in response.text


async def test_body_of_another_type_is_415(http: Any) -> None:
    await refused(http, 415, "unsupported_media_type", content=b"prompt=x", headers={"Content-Type": "text/plain"})


async def test_form_is_accepted_for_profiles_only(http: Any) -> None:
    await refused(http, 415, "unsupported_media_type", files={"selfie": b"x"})


async def test_unknown_accept_is_406(http: Any) -> None:
    await refused(http, 406, "not_acceptable", json=IMAGE, headers={"Accept": "video/mp4"})


async def test_accept_image_for_several_pictures_is_406(http: Any) -> None:
    await refused(http, 406, "not_acceptable", json={**IMAGE, "n": 2}, headers={"Accept": "image/*"})


async def test_body_that_is_too_large_is_413(http: Any) -> None:
    await refused(http, 413, "too_large", content=b"x" * 2_000_001, headers={"Content-Type": "application/json"})


async def test_unknown_path_is_404_and_wrong_method_405(http: Any) -> None:
    async with http() as client:
        missing = await client.get("/v1/nothing")
        wrong = await client.get("/v1/imagegen")

    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("error", [QueueFull("full", retry_after_ms=1_800), EndpointUnavailable("down")])
async def test_busy_answers_have_retry_after(http: Any, endpoints: InstantEndpoints, error: Any) -> None:
    endpoints.failures["generate"] = error
    response = await refused(http, error.http_status, error.code, json=IMAGE)

    assert int(response.headers["retry-after"]) == (2 if error.retry_after_ms else 1)
    assert response.headers["retry-after-ms"] == str(error.retry_after_ms or 1_000)
    assert response.json()["trace_id"]


async def test_problem_type_is_a_url_that_explains_the_code(http: Any) -> None:
    async with http() as client:
        response = await client.post("/v1/imagegen", json={})
        explanation = await client.get(response.json()["type"])

    assert explanation.status_code == 200
    assert "mend the request" in explanation.text or "names the field" in explanation.text


async def test_unexpected_error_is_500_without_its_message(http: Any, endpoints: InstantEndpoints) -> None:
    endpoints.failures["generate"] = RuntimeError("a secret prompt")
    response = await refused(http, 500, "internal", json=IMAGE)

    assert "secret" not in response.text
