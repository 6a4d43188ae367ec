"""The example requests and the example result of docs/api.md. A test validates each of them.

May import: nothing.
"""

from __future__ import annotations

from typing import Any

_CHAT = [
    {"role": "user", "content": "Remember that evening at the lighthouse?"},
    {"role": "assistant", "content": "The storm had just passed and the sky turned orange."},
    {"role": "user", "content": "Show me the two of us there, in our raincoats."},
]
_PERSON = {"gender_presentation": "feminine", "age_band": "25_34", "hair_color": "red", "hair_length": "long"}
_MODELS = {
    "llm": {"name": "Qwen2.5-7B-Instruct", "revision": "<commit>", "profile": "full"},
    "zimage": {"name": "Z-Image-Turbo", "revision": "<commit>", "profile": "full"},
}
_LIGHTHOUSE = "A lighthouse at dusk, waves below, orange sky, two people in raincoats on its gallery."

REQUESTS: dict[str, dict[str, Any]] = {
    "profile/create": {
        "selfie": "https://example.com/selfie.jpg",
        "style": "watercolour",
        "seed": 7,
        "request_id": "profile-1",
    },
    "chat/1to1/imagegen": {"messages": _CHAT, "output_format": "jpeg"},
    "chat/shorts/generate": {"messages": _CHAT, "width": 768, "height": 1344},
    "chat/scenes/generate": {"messages": _CHAT, "features": _PERSON, "timeout_s": 120},
    "chat/private/imagegen": {"prompt": _LIGHTHOUSE, "seed": 7, "include_prompt": True},
    "imagegen": {"prompt": _LIGHTHOUSE, "caption": True, "idempotency_key": "order-1042"},
    "profile/analyze": {"selfie": "https://example.com/selfie.jpg"},
    "picture/check": {"picture": "iVBORw0KGgoAAAANSUhEUgAA…"},
    "chat/1to1/expand": {"messages": _CHAT, "seed": 7},
    "chat/shorts/expand": {"messages": _CHAT},
    "chat/scenes/expand": {"messages": _CHAT, "features": _PERSON},
    "chat/1to1/caption": {"prompt": _LIGHTHOUSE},
    "moderate": {"route": "imagegen", "prompt": _LIGHTHOUSE},
    "profile/generate": {"prompt": "Portrait of an adult woman with long red hair, plain background.", "seed": 7},
    "chat/1to1/generate": {"prompt": _LIGHTHOUSE, "output_format": "jpeg"},
    "chat/scenes/generate#worker": {"prompt": _LIGHTHOUSE, "width": 1344, "height": 768},
    "chat/shorts/generate#worker": {"prompt": _LIGHTHOUSE, "width": 768, "height": 1344},
    "chat/private/generate": {"prompt": _LIGHTHOUSE, "include_prompt": True},
    "generate": {"prompt": _LIGHTHOUSE, "seed": 7},
}
"""Task → its fields. Two names are tasks of both the orchestrator and a worker; the worker's ends in `#worker`."""


def _record(stage: str, task: str, worker: str, started_ms: int, wall_ms: int, device_ms: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "task": task,
        "endpoint_id": f"<{worker} endpoint>",
        "job_id": f"<job of {stage}>",
        "worker_id": f"<{worker} worker>",
        "started_ms": started_ms,
        "wall_ms": wall_ms,
        "queue_ms": 40,
        "execution_ms": device_ms + 90,
        "device_ms": device_ms,
        "batch_size": 1,
        "attempts": 1,
        "cost_usd": round(device_ms / 1000 * 0.00031, 8),
        "model": _MODELS[worker],
    }


RESULT: dict[str, Any] = {
    "contract": 1,
    "request_id": "scene-1",
    "task": "chat/scenes/generate",
    "image_base64": "UklGRlYAAABXRUJQVlA4…",
    "image_url": None,
    "image_format": "webp",
    "width": 1024,
    "height": 1024,
    "seed": 7,
    "caption": "Two friends in raincoats watch the sky turn orange from the old lighthouse.",
    "prompt_used": _LIGHTHOUSE,
    "features": None,
    "face": None,
    "model": _MODELS["zimage"],
    "policy": {
        "version": "1-0123456789ab",
        "verdict": "allowed",
        "categories": [],
        "applied": [],
        "treated_as": "moderated",
        "picture": {"checker": "open-nsfw", "score": 0.02, "threshold": 0.85, "outcome": "passed"},
        "age_check": None,
    },
    "degraded": [],
    "timeline": [
        _record("expand", "chat/scenes/expand", "llm", 0, 980, 810),
        _record("generate", "chat/scenes/generate", "zimage", 985, 3480, 2900),
        _record("caption", "chat/1to1/caption", "llm", 985, 610, 420),
    ],
    "cost_usd": 0.0012803,
    "trace_id": "5f0c6b1d2a3e4f5061728394a5b6c7d8",
    "read": {"messages": 3, "messages_used": 3, "left_out": [], "adjusted": []},
    "picture_id": None,
    "images": [],
}
