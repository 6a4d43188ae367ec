"""With a bucket, pictures are stored, deleted on request or at expiry, and jobs can be read by other processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from orchestrator.stored_pictures import object_name
from tests.http_api.conftest import PNG, InstantEndpoints
from tests.http_api.test_callers import keys_file, new_key

IMAGE = {"prompt": "a lighthouse at dusk"}
KEYS = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


class Bucket:
    """moto's S3 server with one bucket."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._s3 = boto3.client("s3", endpoint_url=url, **KEYS)
        self._s3.create_bucket(Bucket="pictures")
        self.clear()

    def names(self) -> list[str]:
        return [found["Key"] for found in self._s3.list_objects_v2(Bucket="pictures").get("Contents", [])]

    def read(self, name: str) -> bytes:
        data: bytes = self._s3.get_object(Bucket="pictures", Key=name)["Body"].read()
        return data

    def rewrite(self, name: str, data: bytes) -> None:
        self._s3.put_object(Bucket="pictures", Key=name, Body=data)

    def clear(self) -> None:
        """Delete all objects: those of moto's earlier servers in this process remain after the servers have stopped."""
        for name in self.names():
            self._s3.delete_object(Bucket="pictures", Key=name)

    def close(self) -> None:
        self.clear()
        self._s3.close()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    made = Bucket(f"http://{host}:{port}")
    for name, value in {
        "ENDPOINT_URL": made.url,
        "NAME": "pictures",
        "PREFIX": "img",
        "ACCESS_KEY_ID": "id",
        "SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(f"BUCKET_{name}", value)
    yield made
    made.close()
    server.stop()


async def fetched(url: str) -> bytes:
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).content


def pictures_in(bucket: Bucket) -> list[str]:
    return [name for name in bucket.names() if object_name(f"https://x/{name}") and "expiring" not in name]


async def test_picture_is_stored_and_deleted_by_its_id(bucket: Bucket, http: Any) -> None:
    async with http() as client:
        result = (await client.post("/v1/imagegen", json=IMAGE)).json()
        assert result["image_base64"] is None
        assert await fetched(result["image_url"]) == PNG
        deleted = await client.delete(f"/v1/pictures/{result['picture_id']}")

    assert deleted.status_code == 204
    assert pictures_in(bucket) == []


async def test_every_picture_of_a_request_has_its_own_id(bucket: Bucket, http: Any) -> None:
    async with http() as client:
        result = (await client.post("/v1/imagegen", json={**IMAGE, "n": 3})).json()
        ids = [image["picture_id"] for image in result["images"]]
        assert len(set(ids)) == 3
        assert result["picture_id"] == ids[0]
        await client.delete(f"/v1/pictures/{ids[1]}")

    assert len(pictures_in(bucket)) == 2


async def test_only_the_caller_of_a_picture_can_delete_it(bucket: Bucket, http: Any, tmp_path: Any) -> None:
    (one, first), (other, second) = new_key("one"), new_key("other")
    async with http(keys_file=keys_file(tmp_path, first, second)) as client:
        result = (await client.post("/v1/imagegen", json=IMAGE, headers={"X-API-Key": one})).json()
        refused = await client.delete(f"/v1/pictures/{result['picture_id']}", headers={"X-API-Key": other})
        named = object_name(result["image_url"])
        guessed = await client.delete(f"/v1/pictures/{named}.{'0' * 32}", headers={"X-API-Key": one})
        assert (refused.status_code, guessed.status_code, len(pictures_in(bucket))) == (404, 404, 1)
        deleted = await client.delete(f"/v1/pictures/{result['picture_id']}", headers={"X-API-Key": one})

    assert (deleted.status_code, pictures_in(bucket)) == (204, [])


async def test_expired_picture_is_deleted_by_any_process(bucket: Bucket, http: Any) -> None:
    async with http() as client:
        for after_s in (60, 3600):
            await client.post("/v1/imagegen", json={**IMAGE, "expires_after_s": after_s})
        stored = client.service.publication.stored
        assert await stored.sweep() == 0
        now = stored._clock()
        stored._clock = lambda: now + 61
        assert await stored.sweep() == 1

    assert len(pictures_in(bucket)) == 1
    assert len([name for name in bucket.names() if "expiring" in name]) == 1


async def test_expiry_without_a_bucket_is_refused(http: Any, endpoints: InstantEndpoints) -> None:
    async with http() as client:
        response = await client.post("/v1/imagegen", json={**IMAGE, "expires_after_s": 60})

    assert response.status_code == 400
    assert "bucket" in response.json()["detail"]
    assert not endpoints.calls


async def test_accept_image_redirects_to_the_stored_picture(bucket: Bucket, http: Any) -> None:
    async with http() as client:
        response = await client.post("/v1/imagegen", json=IMAGE, headers={"Accept": "image/*"})

    assert response.status_code == 303
    assert await fetched(response.headers["location"]) == PNG


async def test_job_is_read_from_a_process_that_did_not_run_it(
    bucket: Bucket, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LEDGER", "s3")
    async with http() as client:
        accepted = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async"})
        await client.get(accepted.json()["events"])
    async with http() as other:
        view = (await other.get(accepted.headers["location"])).json()

    assert view["status"] == "completed"
    assert await fetched(view["result"]["image_url"]) == PNG


async def test_job_of_a_crashed_process_is_a_retryable_failure(
    bucket: Bucket, http: Any, endpoints: InstantEndpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LEDGER", "s3")
    endpoints.hold.clear()
    async with http() as client:
        accepted = await client.post("/v1/imagegen", json=IMAGE, headers={"Prefer": "respond-async"})
        [name] = [name for name in bucket.names() if "jobs/" in name]
        entry = json.loads(bucket.read(name))
        assert entry["view"]["status"] == "running"
        await client.delete(accepted.headers["location"])
    bucket.rewrite(name, json.dumps({**entry, "until": 0}).encode())
    async with http() as other:
        view = (await other.get(accepted.headers["location"])).json()

    assert (view["status"], view["error"]["code"]) == ("failed", "worker_stopping")
