"""Face detection at several scales, the order of faces, and the choice of one."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from core.backends import NoCallbacks, SelfieAnalysis, SelfieRequest
from core.backends.devices import cpu_quota
from core.backends.face_detection import FaceDetector, fixed_input_side, merged, prominence, tiles
from core.backends.face_quality import Box
from core.backends.vision import LoadedVision, face_meta, load_vision
from core.errors import InvalidRequest, Misconfigured
from core.weights import Model, fetch
from embedded.drawing.faces import draw_face, random_features

SIZE = (1_000, 1_000)


def square(left: float, top: float, side: float, confidence: float = 0.9) -> Box:
    return Box(left, top, left + side, top + side, confidence)


@pytest.fixture(scope="module")
def backend() -> LoadedVision:
    return load_vision(*fetch("embedded", [Model.VISION, Model.FACE]), device="cpu")


def nine_equal_faces() -> Image.Image:
    face = draw_face(random_features(random.Random(5)), seed=5, size=256)
    picture = Image.new("RGB", (928, 928), (210, 210, 205))
    for number in range(9):
        picture.paste(face, (40 + number % 3 * 296, 40 + number // 3 * 296))
    return picture


def test_nine_equal_faces_are_counted_as_nine(backend: LoadedVision) -> None:
    faces = backend.detector.find(nine_equal_faces())
    assert len(faces) == 9
    cells = {(round((face.left + face.right) / 2) // 310, round((face.top + face.bottom) / 2) // 310) for face in faces}
    assert len(cells) == 9


def test_any_of_several_faces_can_be_chosen(backend: LoadedVision) -> None:
    picture = nine_equal_faces()
    main, other = backend.generate([SelfieRequest(picture), SelfieRequest(picture, 3)], NoCallbacks())
    assert isinstance(main, SelfieAnalysis)
    assert isinstance(other, SelfieAnalysis)
    assert (main.face.index, other.face.index, other.face.faces_in_picture) == (0, 3, 9)
    assert main.face.box == main.face.boxes[0]
    assert other.face.box == other.face.boxes[3] != main.face.box


def test_face_index_out_of_range_error_has_the_number_of_faces(backend: LoadedVision) -> None:
    picture = nine_equal_faces()
    missing, none = backend.generate(
        [SelfieRequest(picture, 9), SelfieRequest(Image.new("RGB", (300, 300)), 1)], NoCallbacks()
    )
    assert isinstance(missing, InvalidRequest)
    assert "9 faces were found" in missing.message
    assert "0 to 8" in missing.message
    assert isinstance(none, InvalidRequest)
    assert "no face was found" in none.message


def test_face_0_without_a_detected_face_is_the_whole_picture(backend: LoadedVision) -> None:
    (reading,) = backend.generate([SelfieRequest(Image.new("RGB", (300, 300)), 0)], NoCallbacks())
    assert isinstance(reading, SelfieAnalysis)
    assert (reading.face.detected, reading.face.index, reading.face.boxes) == (False, None, ())


def test_central_one_of_equal_faces_is_the_main_face() -> None:
    corner, centre = square(0, 0, 200), square(400, 400, 200)
    assert prominence(centre, SIZE) > prominence(corner, SIZE) > 0


def test_much_larger_face_is_the_main_face_at_any_position() -> None:
    assert prominence(square(0, 0, 400), SIZE) > prominence(square(400, 400, 200), SIZE)


def test_boxes_of_one_face_are_merged_into_the_most_certain() -> None:
    sure, shifted, inside = square(100, 100, 100, 0.9), square(110, 95, 100, 0.6), square(120, 120, 50, 0.5)
    assert merged([shifted, inside, sure]) == [sure]


def test_adjacent_faces_are_kept_apart() -> None:
    row = [square(100 * number, 0, 105, 0.5 + number / 20) for number in range(5)]
    assert sorted(merged(row), key=lambda box: box.left) == row


def test_search_stops_at_a_face_that_fills_the_picture() -> None:
    class OneFace(FaceDetector):
        def __init__(self) -> None:
            self.side, self.device, self.fixed, self.looks = 320, torch.device("cpu"), None, 0

        def _detect(self, image: Image.Image, side: int) -> list[Box]:
            self.looks += 1
            return [square(100, 100, 500)]

    detector = OneFace()
    assert detector.find(Image.new("RGB", SIZE)) == [square(100, 100, 500)]
    assert detector.looks == 1


def test_the_quality_of_a_chosen_face_is_measured_against_the_others() -> None:
    picture = Image.new("RGB", SIZE, (120, 110, 100))
    faces = [square(300, 300, 300), square(0, 0, 150)]
    assert face_meta(picture, faces).components.single_face == pytest.approx(0.75)
    assert face_meta(picture, faces, 1).components.single_face == 0.0
    assert face_meta(picture, faces, 1).box == (0, 0, 150, 150)


def with_fixed_input(path: Path, target: Path, side: int) -> Path:
    """The embedded detector exported as the public face weights are: for one size of picture."""
    import onnx

    model = onnx.load(str(path))
    shape = model.graph.input[0].type.tensor_type.shape
    for dim, value in zip(shape.dim, (1, 3, side, side), strict=True):
        dim.dim_value = value
    onnx.save(model, str(target))
    return target


def test_detector_with_a_fixed_input_searches_in_tiles(tmp_path: Path) -> None:
    [located] = fetch("embedded", [Model.FACE])
    fixed = replace(located, path=with_fixed_input(located.path, tmp_path / "face.onnx", 320))
    seen: list[tuple[int, int]] = []

    class Watched(FaceDetector):
        def _detect(self, image: Image.Image, side: int) -> list[Box]:
            seen.append(image.size)
            return super()._detect(image, side)

    detector = Watched(fixed, torch.device("cpu"))
    seen.clear()
    detector.find(Image.new("RGB", (1_000, 500), (90, 90, 90)))

    assert fixed_input_side(fixed.path) == 320
    assert fixed_input_side(located.path) is None
    assert seen.count((600, 300)) == 4


def test_fixed_input_of_another_size_is_refused_at_load(tmp_path: Path) -> None:
    [located] = fetch("embedded", [Model.FACE])
    fixed = replace(located, path=with_fixed_input(located.path, tmp_path / "face.onnx", 640))

    with pytest.raises(Misconfigured, match="640"):
        FaceDetector(fixed, torch.device("cpu"))


def test_tiles_cover_the_picture_and_overlap() -> None:
    found = list(tiles((1_000, 501)))

    assert found[0][:2] == (0, 0)
    assert found[-1][2:] == (1_000, 501)
    assert found[0][2] > found[1][0]
    assert found[0][3] > found[2][1]


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", None), ("150000 100000", 1), ("50000 100000", 1), ("", None)]
)
def test_thread_count_follows_the_cpu_quota_of_the_container(tmp_path: Path, text: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)

    assert cpu_quota(tmp_path / "cpu.max") == (expected or os.cpu_count())
