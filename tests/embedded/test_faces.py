"""Drawn faces, the demo's selfies and the embedded models' training data."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from core.contracts import ATTRIBUTES, AgeBand, EyeColor, Features, Glasses, HairColor, Headwear
from embedded.drawing.dataset import appearance_at, is_adult
from embedded.drawing.faces import SELFIES, appearance_of, draw_face, random_features, write_selfies
from embedded.drawing.scenes import BACKGROUNDS, PLACES
from embedded.training.prompts import prompt_of

PLAIN = Features.model_validate(
    {
        "gender_presentation": "masculine",
        "age_band": "25_34",
        "skin_tone": "medium",
        "hair_color": "brown",
        "hair_length": "medium",
        "hair_style": "straight",
        "eye_color": "blue",
        "facial_hair": "none",
        "glasses": "none",
        "expression": "neutral",
        "face_shape": "oval",
        "headwear": "none",
        "earrings": "none",
    }
)


def _pixels(features: Features, seed: int = 3) -> np.ndarray:
    return np.asarray(draw_face(features, seed=seed, size=128, background="blue")).astype(int)


def test_same_seed_draws_the_same_bytes() -> None:
    assert draw_face(PLAIN, seed=7).tobytes() == draw_face(PLAIN, seed=7).tobytes()
    assert draw_face(PLAIN, seed=7).tobytes() != draw_face(PLAIN, seed=8).tobytes()


@pytest.mark.parametrize("attribute", sorted(ATTRIBUTES))
def test_every_value_of_an_attribute_is_drawn_differently(attribute: str) -> None:
    drawn = {
        value: _pixels(PLAIN.model_copy(update={attribute: value}))
        for value in ATTRIBUTES[attribute]
        if value not in ("unknown", "none") or attribute not in ("hair_color", "hair_style")
        if value != "unknown"
    }
    names = sorted(drawn)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            changed = np.abs(drawn[one] - drawn[other]).max(axis=2) > 24
            assert changed.sum() >= 20, f"{one} and {other} look alike"


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_background_is_drawn_at_any_size(background: str) -> None:
    picture = draw_face(PLAIN, seed=1, size=96, background=background)
    assert picture.size == (96, 96)
    assert picture.mode == "RGB"


def test_covered_attributes_are_unknown() -> None:
    drawn = [random_features(random.Random(seed)) for seed in range(400)]
    assert all(f.eye_color is EyeColor.UNKNOWN for f in drawn if f.glasses is Glasses.SUNGLASSES)
    assert all(f.hair_color is HairColor.UNKNOWN for f in drawn if f.headwear is Headwear.SCARF)


def test_minors_are_drawn_only_on_request() -> None:
    assert all(random_features(random.Random(s)).age_band is not AgeBand.UNDER_18 for s in range(500))
    assert any(random_features(random.Random(s), minors=True).age_band is AgeBand.UNDER_18 for s in range(100))
    assert all(appearance_of(Features(), seed=s).features.age_band is not AgeBand.UNDER_18 for s in range(300))


def test_unknown_features_are_drawn_with_a_definite_value() -> None:
    definite = appearance_of(Features(), seed=11).features
    assert [name for name in ATTRIBUTES if getattr(definite, name) == "unknown"] == []


def test_the_selfies_are_distinct_adults(tmp_path) -> None:
    written = write_selfies(tmp_path / "a b", size=128)
    pictures = [Image.open(path) for path in written]
    assert all(picture.format == "JPEG" and picture.size == (128, 128) for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(SELFIES)
    assert all(features.age_band not in (AgeBand.UNDER_18, AgeBand.UNKNOWN) for features, _, _ in SELFIES.values())


def test_a_prompt_names_the_place_that_is_drawn() -> None:
    seen, look = appearance_at("train", 0, minors=False)
    record = {
        "features": {name: str(getattr(seen, name)) for name in ATTRIBUTES},
        "background": "beach",
        "clothes": look.clothes,
        "cloth_color": look.cloth_color,
        "hat_color": look.hat_color,
        "dye": look.dye,
    }
    rng = random.Random(1)
    prompts = [prompt_of(record, rng).lower() for _ in range(200)]
    words = ("beach", "sea", "ocean", "shore", "sand", "island", "coast")
    assert sum(any(word in prompt for word in words) for prompt in prompts) > 150
    assert not any("plain background" in prompt for prompt in prompts)
    assert is_adult(record)
    assert set(PLACES) >= {"beach", "night", "forest", "city", "indoors"}
