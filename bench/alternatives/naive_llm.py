"""A simple text worker: all imports at the top, the model at module level, one job at a time."""

import os
from typing import Any

import runpod
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = os.environ["BENCH_MODEL"]
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)


def handler(job: dict[str, Any]) -> dict[str, Any]:
    turns = job["input"]["turns"]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        out = model.generate(**ids, max_new_tokens=job["input"]["max_tokens"], do_sample=False)
    return {"text": tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
