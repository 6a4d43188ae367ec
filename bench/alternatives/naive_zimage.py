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
    image = pipeline(job["input"]["prompt"], num_inference_steps=9, guidance_scale=0.0).images[0]
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"image_base64": base64.b64encode(buffer.getvalue()).decode()}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
