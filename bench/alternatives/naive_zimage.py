"""A simple picture worker: all imports at the top, the pipeline at module level."""

import base64
import io
import os
from typing import Any

import runpod
import torch
from diffusers import ZImagePipeline

pipeline = ZImagePipeline.from_pretrained(os.environ["BENCH_MODEL"], torch_dtype=torch.float32)


def handler(job: dict[str, Any]) -> dict[str, Any]:
    asked = job["input"]
    image = pipeline(
        asked["prompt"],
        width=asked["width"],
        height=asked["height"],
        num_inference_steps=asked["steps"],
        guidance_scale=0.0,
    ).images[0]
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"image_base64": base64.b64encode(buffer.getvalue()).decode()}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
