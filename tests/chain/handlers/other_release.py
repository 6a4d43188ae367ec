"""A worker of another release: the stock SDK, and answers that were recorded from it.

`OTHER_RELEASE=last` answers what release 0.1.0 answered. `next` answers what a later one may: a raised contract version
and unknown fields at every depth. Neither imports our contracts, because those are what is tested.
"""

import json
import os
from pathlib import Path
from typing import Any

import runpod

RECORDED = json.loads((Path(__file__).parent.parent / "messages-0.1.0.json").read_text())


def later(message: Any) -> Any:
    """Return the message as a later release may send it."""
    if isinstance(message, list):
        return [later(item) for item in message]
    if not isinstance(message, dict):
        return message
    # `confidence` maps attributes to figures: a new name there is a new attribute, not a field to ignore.
    later_message = {name: value if name == "confidence" else later(value) for name, value in message.items()}
    return later_message | {"from_the_future": {"of": [1]}} | ({"contract": 2} if "contract" in message else {})


async def answer(job: dict[str, Any]) -> dict[str, Any]:
    recorded = RECORDED["results"][job["input"]["task"].rpartition("/")[2]]
    return later(recorded) if os.environ["OTHER_RELEASE"] == "next" else recorded


if __name__ == "__main__":
    runpod.serverless.start({"handler": answer})
