"""Face quality: each measure compared with a value computed by hand from the formula, and the score."""

import numpy as np
import pytest

from core.backends.face_quality import (
    Box,
    dynamic_range,
    eye_distance,
    head_size,
    illumination_uniformity,
    inter_eye_distance,
    luminance,
    mean_luminance,
    measure,
    over_exposure,
    overall,
    sharpness,
    single_face,
    under_exposure,
)
from core.contracts import FaceQuality


def flat(value: float, height: int = 8, width: int = 8) -> np.ndarray:
    return np.full((height, width), value, dtype=np.float64)


def gray(value: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), value, dtype=np.uint8)


def test_luminance_is_linear_light_and_white_is_255() -> None:
    assert luminance(gray(255))[0, 0] == 255
    assert luminance(gray(0))[0, 0] == 0
    # sRGB 188 is half of the light: ((188/255 + 0.055) / 1.055) ** 2.4 = 0.503
    assert luminance(gray(188))[0, 0] == 128


def test_green_counts_for_most_of_the_luminance() -> None:
    pure = np.zeros((1, 3, 3), dtype=np.uint8)
    pure[0, 0, 0] = pure[0, 1, 1] = pure[0, 2, 2] = 255
    assert luminance(pure)[0].tolist() == [54, 182, 18]


@pytest.mark.parametrize(("areas", "expected"), [([100.0], 1.0), ([100.0, 25.0], 0.75), ([100.0, 100.0], 0.0)])
def test_second_face_lowers_the_score_by_its_relative_size(areas: list[float], expected: float) -> None:
    assert single_face(areas) == expected


def test_head_size_is_best_at_45_percent_of_the_height() -> None:
    assert head_size(45, 100) == 1.0
    # 200 · (1 − σ(0.05 / 0.05)) = 200 · 0.26894
    assert head_size(40, 100) == head_size(50, 100) == 0.54
    assert head_size(5, 100) == 0.0


def test_inter_eye_distance_of_70_px_is_one_half() -> None:
    assert inter_eye_distance(70) == 0.5
    assert inter_eye_distance(90) == 0.73  # σ(1)
    assert inter_eye_distance(0) == 0.03  # σ(−3.5)


def test_under_exposure_falls_when_nearly_everything_is_dark() -> None:
    assert under_exposure(flat(128)) == 1.0  # 120 · 0.832, rounded
    assert under_exposure(flat(25)) == 0.0
    dark_92_percent = flat(128, 10, 10)
    dark_92_percent.flat[:92] = 0
    assert under_exposure(dark_92_percent) == 0.40  # 120 · (0.832 − 0.5)


def test_over_exposure_is_the_reciprocal_of_the_bright_share() -> None:
    assert over_exposure(flat(128)) == 1.0
    tenth = flat(128, 10, 10)
    tenth.flat[:10] = 255
    assert over_exposure(tenth) == 0.09  # 1 / 0.11
    assert over_exposure(flat(247)) == 0.01


def test_dynamic_range_is_twelve_and_a_half_times_the_entropy() -> None:
    assert dynamic_range(flat(7)) == 0.0
    two = flat(0)
    two[:, :4] = 200
    assert dynamic_range(two) == 0.12  # one bit, 12.5, rounded to even
    assert dynamic_range(np.arange(256, dtype=np.float64).reshape(16, 16)) == 1.0


def test_mean_luminance_is_low_for_dark_and_for_bright_faces() -> None:
    assert mean_luminance(flat(127.5)) == 1.0
    assert mean_luminance(flat(0.2 * 255)) == 0.5
    assert mean_luminance(flat(0.8 * 255)) == 0.5
    assert mean_luminance(flat(0)) == 0.02  # σ(−4)


def test_light_from_one_side_is_not_uniform() -> None:
    assert illumination_uniformity(flat(90)) == 1.0
    split = flat(10)
    split[:, 4:] = 240
    assert illumination_uniformity(split) == 0.0
    # Half of the right side as bright as the left: (1/2) ** 0.3
    split[:4, 4:] = 10
    assert illumination_uniformity(split) == 0.81


def test_sharpness_of_an_edge_is_higher_than_of_its_blur() -> None:
    from PIL import Image, ImageFilter

    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = 200
    blurred = np.asarray(Image.fromarray(stripes).filter(ImageFilter.GaussianBlur(6)))
    assert sharpness(stripes) > 0.95
    assert sharpness(blurred) < 0.05
    assert sharpness(gray(90)) == 0.0


def test_eye_distance_is_estimated_from_the_box() -> None:
    assert eye_distance(Box(0, 0, 100, 120, 0.9)) == 40


def test_without_a_face_the_pixels_are_measured_and_the_score_is_halved() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    quality = measure(picture, [])
    assert quality.single_face is quality.head_size is quality.inter_eye_distance is None
    assert overall(quality, detected=False) == pytest.approx(overall(quality, detected=True) / 2, abs=1e-4)


def test_one_failing_measure_lowers_the_score() -> None:
    good = dict.fromkeys(FaceQuality.model_fields, 1.0)
    assert overall(FaceQuality(**good), detected=True) == 1.0
    # Weight 2 of 8.5 at the floor of 0.01: 0.01 ** (2 / 8.5)
    assert overall(FaceQuality(**{**good, "sharpness": 0.0}), detected=True) == pytest.approx(0.3384, abs=1e-4)


def test_score_without_measures_is_zero() -> None:
    assert overall(FaceQuality(), detected=False) == 0.0


@pytest.mark.parametrize("box", [Box(-20, -20, 200, 200, 0.9), Box(63, 63, 63.2, 63.2, 0.9), Box(10, 10, 10, 10, 0.9)])
def test_box_at_or_over_the_edge_is_measured_on_its_visible_part(box: Box) -> None:
    assert measure(gray(120), [box]).over_exposure == 1.0
