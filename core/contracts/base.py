"""The base class of every message, and the field types and bounds that several messages share."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

CONTRACT_VERSION = 1
"""Increased when a change of a message would be misread by an older release; a new field doesn't increase it."""
MAX_MESSAGES = 40
MAX_MESSAGE_CHARS = 4_000
MAX_PROMPT_CHARS = 2_000
MAX_STYLE_CHARS = 300
MAX_SELFIE_CHARS = 11_000_000
"""Base64 of 7 MiB, plus line breaks, escapes and a data URI's prefix."""
SELFIE_FORMATS = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF"
"""The file formats of a selfie, as descriptions and errors name them."""
MAX_PICTURES = 4
"""Pictures of one request."""
MAX_EXPIRY_S = 365 * 24 * 3600


def _not_blank(text: str) -> str:
    """Refuse a text that has only zero-width characters, controls and spaces (Unicode categories C and Z)."""
    if all(unicodedata.category(char)[0] in "CZ" for char in text):
        raise ValueError("must not be blank")
    return text


def _primary_subtag(tag: object) -> object:
    """Return the primary subtag of a language tag: `pt` for `pt-BR` or `PT_br`."""
    return re.split(r"[-_]", tag[:35], maxsplit=1)[0].lower() if isinstance(tag, str) else tag


class Message(BaseModel):
    """Base class of all messages: immutable; refuses unknown fields, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


Seen = AfterValidator(_not_blank)
MessageText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MESSAGE_CHARS), Seen]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT_CHARS), Seen]
LongPrompt = Annotated[str, StringConstraints(min_length=1, max_length=2 * MAX_PROMPT_CHARS), Seen]
"""A prompt after a constraint or a description of a person, as our own processes send it."""
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Style = Annotated[str, StringConstraints(max_length=MAX_STYLE_CHARS)]
Language = Annotated[
    Literal[
        "ar", "cs", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nl", "pl",
        "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh",
    ],
    BeforeValidator(_primary_subtag),
]  # fmt: skip
"""ISO 639-1, read from any BCP 47 tag."""
