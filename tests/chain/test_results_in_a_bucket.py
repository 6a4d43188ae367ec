"""Pictures of results in a bucket: the deployment's and the job's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.chain.conftest import Caller

IMAGE = {"task": "imagegen", "prompt": "a lighthouse at dusk"}
KEYS = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture
def bucket_server() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    s3 = boto3.client("s3", endpoint_url=url, **KEYS)
    s3.create_bucket(Bucket="pictures")
    s3.close()
    yield url
    server.stop()


def is_picture(url: str) -> bool:
    return httpx.get(url).content.startswith(b"\x89PNG")


def test_picture_is_stored_in_the_deployments_bucket(stand_ins: Callable[..., Caller], bucket_server: str) -> None:
    caller = stand_ins(
        BUCKET_ENDPOINT_URL=bucket_server,
        BUCKET_NAME="pictures",
        BUCKET_ACCESS_KEY_ID="id",
        BUCKET_SECRET_ACCESS_KEY="secret",
    )
    result = caller.output(IMAGE)
    assert result["image_base64"] is None
    assert is_picture(result["image_url"])


def test_picture_is_stored_in_the_bucket_of_the_job(stand_ins: Callable[..., Caller], bucket_server: str) -> None:
    caller = stand_ins(BUCKET_ALLOW_PRIVATE="true")
    config = {"accessId": "id", "accessSecret": "secret", "bucketName": "pictures", "endpointUrl": bucket_server}
    result = caller.output(IMAGE, s3Config=config)
    assert result["image_base64"] is None
    assert is_picture(result["image_url"])


def test_bucket_inside_the_network_is_refused(stand_ins: Callable[..., Caller], bucket_server: str) -> None:
    config = {"accessId": "id", "accessSecret": "secret", "bucketName": "pictures", "endpointUrl": bucket_server}
    error = stand_ins().error(IMAGE, s3Config=config)
    assert error["code"] in {"invalid_request", "bad_url"}
    assert "secret" not in str(error)


def test_picture_is_inline_and_degraded_if_the_bucket_is_down(stand_ins: Callable[..., Caller]) -> None:
    caller = stand_ins(
        BUCKET_ENDPOINT_URL="http://127.0.0.1:9",
        BUCKET_NAME="pictures",
        BUCKET_ACCESS_KEY_ID="id",
        BUCKET_SECRET_ACCESS_KEY="topsecret",
    )
    result = caller.output(IMAGE)
    assert result["image_base64"]
    assert result["degraded"] == [{"stage": "storage", "reason": "endpoint_unavailable", "fallback": "inline"}]
