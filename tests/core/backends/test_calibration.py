"""Calibration: option orders, temperatures and their file."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch

from core.backends.calibration import FILE, Calibration
from core.backends.vision import AttributeReader, load_vision
from core.contracts import AgeBand
from core.errors import Misconfigured
from core.prompts.questions import QUESTIONS, REVERSED_QUESTIONS
from core.weights import Model, fetch
from embedded.drawing.faces import draw_face, random_features
from tools.calibrate import calibration_error, fit_temperature


def logits(order: str, values: list[float]) -> dict[tuple[str, str], torch.Tensor]:
    uniform = {(order, name): torch.zeros(len(question.values)) for name, question in QUESTIONS.items()}
    return uniform | {(order, "earrings"): torch.tensor(values)}


def test_reversed_questions_name_the_same_values_by_other_letters() -> None:
    for name, question in QUESTIONS.items():
        other = REVERSED_QUESTIONS[name]
        assert other.values == question.values[::-1]
        assert other.letters == question.letters
    assert "A. under 18" in QUESTIONS["age_band"].text
    assert f"{REVERSED_QUESTIONS['age_band'].letters[-1]}. under 18" in REVERSED_QUESTIONS["age_band"].text


def test_mean_over_both_orders_cancels_a_preference_for_a_letter() -> None:
    prefers_a = logits("given", [2.0, 0.0, 0.0]) | logits("reversed", [0.0, 0.0, 2.0])

    shares = AttributeReader.calibrated(prefers_a, Calibration())["earrings"]

    assert shares[0] == pytest.approx(shares[2])
    assert sum(shares) == pytest.approx(1)


def test_temperature_above_one_makes_an_answer_less_certain() -> None:
    sure = logits("given", [4.0, 0.0, 0.0])
    given = Calibration(("given",))
    softened = Calibration(("given",), {"earrings": 4.0})

    assert (
        AttributeReader.calibrated(sure, softened)["earrings"][0]
        < AttributeReader.calibrated(sure, given)["earrings"][0]
    )
    assert AttributeReader.calibrated(sure, softened)["glasses"] == AttributeReader.calibrated(sure, given)["glasses"]


def test_temperature_is_recovered_from_answers_drawn_at_it() -> None:
    draw = random.Random(3)
    seen, truths = [], []
    for _ in range(2_000):
        row = torch.tensor([draw.gauss(0, 2) for _ in range(3)])
        truths.append(draw.choices(range(3), (row / 1).softmax(-1).tolist())[0])
        seen.append({("given", "earrings"): row * 2.5})  # 2.5 times too certain

    fitted = fit_temperature(seen, truths, "earrings", ("given",))

    assert fitted == pytest.approx(2.5, rel=0.15)


def test_calibration_error_of_certain_and_right_answers_is_zero() -> None:
    assert calibration_error([[1.0, 0.0]] * 10, [0] * 10) == 0
    assert calibration_error([[1.0, 0.0]] * 10, [0, 1] * 5) == pytest.approx(0.5)


def test_calibration_file_round_trips(tmp_path: Path) -> None:
    calibration = Calibration(("given",), {"age_band": 1.7})
    (tmp_path / FILE).write_text(calibration.to_json())

    assert Calibration.load(tmp_path / FILE) == calibration
    assert Calibration.load(tmp_path / "none.json") == Calibration()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"orders": [], "temperatures": {}}',
        '{"orders": ["sideways"], "temperatures": {}}',
        '{"orders": ["given"], "temperatures": {"height": 1}}',
        '{"orders": ["given"], "temperatures": {"age_band": 0}}',
        '{"orders": ["given"], "temperatures": {"age_band": "hot"}}',
    ],
)
def test_invalid_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)

    with pytest.raises(Misconfigured, match=r"tools\.calibrate"):
        Calibration.load(tmp_path / FILE)


def test_both_orders_run_as_one_batch_and_give_probabilities(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(Calibration().to_json())
    backend = load_vision(
        *fetch("embedded", [Model.VISION, Model.FACE]), device="cpu", calibration_file=tmp_path / FILE
    )
    picture = draw_face(random_features(random.Random(4)), seed=4, size=256)

    shares = backend.reader.shares(picture)

    assert len(backend.reader.rows) == 2 * len(QUESTIONS)
    for name, question in QUESTIONS.items():
        assert len(shares[name]) == len(question.values)
        assert math.isclose(sum(shares[name]), 1, abs_tol=1e-4)
    assert AgeBand.UNDER_18 in QUESTIONS["age_band"].values
