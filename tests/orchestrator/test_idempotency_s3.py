"""Idempotency across processes, with a bucket that supports conditional writes and scripted failures."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from core.contracts import Result
from core.errors import AlreadyRunning, EndpointUnavailable, IdempotencyMismatch, Misconfigured, StageFailed
from core.settings import StorageSettings
from orchestrator.idempotency_s3 import Bucket, S3Idempotency
from tests.orchestrator.test_idempotency import Clock, gives, request, result


class FakeS3(httpx.AsyncBaseTransport):
    """PutObject with If-None-Match and If-Match, GetObject; `status` answers everything with a failure instead."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.status: int | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if self.status is not None:
            return httpx.Response(self.status)
        assert "Credential=key-id/" in request.headers["Authorization"]
        name, known = request.url.path, self.objects.get(request.url.path)
        if request.method == "GET":
            return httpx.Response(404) if known is None else httpx.Response(200, content=known, headers=tag(known))
        wanted = request.headers.get("If-Match")
        if (wanted is None) != (known is None) or (known is not None and wanted != tag(known)["ETag"]):
            return httpx.Response(412)
        self.objects[name] = await request.aread()
        return httpx.Response(200, headers=tag(self.objects[name]))


def tag(data: bytes) -> dict[str, str]:
    return {"ETag": f'"{hashlib.md5(data).hexdigest()}"'}


SETTINGS = StorageSettings(
    endpoint_url="https://pictures.s3.eu-west-1.amazonaws.com", access_key_id="key-id", secret_access_key="secret"
)


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def two(s3: FakeS3, clock: Clock) -> AsyncIterator[tuple[S3Idempotency, S3Idempotency]]:
    """Two orchestrators over one bucket."""
    made = [S3Idempotency(Bucket(SETTINGS, transport=s3), keep_s=60, lease_s=10, clock=clock) for _ in range(2)]
    yield made[0], made[1]
    for one in made:
        await one.close()


Two = tuple[S3Idempotency, S3Idempotency]


async def test_another_orchestrator_gives_the_same_answer(two: Two) -> None:
    asked: list[int] = []
    await two[0].run_once("k", request(), gives(result(7), asked))
    assert await two[1].run_once("k", request(), gives(result(8), asked)) == result(7)
    assert len(asked) == 1


async def test_concurrent_orchestrators_run_a_key_once(two: Two) -> None:
    asked: list[int] = []

    async def slow() -> Result:
        asked.append(1)
        await asyncio.sleep(0.05)
        return result()

    ends = await asyncio.gather(*(two[n % 2].run_once("k", request(), slow) for n in range(12)), return_exceptions=True)
    assert len(asked) == 1
    assert sum(isinstance(end, AlreadyRunning) for end in ends) == 11


async def test_key_of_another_request_is_refused_by_every_orchestrator(two: Two) -> None:
    await two[0].run_once("k", request(), gives(result()))
    with pytest.raises(IdempotencyMismatch):
        await two[1].run_once("k", request("else"), gives(result()))


async def test_failed_request_frees_its_key(two: Two) -> None:
    async def fails() -> Result:
        raise StageFailed("no")

    with pytest.raises(StageFailed):
        await two[0].run_once("k", request(), fails)
    assert await two[1].run_once("k", request("else"), gives(result(3))) == result(3)


async def test_lease_of_a_crashed_orchestrator_is_taken_over_after_it_expires(two: Two, clock: Clock) -> None:
    dying = asyncio.create_task(two[0].run_once("k", request(), lambda: asyncio.sleep(60, result(1))))
    await asyncio.sleep(0.02)
    with pytest.raises(AlreadyRunning):
        await two[1].run_once("k", request(), gives(result(2)))
    clock.now += 10 + 31
    assert await two[1].run_once("k", request(), gives(result(2))) == result(2)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    # A late write of the first process must not overwrite that of the second.
    assert await two[0].run_once("k", request(), gives(result(9))) == result(2)


async def test_stored_answer_expires(two: Two, clock: Clock) -> None:
    await two[0].run_once("k", request(), gives(result(1)))
    clock.now += 61
    assert await two[1].run_once("k", request("else"), gives(result(2))) == result(2)


async def test_request_is_not_run_if_the_bucket_cannot_be_reached(two: Two, s3: FakeS3) -> None:
    asked: list[int] = []
    s3.status = 503
    with pytest.raises(EndpointUnavailable):
        await two[0].run_once("k", request(), gives(result(), asked))
    s3.status = 403
    with pytest.raises(Misconfigured, match="403"):
        await two[0].run_once("k", request(), gives(result(), asked))
    assert not asked


async def test_result_is_returned_even_if_it_cannot_be_stored(two: Two, s3: FakeS3) -> None:
    async def run() -> Result:
        s3.status = 503
        return result(5)

    assert await two[0].run_once("k", request(), run) == result(5)


async def test_corrupt_entry_is_treated_as_missing(two: Two, s3: FakeS3) -> None:
    await two[0].run_once("k", request(), gives(result(1)))
    (name,) = s3.objects
    assert "k.json" not in name
    s3.objects[name] = b"<html>"
    assert await two[1].run_once("k", request(), gives(result(2))) == result(2)


def test_ledger_without_a_bucket_names_the_settings() -> None:
    with pytest.raises(Misconfigured, match="BUCKET_ENDPOINT_URL"):
        Bucket(StorageSettings())
