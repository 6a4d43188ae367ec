"""Train the tiny Qwen2-VL on drawn selfies and the product's own questions.

    python -m embedded.training.qwen2vl DATA RUNS --photos FOLDER --minutes 35

All questions about a picture run in one pass: the picture's tokens, then each question's tokens, which attend to the
picture and to their own question only. `core.backends.vision` computes the same with its cache, position for position.
The first part of a run trains only the vision encoder, with linear layers for each question, which is cheaper and
learns faster. One of these layers gets only the mean of the picture's tokens, so that each token carries the answers
and the language model only has to learn which answer a question asks for.

One picture in six has no face that could be analysed (noise, places without a person, photographs, strongly blurred
faces), and every answer to it is the last letter, `unknown`.
"""

# ruff: noqa: S311  (random pictures, no secrets)
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its usual name
from transformers import (
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from core.backends.vision import question_prompts
from core.contracts import ATTRIBUTES
from core.prompts.questions import QUESTIONS
from embedded.drawing import dataset
from embedded.drawing.canvas import Canvas
from embedded.drawing.scenes import BACKGROUNDS, draw_background
from embedded.training.loop import Averaged, Clock, Run, two_optimizers
from embedded.training.tokenizer import (
    CHAT_TEMPLATE,
    END,
    END_OF_TURN,
    IMAGE_PAD,
    TURN,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    load_tokenizer,
)

PATCH = 8
SIDE = 112
"""px of the square to which the processor resizes a face's crop; crops at a picture's edge keep their shape."""
SHAPES = ((112, 112), (112, 112), (112, 96), (96, 112), (128, 96), (96, 128))
"""Heights and widths with about `SIDE`² pixels, for crops that are not quite square."""
UNREADABLE = 0.16
UNKNOWN = {name: len(question.letters) - 1 for name, question in QUESTIONS.items()}


def new_processor(tokenizer_folder: Path) -> Qwen2VLProcessor:
    sizes = {"patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2}
    sizes |= {"min_pixels": SIDE * SIDE, "max_pixels": SIDE * SIDE}
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=load_tokenizer(tokenizer_folder),
        video_processor=Qwen2VLVideoProcessor(**sizes),
        chat_template=CHAT_TEMPLATE,
    )


def new_model(processor: Qwen2VLProcessor) -> Qwen2VLForConditionalGeneration:
    torch.manual_seed(0)
    token = processor.tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10_000.0},
            "bos_token_id": token(TURN),
            "eos_token_id": token(END_OF_TURN),
            "pad_token_id": token(END),
        },
        vision_config={
            "depth": 4,
            "embed_dim": 128,
            "hidden_size": 128,
            "num_heads": 4,
            "mlp_ratio": 3,
            "patch_size": PATCH,
        },
        image_token_id=token(IMAGE_PAD),
        video_token_id=token(VIDEO_PAD),
        vision_start_token_id=token(VISION_START),
        vision_end_token_id=token(VISION_END),
        tie_word_embeddings=True,
    )
    return Qwen2VLForConditionalGeneration(config)


class Pictures:
    """Crops of drawn faces with their answers, and pictures without a face."""

    def __init__(self, data: Path, photos: Path | None, split: str, seed: int) -> None:
        self.faces, self.records = dataset.load(data, split)
        self.rng = random.Random(seed)
        files = sorted(path for path in photos.iterdir() if path.is_file()) if photos else []
        self.photos = [np.asarray(_at_most(Image.open(path).convert("RGB"), 400)) for path in files]

    def one(self, height: int, width: int) -> tuple[NDArray[np.uint8], list[int]]:
        """A picture of the given size, and the index of each question's answer."""
        if self.rng.random() < UNREADABLE:
            picture = Image.fromarray(self._unreadable()).resize((width, height), Image.Resampling.BICUBIC)
            return np.asarray(picture), list(UNKNOWN.values())
        index = self.rng.randrange(len(self.records))
        record = self.records[index]
        picture = _cut(Image.fromarray(self.faces[index]), record, height / width, self.rng)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(_varied(picture, self.rng)), answers_of(record)

    def _unreadable(self) -> NDArray[np.uint8]:
        kind, rng = self.rng.random(), self.rng
        if self.photos and kind < 0.5:
            return random_cut(rng.choice(self.photos), rng)
        if kind < 0.62:
            return np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (64, 64, 3), np.uint8)
        if kind < 0.72:
            smooth = np.random.default_rng(rng.randrange(2**32)).integers(
                0, 256, (rng.randint(1, 6),) * 2 + (3,), np.uint8
            )
            return np.asarray(Image.fromarray(smooth).resize((96, 96), Image.Resampling.BICUBIC))
        if kind < 0.86:
            canvas = Canvas(96, supersampling=1)
            draw_background(canvas, rng.choice(BACKGROUNDS), rng)
            return np.asarray(canvas.finished())
        face = Image.fromarray(self.faces[rng.randrange(len(self.records))])
        return np.asarray(face.filter(ImageFilter.GaussianBlur(rng.uniform(15, 30))))


def answers_of(record: dict[str, Any]) -> list[int]:
    return [list(ATTRIBUTES[name]).index(record["features"][name]) for name in QUESTIONS]


def random_cut(photo: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """A random square of the photograph, at least a quarter of its shorter side."""
    side = int(min(photo.shape[:2]) * rng.uniform(0.25, 1))
    y, x = rng.randint(0, photo.shape[0] - side), rng.randint(0, photo.shape[1] - side)
    cut = photo[y : y + side, x : x + side]
    return cut[:, ::-1] if rng.random() < 0.5 else cut


def _at_most(photo: Image.Image, side: int) -> Image.Image:
    photo.thumbnail((side, side))
    return photo


def _cut(picture: Image.Image, record: dict[str, Any], shape: float, rng: random.Random) -> Image.Image:
    """A crop like that of `face_crop`: the face with a margin, limited by the picture's edges."""
    side = picture.width
    unit = record["scale"] * side
    # The packaged detector's boxes, measured: 1.65 units wide (0.15 of spread), their middle 0.27 below the face's own.
    # Without a box it is the whole picture.
    half = unit * rng.uniform(1.05, 2.0)
    x = record["x"] * side + unit * rng.gauss(0, 0.06)
    y = record["y"] * side + unit * rng.uniform(0.0, 0.5)
    tall, wide = half * min(shape, 1), half / max(shape, 1)
    box = (max(0, round(x - wide)), max(0, round(y - tall)), min(side, round(x + wide)), min(side, round(y + tall)))
    cut = picture.crop(box)
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cut


def _varied(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Random exposure, colour of light and blur, like those of cameras and encoders."""
    gain = [rng.uniform(0.92, 1.08) * (light := 1.0) for _ in range(3)]
    light = rng.uniform(0.88, 1.12)
    shift = rng.uniform(-8, 8)
    table = [min(255, max(0, round(value * each * light + shift))) for each in gain for value in range(256)]
    picture = picture.point(table)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0))) if rng.random() < 0.3 else picture


class QuestionBatch:
    """The tokens of all questions after one picture, with the mask and positions that separate them."""

    def __init__(self, model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor) -> None:
        self.model, self.processor = model, processor
        prompts = question_prompts(processor)
        tokenize = processor.tokenizer
        self.head = prompts.head
        self.tails = [tokenize(tail, add_special_tokens=False)["input_ids"] for tail in prompts.tails.values()]
        self.letters = [[tokenize(letter)["input_ids"][0] for letter in q.letters] for q in QUESTIONS.values()]

    def logits(self, pictures: NDArray[np.uint8], features: torch.Tensor, selected: list[int]) -> torch.Tensor:
        """`(B, len(selected), vocabulary)` logits; `features` are the encoded `pictures`."""
        batch = len(pictures)
        seen = self.processor(
            text=[self.head], images=[pictures[0]], return_tensors="pt", images_kwargs={"do_resize": False}
        )
        ids, core = seen["input_ids"], self.model.model
        places, _ = core.get_rope_index(ids, seen["mm_token_type_ids"], image_grid_thw=seen["image_grid_thw"])
        embed = core.language_model.embed_tokens
        head = embed(ids).expand(batch, -1, -1).clone()
        head[:, ids[0] == self.model.config.image_token_id] = features.to(head.dtype)
        tails = torch.tensor([token for index in selected for token in self.tails[index]])
        hidden = core.language_model(
            inputs_embeds=torch.cat([head, embed(tails).expand(batch, -1, -1)], 1),
            position_ids=self._positions(places, selected).expand(-1, batch, -1),
            attention_mask=self._mask(ids.shape[1], selected),
            use_cache=False,
        ).last_hidden_state
        ends = torch.tensor([len(self.tails[index]) for index in selected]).cumsum(0) - 1 + ids.shape[1]
        out: torch.Tensor = self.model.lm_head(hidden[:, ends])
        return out

    def encode_pictures(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """`(B, tokens, width)`: the pictures' tokens, the input of the language model.

        `pictures` is `(B, H, W, 3)`, all of one size that the processor doesn't resize.
        """
        pixels = self.processor.image_processor(
            images=[torch.from_numpy(p.copy()).permute(2, 0, 1) for p in pictures], do_resize=False, return_tensors="pt"
        )
        visual = self.model.model.visual
        features: torch.Tensor = visual(pixels["pixel_values"], grid_thw=pixels["image_grid_thw"]).pooler_output
        return features.view(len(pictures), -1, features.shape[-1])

    def _positions(self, places: torch.Tensor, selected: list[int]) -> torch.Tensor:
        after = int(places.max()) + 1
        tails = torch.cat([torch.arange(len(self.tails[index])) + after for index in selected])
        return torch.cat([places, tails.expand(3, 1, -1)], dim=-1)

    def _mask(self, head: int, selected: list[int]) -> torch.Tensor:
        owner = torch.cat([torch.full((head,), -1), *(torch.full((len(self.tails[i]),), i) for i in selected)])
        seen = (owner[None, :] == -1) | (owner[None, :] == owner[:, None])
        return (seen & torch.ones(len(owner), len(owner)).tril().bool())[None, None]


class AuxiliaryHeads(nn.Module):
    """Linear layers that predict all answers from the picture's tokens; used in training only."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm, self.mean_norm = nn.LayerNorm(tokens * width), nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(tokens * width, len(q.letters)) for q in QUESTIONS.values())
        self.mean_heads = nn.ModuleList(nn.Linear(width, len(q.letters)) for q in QUESTIONS.values())

    def of_all(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Prediction from every token by its position; only for square pictures."""
        seen = self.norm(features.flatten(1))
        return [head(seen) for head in self.heads]

    def of_mean(self, features: torch.Tensor) -> list[torch.Tensor]:
        seen = self.mean_norm(features.mean(1))
        return [head(seen) for head in self.mean_heads]


class Curriculum:
    """Sampler of questions that prefers those with more wrong answers."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.wrong = rng, [0.5] * len(QUESTIONS)

    def chosen(self, count: int) -> list[int]:
        """Sample without replacement, weighted by each question's share of wrong answers plus a constant."""
        keys = {place: self.rng.random() ** (1 / (wrong + 0.03)) for place, wrong in enumerate(self.wrong)}
        return sorted(sorted(keys, key=lambda place: keys[place])[-count:])

    def record(self, chosen: list[int], right: list[float]) -> None:
        for place, share in zip(chosen, right, strict=True):
            self.wrong[place] += 0.05 * (1 - share - self.wrong[place])

    @property
    def right(self) -> float:
        return 1 - sum(self.wrong) / len(self.wrong)


def _main(  # noqa: PLR0913, PLR0917  # a command's options
    data: Path,
    runs: Path,
    photos: Path | None = None,
    minutes: float = 35,
    batch: int = 16,
    questions: int = 8,
    glance: float = 0.45,
    peak: float = 1.5e-3,
    threads: int = 1,
    start: Path | None = None,
) -> None:
    """Train, and write `qwen2vl/` into RUNS. `glance` is the share of the time that trains only the vision encoder.

    `start` is the checkpoint to begin with if RUNS has no run.
    """
    torch.set_num_threads(threads)
    processor = new_processor(runs / "tokenizer")
    model, run = new_model(processor).train(), Run(runs, "vlm")
    if start is not None:
        shipped = Qwen2VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
        model.load_state_dict(shipped.state_dict())
    average, question_batch = Averaged(model, keep=0.998), QuestionBatch(model, processor)
    first_glance = AuxiliaryHeads((SIDE // PATCH // 2) ** 2, 128)
    muon, adam = two_optimizers(nn.ModuleList([model, first_glance]), ("blocks.", "language_model.layers."), peak)
    parts: dict[str, Any] = {
        "model": model,
        "average": average.model,
        "glance": first_glance,
        "muon": muon,
        "adam": adam,
    }
    first = run.resume(**parts)
    curriculum = Curriculum(random.Random(first))
    pictures, clock, step = Pictures(data, photos, "train", first), Clock(minutes, peak, decay_from=0.7), first
    for step in clock.steps((muon, adam), first):
        alone = clock.share < glance
        height, width = (SIDE, SIDE) if alone else pictures.rng.choice(SHAPES)
        drawn, answers = zip(*(pictures.one(height, width) for _ in range(batch)), strict=True)
        stacked, wanted = np.stack(drawn), torch.tensor(answers)
        with torch.autocast("cpu", torch.bfloat16):
            features = question_batch.encode_pictures(stacked)
            means = first_glance.of_mean(features)
            rows = first_glance.of_all(features) if alone else None
        loss, right = _loss_of(means, wanted)
        if rows is not None:
            loss = loss + _loss_of(rows, wanted)[0]
        else:
            chosen = curriculum.chosen(questions)
            question_loss, hits = _question_loss(question_batch, stacked, features, chosen, wanted)
            curriculum.record(chosen, hits)
            loss, right = 0.5 * loss + question_loss, curriculum.right
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in (muon, adam):
            optimizer.step()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.zero_grad()
        average.update(model, step)
        run.note(step, clock, loss=loss.item(), right=right)
        if run.due():
            run.save(step, **parts)
    run.save(step, **parts)
    save(average.model, processor, runs / "qwen2vl")


def _loss_of(rows: list[torch.Tensor], wanted: torch.Tensor) -> tuple[torch.Tensor, float]:
    losses = [F.cross_entropy(row.float(), wanted[:, place]) for place, row in enumerate(rows)]
    predicted = torch.stack([row.argmax(-1) for row in rows], 1)
    return torch.stack(losses).mean(), (predicted == wanted).float().mean().item()


def _question_loss(
    question_batch: QuestionBatch,
    pictures: NDArray[np.uint8],
    features: torch.Tensor,
    chosen: list[int],
    wanted: torch.Tensor,
) -> tuple[torch.Tensor, list[float]]:
    """The loss, and each question's accuracy."""
    letters = torch.tensor([[question_batch.letters[q][row[q]] for q in chosen] for row in wanted.tolist()])
    with torch.autocast("cpu", torch.bfloat16):
        logits = question_batch.logits(pictures, features, chosen)
    loss = F.cross_entropy(logits.float().flatten(0, 1), letters.flatten())
    return loss, (logits.argmax(-1) == letters).float().mean(0).tolist()


def save(model: Qwen2VLForConditionalGeneration, processor: Qwen2VLProcessor, folder: Path) -> None:
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


if __name__ == "__main__":
    typer.run(_main)
