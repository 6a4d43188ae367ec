"""The trainers compute the same inputs and outputs as the product's code."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from core.backends.vision import AttributeReader
from core.prompts.questions import QUESTIONS
from embedded.training.qwen2vl import Curriculum, QuestionBatch, new_model, new_processor
from embedded.training.ship import WEIGHTS
from embedded.training.tokenizer import load_tokenizer
from embedded.training.zimage import ImageModel, _weights_of_places, noise_levels


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    load_tokenizer(folder)
    return folder


def test_packed_training_questions_give_the_vision_models_logits(tokenizer_folder) -> None:
    processor = new_processor(tokenizer_folder)
    model = new_model(processor).eval()
    pixels = np.random.default_rng(1).integers(0, 256, (112, 112, 3), np.uint8)
    with torch.inference_mode():
        asked = QuestionBatch(model, processor)
        packed = asked.logits(pixels[None], asked.encode_pictures(pixels[None]), list(range(len(QUESTIONS))))[0]
    alone = AttributeReader(model, processor).logits(Image.fromarray(pixels))
    assert torch.allclose(packed, alone, atol=1e-4)


def test_captions_in_training_are_what_the_pipeline_reads(tokenizer_folder) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    image_model = ImageModel(len(tokenizer)).eval()
    ids = torch.tensor([tokenizer("A portrait of a woman with red hair.")["input_ids"]])
    with torch.inference_mode():
        [encoded] = image_model.encode_prompts(ids, [ids.shape[1]])
        read = image_model.encoder(input_ids=ids, output_hidden_states=True).hidden_states[-2][0]
    assert torch.allclose(encoded, read, atol=1e-5)


def test_training_noise_levels_are_shifted_as_the_samplers() -> None:
    torch.manual_seed(0)
    levels = noise_levels(20_000)
    assert levels.min() > 0
    assert levels.max() < 1
    assert 0.7 < levels.median() < 0.8


def test_questions_answered_wrongly_are_sampled_more_often() -> None:
    curriculum, asked = Curriculum(random.Random(0)), Counter[int]()
    for _ in range(400):
        chosen = curriculum.chosen(3)
        assert len(set(chosen)) == 3
        curriculum.record(chosen, [0.2 if place == 1 else 1.0 for place in chosen])
        asked.update(chosen)
    assert asked.most_common(1)[0][0] == 1
    assert min(asked[place] for place in range(len(QUESTIONS))) > 20


def test_loss_weights_are_larger_in_the_face_and_average_to_one() -> None:
    weights = _weights_of_places()
    assert weights.mean().item() == pytest.approx(1)
    assert weights[2, 8] == pytest.approx(4 * weights[0, 0])
    assert weights[8, 8] == pytest.approx(12 * weights[0, 0])


def test_shipped_weights_contain_no_build_path() -> None:
    configs = [*WEIGHTS.rglob("*.json")]
    assert len(configs) > 8
    for config in configs:
        assert "_name_or_path" not in config.read_text(encoding="utf-8")
