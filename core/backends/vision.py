"""Read features and face of a selfie: YOLO finds the face, Qwen2-VL answers one multiple-choice question per attribute.

The picture is encoded once. The common part of all prompts, up to the end of the picture, fills a KV cache; the
questions then run as one batch on copies of it, and one token per question is evaluated. `core.backends.calibration`
converts the letters' logits to the answer's confidence. The embedded model is trained with the same `question_prompts`
and `face_crop`.

May import: torch, transformers, ultralytics, core.contracts, core.errors, core.prompts, core.weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.backends import BatchCallbacks, Outcome, PictureAges, SelfieAnalysis, SelfieRequest
from core.backends.calibration import FILE, ORDERS, Calibration
from core.backends.devices import choose_device, device_errors, without_progress_bars
from core.backends.face_detection import FaceDetector
from core.backends.face_quality import Box, measure, overall
from core.contracts import MAX_FACE_BOXES, AgeBand, ApparentAge, FaceMeta, Features, ModelInfo
from core.errors import Cancelled, InvalidRequest, Misconfigured
from core.prompts.questions import QUESTIONS, Question

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor

    from core.weights import Located

CROP_MARGIN = 0.35
"""Margin around the face as a share of the box's longer side: hair, ears and headwear are outside of the box."""
MAX_RATIO = 50
"""Largest ratio of a crop's longer side to its shorter one."""
MAX_FACES = 12
"""Faces of one picture whose age is estimated; further faces are only counted."""


ONE_ORDER = Calibration(("given",))
"""As the embedded model is trained."""

_AFTER_PICTURE = "<|vision_end|>"


@dataclass(frozen=True, slots=True)
class QuestionPrompts:
    """`head` ends with the picture and is common to all; `tails[attribute]` is the question up to the answer."""

    head: str
    tails: dict[str, str]


def question_prompts(processor: Qwen2VLProcessor, questions: Mapping[str, Question] = QUESTIONS) -> QuestionPrompts:
    """`questions` in the checkpoint's own chat template, split at the end of the picture.

    The split is after a special token, so both parts give the same tokens separately as together.
    """
    tails: dict[str, str] = {}
    head = ""
    for attribute, question in questions.items():
        content = [{"type": "image"}, {"type": "text", "text": question.text}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        head, _, tails[attribute] = str(text).partition(_AFTER_PICTURE)
    return QuestionPrompts(head + _AFTER_PICTURE, tails)


def face_crop(image: Image, face: Box | None) -> Image:
    """A square around the face with `CROP_MARGIN`, cut off at the picture's edges; the whole picture without a face.

    A picture with a larger ratio than `MAX_RATIO` is cropped to its middle, because Qwen2-VL's processor refuses 200.
    """
    if face is None:
        reach = MAX_RATIO * min(image.size)
        left, top = max(0, (image.width - reach) // 2), max(0, (image.height - reach) // 2)
        return image.crop((left, top, image.width - left, image.height - top)) if left or top else image
    half = max(face.right - face.left, face.bottom - face.top) * (0.5 + CROP_MARGIN)
    middle_x, middle_y = (face.left + face.right) / 2, (face.top + face.bottom) / 2
    return image.crop(
        (
            max(0, round(middle_x - half)),
            max(0, round(middle_y - half)),
            min(image.width, round(middle_x + half)),
            min(image.height, round(middle_y + half)),
        )
    )


@dataclass(frozen=True, slots=True)
class ConfidenceThresholds:
    """Minimum probabilities of an answer; below `confidence` it is `unknown`.

    `under_18` has a lower threshold, because a missed minor is the worse error.
    """

    confidence: float = 0.4
    under_18: float = 0.3


def read(shares: dict[str, list[float]], thresholds: ConfidenceThresholds = ConfidenceThresholds()) -> Features:
    """Features from each question's letter probabilities (which sum to 1 in the order of its letters)."""
    values: dict[str, Any] = {}
    confidence: dict[str, float] = {}
    for attribute, question in QUESTIONS.items():
        value, share = _answer(question, shares[attribute], thresholds)
        values[attribute], confidence[attribute] = value, round(share, 4)
    return Features(**values, confidence=confidence)


def read_age(shares: Sequence[float], thresholds: ConfidenceThresholds = ConfidenceThresholds()) -> ApparentAge:
    """Apparent age from the letter probabilities of the question `age_band`."""
    question = QUESTIONS["age_band"]
    value, share = _answer(question, list(shares), thresholds)
    under_18 = shares[question.values.index(AgeBand.UNDER_18)]
    return ApparentAge(age_band=AgeBand(value), confidence=round(share, 4), under_18=round(under_18, 4))


def _answer(question: Question, shares: list[float], thresholds: ConfidenceThresholds) -> tuple[str, float]:
    by_value = dict(zip(question.values, shares, strict=True))
    if (under_18 := by_value.get(AgeBand.UNDER_18, 0.0)) >= thresholds.under_18:
        return AgeBand.UNDER_18, under_18
    value, share = max(by_value.items(), key=lambda item: item[1])
    if share < thresholds.confidence:
        value = question.values[-1]
    return value, by_value[value]


class AttributeReader:
    """Qwen2-VL and its processor; answers all questions about one picture in one batch."""

    def __init__(
        self,
        model: Qwen2VLForConditionalGeneration,
        processor: Qwen2VLProcessor,
        calibration: Calibration = ONE_ORDER,
    ) -> None:
        self.model, self.processor, self.calibration = model, processor, calibration
        prompts = {order: question_prompts(processor, ORDERS[order]) for order in calibration.orders}
        self.head = next(iter(prompts.values())).head
        self.rows = [(order, name) for order in calibration.orders for name in QUESTIONS]
        self.tails = [self._tokens(prompts[order].tails[name]) for order, name in self.rows]
        self.letters = {name: [self._letter(letter) for letter in q.letters] for name, q in QUESTIONS.items()}

    @torch.inference_mode()
    def shares(self, image: Image) -> dict[str, list[float]]:
        """Probabilities of each attribute's values for `image` (RGB), in the order of `QUESTIONS`."""
        return self.calibrated(self.letter_logits(image), self.calibration)

    @torch.inference_mode()
    def letter_logits(self, image: Image) -> dict[tuple[str, str], torch.Tensor]:
        """(order, attribute) → logits of the values, for both orders in the order of `QUESTIONS`."""
        logits = self.logits(image)
        picked = {row: logits[index, self.letters[row[1]]].float() for index, row in enumerate(self.rows)}
        return {row: part.flip(0) if row[0] == "reversed" else part for row, part in picked.items()}

    @staticmethod
    def calibrated(logits: Mapping[tuple[str, str], torch.Tensor], calibration: Calibration) -> dict[str, list[float]]:
        """Mean over the orders of the softmax at each attribute's temperature."""
        shares: dict[str, list[float]] = {}
        for name in QUESTIONS:
            scaled = [logits[order, name] / calibration.temperature(name) for order in calibration.orders]
            shares[name] = torch.stack([row.softmax(-1) for row in scaled]).mean(0).tolist()
        return shares

    @torch.inference_mode()
    def logits(self, image: Image) -> torch.Tensor:
        """`(rows, vocabulary)`: the logits after each question, in the order of `rows`."""
        cache, position = self._encode(image)
        cache.batch_repeat_interleave(len(self.tails))
        ids, lengths = self._padded()
        steps = torch.arange(ids.shape[1], device=ids.device) + position
        # Positions of text after a picture increase equally in all three axes of M-RoPE. Padding is after every real
        # token, where causal attention ignores it, so no mask is needed.
        out = self.model(
            input_ids=ids,
            position_ids=steps.expand(3, len(lengths), -1),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=torch.arange(min(lengths) - 1, ids.shape[1], device=ids.device),
        )
        rows = torch.arange(len(lengths), device=ids.device)
        last: torch.Tensor = out.logits[rows, torch.tensor(lengths, device=ids.device) - min(lengths)]
        return last

    def _encode(self, image: Image) -> tuple[Any, int]:
        """The shared head's KV cache, and the next position."""
        inputs = self.processor(text=[self.head], images=[image], return_tensors="pt").to(self.model.device)
        positions, _ = self.model.model.get_rope_index(
            inputs["input_ids"], inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
        )
        out = self.model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
        return out.past_key_values, int(positions.max()) + 1

    def _padded(self) -> tuple[torch.Tensor, list[int]]:
        lengths = [len(tail) for tail in self.tails]
        ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
        for row, tail in enumerate(self.tails):
            ids[row, : len(tail)] = torch.tensor(tail)
        return ids.to(self.model.device), lengths

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _letter(self, letter: str) -> int:
        tokens = self._tokens(letter)
        if len(tokens) != 1:
            raise Misconfigured(f"The vision model's tokenizer has no single token for the answer letter {letter!r}.")
        return tokens[0]


def limit_visual_tokens(processor: Qwen2VLProcessor, tokens: tuple[int, int] | None) -> None:
    """Limit the visual tokens of a picture; the hub's processor allows 16,384. None keeps the checkpoint's limits."""
    if tokens is None:
        return
    images = processor.image_processor
    pixels_per_token = (images.patch_size * images.merge_size) ** 2
    images.size = {"shortest_edge": tokens[0] * pixels_per_token, "longest_edge": tokens[1] * pixels_per_token}


class LoadedVision:
    """`VisionBackend` over real weights."""

    def __init__(
        self, info: ModelInfo, reader: AttributeReader, detector: FaceDetector, thresholds: ConfidenceThresholds
    ) -> None:
        self.info, self.reader, self.detector, self.thresholds = info, reader, detector, thresholds

    def generate(self, requests: Sequence[SelfieRequest], watch: BatchCallbacks) -> list[Outcome[SelfieAnalysis]]:
        return [self._analyze_one(index, request, watch) for index, request in enumerate(requests)]

    def _analyze_one(self, index: int, request: SelfieRequest, watch: BatchCallbacks) -> Outcome[SelfieAnalysis]:
        image, chosen = request.image, request.face or 0
        if watch.cancelled(index):
            return Cancelled("The job was cancelled.")
        with device_errors("looking for a face"):
            faces = self.detector.find(image)
        if chosen >= max(1, len(faces)):
            return InvalidRequest(_no_such_face(len(faces)))
        watch.step(index, 1, 2)
        if watch.cancelled(index):
            return Cancelled("The job was cancelled.")
        with device_errors("reading a picture"):
            features = read(self.reader.shares(face_crop(image, faces[chosen] if faces else None)), self.thresholds)
        watch.step(index, 2, 2)
        return SelfieAnalysis(features, face_meta(image, faces, chosen))

    def read_ages(self, requests: Sequence[Image], watch: BatchCallbacks) -> list[Outcome[PictureAges]]:
        return [self._read_ages_of_one(index, image, watch) for index, image in enumerate(requests)]

    def _read_ages_of_one(self, index: int, image: Image, watch: BatchCallbacks) -> Outcome[PictureAges]:
        if watch.cancelled(index):
            return Cancelled("The job was cancelled.")
        with device_errors("looking for faces"):
            faces = self.detector.find(image)
        crops = [face_crop(image, face) for face in faces[:MAX_FACES]]
        ages: list[ApparentAge] = []
        for done, crop in enumerate([*crops, face_crop(image, None)], 1):
            if watch.cancelled(index):
                return Cancelled("The job was cancelled.")
            with device_errors("reading an age"):
                ages.append(read_age(self.reader.shares(crop)["age_band"], self.thresholds))
            watch.step(index, done, len(crops) + 1)
        return PictureAges(tuple(ages[:-1]), ages[-1], len(faces) - len(crops))


def _no_such_face(found: int) -> str:
    if found <= 1:
        return f"`face`: {'one face was' if found else 'no face was'} found in the picture; omit the field."
    return f"`face`: {found} faces were found in the picture; give 0 to {found - 1}."


def face_meta(image: Image, faces: list[Box], chosen: int = 0) -> FaceMeta:
    """Position and quality of the chosen face; without one, the whole picture is measured and the score lowered."""
    ordered = [*faces[chosen : chosen + 1], *faces[:chosen], *faces[chosen + 1 :]]
    quality = measure(np.asarray(image), ordered)
    main = ordered[0] if ordered else None
    return FaceMeta(
        detected=main is not None,
        box=_corners(main) if main else None,
        confidence=main.confidence if main else 0.0,
        faces_in_picture=len(faces),
        index=chosen if main else None,
        boxes=tuple(_corners(face) for face in faces[:MAX_FACE_BOXES]),
        quality_score=overall(quality, detected=main is not None),
        components=quality,
    )


def _corners(face: Box) -> tuple[int, int, int, int]:
    return round(face.left), round(face.top), round(face.right), round(face.bottom)


def load_vision(
    located_vlm: Located,
    located_face: Located,
    *,
    device: str | None = None,
    thresholds: ConfidenceThresholds = ConfidenceThresholds(),
    calibration_file: Path | None = None,
) -> LoadedVision:
    """Load both models. `calibration_file` defaults to the checkpoint's own. Raises `Misconfigured`."""
    from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor

    on = choose_device(device)
    without_progress_bars()
    processor = Qwen2VLProcessor.from_pretrained(located_vlm.path)
    limit_visual_tokens(processor, located_vlm.facts.visual_tokens)
    model = Qwen2VLForConditionalGeneration.from_pretrained(
        located_vlm.path, dtype=torch.bfloat16 if on.type == "cuda" else torch.float32, device_map={"": on}
    ).eval()
    info = ModelInfo(name=located_vlm.name, revision=located_vlm.revision, profile=located_vlm.profile)
    calibration = Calibration.load(calibration_file or located_vlm.path / FILE)
    return LoadedVision(
        info, AttributeReader(model, processor, calibration), FaceDetector(located_face, on), thresholds
    )


def warm_up(backend: LoadedVision) -> None:
    """Run detector and vision model once, so that kernels are compiled before the first job."""
    from PIL import Image as Pictures

    backend.detector.find(Pictures.new("RGB", (320, 320), (128, 128, 128)))
    backend.reader.shares(Pictures.new("RGB", (320, 320), (128, 128, 128)))
