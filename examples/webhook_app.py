"""Receive signed results of a deployment: IMG_POD_WEBHOOK_SECRET=whsec_… uvicorn examples.webhook_app:app

The deployment posts each result to the `webhook_url` of its request. The address must be public and https.
"""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from img_pod import InvalidSignature, verify_webhook

app = FastAPI()
received: list[dict[str, Any]] = []


@app.post("/img-pod")
async def receive(request: Request) -> dict[str, bool]:
    """Answer quickly: the deployment sends again after an error or a time-out. Store results by their id."""
    try:
        event = verify_webhook(await request.body(), request.headers, os.environ["IMG_POD_WEBHOOK_SECRET"])
    except InvalidSignature as error:
        raise HTTPException(401, str(error)) from None
    received.append(event)
    return {"ok": True}
