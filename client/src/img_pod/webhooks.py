"""Verify the signature of a webhook, as the Standard Webhooks specification defines it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

TOLERANCE_S = 300
"""Largest difference between a webhook's timestamp and this machine's clock."""


class InvalidSignature(Exception):
    """The webhook was not signed with this secret, or it is too old."""


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str, *, now_s: float | None = None) -> Any:
    """Check a webhook's signature and age and return its JSON. Raises `InvalidSignature`.

    `secret` is the deployment's `whsec_…`. Use the body's bytes as received: the signature is not valid for a
    re-serialized JSON text.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp, signatures = (lower[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        sent_s = int(timestamp)
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except KeyError as error:
        raise InvalidSignature(f"The webhook has no header {error.args[0]!r}.") from None
    except (ValueError, binascii.Error):
        raise InvalidSignature("The timestamp or the secret is malformed.") from None
    if abs((time.time() if now_s is None else now_s) - sent_s) > TOLERANCE_S:
        raise InvalidSignature("The webhook's timestamp is too far from this machine's clock.")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    offered = [part.partition(",")[2] for part in signatures.split() if part.startswith("v1,")]
    if not any(hmac.compare_digest(expected, signature.encode()) for signature in offered):
        raise InvalidSignature("The webhook's signature does not match.")
    return json.loads(body)
