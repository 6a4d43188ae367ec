"""The vision backend on the embedded weights: one cache for all questions, faces in photographs, degraded results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
from PIL import Image

from core.backends import NoCallbacks, PictureAges, SelfieAnalysis, SelfieRequest
from core.backends.face_detection import _face_classes
from core.backends.face_quality import Box
from core.backends.vision import (
    MAX_FACES,
    LoadedVision,
    face_crop,
    limit_visual_tokens,
    load_vision,
    question_prompts,
    read,
    read_age,
    warm_up,
)
from core.contracts import ATTRIBUTES, AgeBand, Features, HairColor
from core.errors import Cancelled, Misconfigured
from core.prompts.questions import QUESTIONS
from core.weights import Model, fetch
from embedded.drawing.faces import appearance_of, draw_appearance
from tests.core.backends.watching import Watching

PHOTOGRAPH = Path(ultralytics.__file__).parent / "assets" / "zidane.jpg"
"""Two men, one of them turned away: a photograph that comes with the detector's library."""


@pytest.fixture(scope="module")
def backend() -> LoadedVision:
    backend = load_vision(*fetch("embedded", [Model.VISION, Model.FACE]), device="cpu")
    warm_up(backend)
    return backend


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.open(PHOTOGRAPH).convert("RGB")


@pytest.fixture(scope="module")
def noise() -> Image.Image:
    return Image.effect_noise((300, 200), 90).convert("RGB")


def whole_prompt(backend: LoadedVision, attribute: str, image: Image.Image) -> Any:
    reader = backend.reader
    prompts = question_prompts(reader.processor)
    text = prompts.head + prompts.tails[attribute]
    return reader.processor(text=[text], images=[image], return_tensors="pt")


def test_answers_on_a_shared_cache_equal_those_of_separate_calls(backend: LoadedVision, noise: Image.Image) -> None:
    together = backend.reader.logits(noise)
    for row, attribute in enumerate(QUESTIONS):
        with torch.inference_mode():
            alone = backend.reader.model(**whole_prompt(backend, attribute, noise)).logits[0, -1]
        assert torch.allclose(together[row], alone, atol=1e-4), attribute


@pytest.mark.parametrize("size", [(300, 200), (64, 512), (128, 128)])
def test_positions_of_a_question_are_those_of_the_whole_prompt(backend: LoadedVision, size: tuple[int, int]) -> None:
    image, reader = Image.new("RGB", size, (90, 120, 150)), backend.reader
    with torch.inference_mode():
        _, after = reader._encode(image)
    for (_, attribute), tail in zip(reader.rows, reader.tails, strict=True):
        inputs = whole_prompt(backend, attribute, image)
        assert inputs["input_ids"][0, -len(tail) :].tolist() == tail
        positions, _ = reader.model.model.get_rope_index(
            inputs["input_ids"], inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
        )
        ours = torch.arange(len(tail)) + after
        assert torch.equal(positions[:, 0, -len(tail) :], ours.expand(3, -1))


def test_probabilities_of_each_question_sum_to_one(backend: LoadedVision, noise: Image.Image) -> None:
    shares = backend.reader.shares(noise)
    assert set(shares) == set(ATTRIBUTES)
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in shares.values())
    assert all(len(shares[name]) == len(question.letters) for name, question in QUESTIONS.items())


def certain(**values: str) -> dict[str, list[float]]:
    """Return the shares of a reader that is certain of `values`, and of `unknown` for all other attributes."""
    return {
        name: [float(value == values.get(name, "unknown")) for value in question.values]
        for name, question in QUESTIONS.items()
    }


def test_most_probable_letter_is_the_feature_and_its_probability_the_confidence() -> None:
    features = read(certain(hair_color="red", age_band="25_34"))
    assert features.hair_color is HairColor.RED
    assert features.age_band is AgeBand.FROM_25_TO_34
    assert features.confidence["hair_color"] == 1.0
    assert features.glasses == "unknown"


def test_uncertain_answer_is_unknown_with_the_probability_of_unknown() -> None:
    shares = certain()
    shares["glasses"] = [0.39, 0.31, 0.2, 0.1]
    features = read(shares)
    assert features.glasses == "unknown"
    assert features.confidence["glasses"] == 0.1


def test_under_18_is_read_from_a_probability_of_0_3() -> None:
    shares = certain()
    shares["age_band"] = [0.3, 0.6, 0.1, 0, 0, 0, 0, 0]
    assert read(shares).age_band is AgeBand.UNDER_18
    shares["age_band"] = [0.29, 0.61, 0.1, 0, 0, 0, 0, 0]
    assert read(shares).age_band is AgeBand.FROM_18_TO_24


def test_the_face_of_a_photograph_is_found(backend: LoadedVision, photograph: Image.Image) -> None:
    (reading,) = backend.generate([SelfieRequest(photograph)], NoCallbacks())
    assert isinstance(reading, SelfieAnalysis)
    face = reading.face
    assert (face.detected, face.faces_in_picture) == (True, 1)
    assert face.box == pytest.approx((904, 137, 1060, 281), abs=10)
    assert 0 < face.quality_score < 1
    assert face.components.single_face == 1.0


def test_larger_and_more_certain_of_two_faces_is_first(backend: LoadedVision) -> None:
    street = Image.open(PHOTOGRAPH.with_name("bus.jpg")).convert("RGB")
    first, second = backend.detector.find(street)
    assert first.area * first.confidence > second.area * second.confidence


def test_picture_without_a_face_has_a_result_with_a_lower_score(backend: LoadedVision, noise: Image.Image) -> None:
    (reading,) = backend.generate([SelfieRequest(noise)], NoCallbacks())
    assert isinstance(reading, SelfieAnalysis)
    assert (reading.face.detected, reading.face.box, reading.face.faces_in_picture) == (False, None, 0)
    assert reading.face.quality_score <= 0.5
    assert reading.face.components.head_size is None


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (2000, 20)])
def test_pictures_of_any_shape_are_analysed(backend: LoadedVision, size: tuple[int, int]) -> None:
    (reading,) = backend.generate([SelfieRequest(Image.new("RGB", size, (200, 100, 50)))], NoCallbacks())
    assert isinstance(reading, SelfieAnalysis)


def test_the_crop_is_a_square_with_the_margin_cut_at_the_edges() -> None:
    picture = Image.new("RGB", (1000, 1000))
    assert face_crop(picture, Box(400, 400, 500, 500, 0.9)).size == (170, 170)
    assert face_crop(picture, Box(0, 0, 100, 100, 0.9)).size == (135, 135)
    assert face_crop(picture, None) is picture


def test_analysis_of_the_same_picture_is_deterministic(backend: LoadedVision, photograph: Image.Image) -> None:
    assert backend.generate([SelfieRequest(photograph)], NoCallbacks()) == backend.generate(
        [SelfieRequest(photograph)], NoCallbacks()
    )


def test_cancelled_picture_is_skipped_and_the_next_is_analysed(backend: LoadedVision, noise: Image.Image) -> None:
    watch = Watching(cancel={0: 1})
    cancelled, reading = backend.generate([SelfieRequest(noise), SelfieRequest(noise)], watch)
    assert isinstance(cancelled, Cancelled)
    assert isinstance(reading, SelfieAnalysis)
    assert (watch.of(0), watch.of(1)) == ([1], [1, 2])


def drawn(band: AgeBand, seed: int) -> Image.Image:
    features = Features(age_band=band, gender_presentation="feminine", glasses="none", headwear="none")
    return draw_appearance(appearance_of(features, seed=seed), size=256)


def ages_of(backend: LoadedVision, image: Image.Image) -> PictureAges:
    (ages,) = backend.read_ages([image], NoCallbacks())
    assert isinstance(ages, PictureAges)
    return ages


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_apparent_age_of_a_drawn_minor_is_over_the_threshold_and_of_an_adult_under_it(
    backend: LoadedVision, seed: int
) -> None:
    def under_18(band: AgeBand) -> float:
        ages = ages_of(backend, drawn(band, seed))
        return max(one.under_18 for one in (*ages.faces, ages.whole))

    assert under_18(AgeBand.UNDER_18) >= 0.3 > under_18(AgeBand.FROM_45_TO_54)


def test_age_of_a_picture_without_people_is_unknown(backend: LoadedVision, noise: Image.Image) -> None:
    ages = ages_of(backend, noise)
    assert (ages.faces, ages.whole.age_band, ages.faces_not_read) == ((), AgeBand.UNKNOWN, 0)


def test_ages_are_read_up_to_the_face_limit_and_other_faces_counted(
    backend: LoadedVision, monkeypatch: pytest.MonkeyPatch, noise: Image.Image
) -> None:
    boxes = [Box(at, 10, at + 20, 30, 0.9) for at in range(0, 2 * MAX_FACES + 4, 2)]
    monkeypatch.setattr(backend.detector, "find", lambda _: boxes)
    ages = ages_of(backend, noise)
    assert (len(ages.faces), ages.faces_not_read) == (MAX_FACES, 2)


def test_cancelled_age_reading_stops_between_faces(
    backend: LoadedVision, monkeypatch: pytest.MonkeyPatch, noise: Image.Image
) -> None:
    monkeypatch.setattr(backend.detector, "find", lambda _: [Box(0, 0, 50, 50, 0.9)] * 5)
    watch = Watching(cancel={0: 2})
    (cancelled,) = backend.read_ages([noise], watch)
    assert isinstance(cancelled, Cancelled)
    assert len(watch.of(0)) < 6


def test_probability_of_under_18_is_kept_whichever_band_is_read() -> None:
    shares = [0.25, 0.6, 0.15, 0, 0, 0, 0, 0]
    age = read_age(shares)
    assert (age.age_band, age.confidence, age.under_18) == (AgeBand.FROM_18_TO_24, 0.6, 0.25)
    assert read_age([0.31, 0.6, 0.09, 0, 0, 0, 0, 0]).age_band is AgeBand.UNDER_18


def test_number_of_visual_tokens_can_be_bounded(backend: LoadedVision) -> None:
    from transformers import Qwen2VLProcessor

    (weights,) = fetch("embedded", [Model.VISION])
    processor = Qwen2VLProcessor.from_pretrained(weights.path)
    limit_visual_tokens(processor, (16, 48))
    for size in ((30, 30), (4000, 3000)):
        grid = processor.image_processor(images=[Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"][0]
        assert 16 <= int(grid.prod()) // processor.image_processor.merge_size**2 <= 48


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ({0: "face"}, [0]),
        ({0: "item"}, [0]),
        ({0: "FEET", 1: "FACE_FEMALE", 2: "BELLY", 3: "FACE_MALE"}, [1, 3]),
    ],
)
def test_face_classes_are_found_in_either_layout(names: dict[int, str], classes: list[int]) -> None:
    assert _face_classes(names) == classes


def test_detector_without_a_face_class_is_refused_at_start() -> None:
    with pytest.raises(Misconfigured, match="no class for faces"):
        _face_classes({0: "car", 1: "dog"})
