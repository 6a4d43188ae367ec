"""The selfie handler reports missing parts of a picture, and boxes in px of the sent file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import pytest
from PIL import Image

from core.backends import BatchCallbacks, Outcome, PictureAges, SelfieAnalysis, SelfieRequest
from core.contracts import ANALYZE_TASK, AnalyzeRequest, AnalyzeResult, FaceMeta, FaceQuality, Features, ModelInfo
from handlers.selfie import handler, vision_device
from tests.handlers.test_picture_check import a_job

FACE = FaceMeta(
    detected=True,
    box=(10, 20, 110, 140),
    confidence=0.9,
    faces_in_picture=2,
    index=0,
    boxes=((10, 20, 110, 140), (200, 20, 260, 90)),
    quality_score=0.5,
    components=FaceQuality(),
)


class OneReader:
    info = ModelInfo(name="m", revision="0", profile="embedded")

    def __init__(self) -> None:
        self.asked: list[SelfieRequest] = []

    def generate(self, requests: Sequence[SelfieRequest], watch: BatchCallbacks) -> list[Outcome[SelfieAnalysis]]:
        self.asked += requests
        return [SelfieAnalysis(Features(), FACE) for _ in requests]

    def read_ages(self, requests: Sequence[Image.Image], watch: BatchCallbacks) -> list[Outcome[PictureAges]]:
        raise NotImplementedError


def jpeg(size: tuple[int, int]) -> bytes:
    with io.BytesIO() as file:
        Image.effect_noise((320, 240), 60).resize(size).save(file, "JPEG", quality=40)
        return file.getvalue()


async def analyzed(backend: OneReader, data: bytes, face: int | None = None) -> AnalyzeResult:
    request = AnalyzeRequest(task=ANALYZE_TASK, selfie=base64.b64encode(data).decode(), face=face)
    result = await handler(backend, vision_device(backend))(request, a_job())
    assert isinstance(result, AnalyzeResult)
    return result


async def test_the_chosen_face_reaches_the_backend() -> None:
    backend = OneReader()
    await analyzed(backend, jpeg((320, 240)), face=1)
    assert backend.asked[0].face == 1


async def test_whole_picture_has_no_degraded_entry() -> None:
    result = await analyzed(OneReader(), jpeg((320, 240)))
    assert result.degraded == ()
    assert result.face == FACE


async def test_a_picture_without_its_end_is_analysed_and_listed_in_degraded() -> None:
    data = jpeg((320, 240))
    [degraded] = (await analyzed(OneReader(), data[: int(len(data) * 0.9)])).degraded
    assert (degraded.stage, degraded.reason) == ("analyze", "incomplete_picture")


async def test_boxes_of_a_reduced_picture_are_in_px_of_the_file() -> None:
    backend = OneReader()
    result = await analyzed(backend, jpeg((6_000, 4_000)))
    assert backend.asked[0].image.size == (3_000, 2_000)
    assert result.face.box == pytest.approx((20, 40, 220, 280))
    assert result.face.boxes[1] == pytest.approx((400, 40, 520, 180))
