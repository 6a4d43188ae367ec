"""A simple selfie worker: all imports at the top, both models at module level."""

import os
from typing import Any

import runpod
import torch
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration
from ultralytics import YOLO

MODEL = os.environ["BENCH_MODEL"]
processor = AutoProcessor.from_pretrained(MODEL)
model = Qwen2VLForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32)
faces = YOLO(os.environ["BENCH_FACES"], task="detect")


def handler(job: dict[str, Any]) -> dict[str, Any]:
    raise NotImplementedError("only its start is measured")


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
