"""A finished picture is delivered inline, inline in a smaller encoding, or through a bucket."""

from __future__ import annotations

import base64
import io
import random

import pytest
from PIL import Image

from core.contracts import Picture
from core.errors import InvalidRequest
from core.images import Recipe, inspect
from core.settings import StorageSettings
from core.storage.delivery import PictureDelivery

RECIPE = Recipe(model="m", revision="r", seed=7, steps=8, policy_version="p")
NO_STORAGE = StorageSettings()


def noise(side: int) -> Image.Image:
    return Image.frombytes("RGB", (side, side), random.Random(1).randbytes(side * side * 3))


def opened(picture: Picture) -> Image.Image:
    assert picture.image_base64 is not None
    return Image.open(io.BytesIO(base64.b64decode(picture.image_base64)))


async def test_picture_within_the_limit_is_inline_in_the_requested_format() -> None:
    picture, degraded = await PictureDelivery(NO_STORAGE, None, 9_500_000).publish(noise(64), "png", RECIPE)
    assert degraded == ()
    assert (picture.image_format, opened(picture).format, picture.seed) == ("png", "PNG", 7)
    assert picture.image_url is None


async def test_picture_too_large_for_the_platform_is_encoded_smaller() -> None:
    picture, _ = await PictureDelivery(NO_STORAGE, None, 500_000).publish(noise(512), "png", RECIPE)
    assert picture.image_base64 is not None
    assert len(picture.image_base64) < 400_000
    assert (picture.image_format, opened(picture).size) == ("webp", (512, 512))
    assert "trainedAlgorithmicMedia" in str(inspect(base64.b64decode(picture.image_base64)))


def test_malformed_bucket_of_a_job_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        PictureDelivery(NO_STORAGE, None, 9_500_000).check({"accessId": "x"})
