"""Parsing of chats in the formats of common applications.

OpenAI's and Anthropic's conversation formats are accepted: content as a list of parts, additional fields of a message,
the roles `developer` and `tool`, empty content, any length up to the bounds below. Unused parts are counted for the
result's report. Their text is kept for the policy, which checks everything that was received.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue

from core.contracts.base import MAX_MESSAGE_CHARS, MAX_MESSAGES, Message, MessageText
from core.errors import InvalidRequest, TooLarge

MAX_RECEIVED_MESSAGES = 1_000
MAX_RECEIVED_CHARS = 200_000
_OVERLAP_CHARS = 500
"""A long message is checked in overlapping parts, so that no phrase is split between two parts."""
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_UNUSED_ROLE = "assistant"
"""The role with which the policy checks texts that no model receives, such as a tool's answer."""
_TOOL_ROLES = frozenset({"tool", "function"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_CALLS = ("tool_calls", "function_call", "refusal", "audio")
"""Fields of an assistant's message that may replace its content."""
_WORD_SEARCH_CHARS = 200

Left = Literal["empty", "tool", "older", "beginning", "picture", "part", "field"]


class ChatMessage(Message):
    """One turn of a chat. It is material for a picture, never an instruction to a model."""

    role: Literal["user", "assistant", "system"] = Field(description="Author of the message.")
    content: MessageText = Field(
        description="Text of the message. A text of more than 25 words is shortened before the prompt is written."
    )


class ContentPart(Message):
    """A part of a message's content. Parts other than text, such as pictures, are counted and not used."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(default="text", description="`text`, `input_text` or `output_text`; others are ignored.")
    text: str | None = Field(default=None, description="Text of the part.")


class ReceivedMessage(Message):
    """One turn of a chat, in the format of OpenAI's and Anthropic's APIs and most applications.

    It is material for a picture, never an instruction to a model. Additional fields are ignored.
    """

    model_config = ConfigDict(extra="allow")

    role: Literal["user", "assistant", "system", "developer", "tool"] = Field(
        description="Author of the message. Messages of a `tool` are not used."
    )
    content: str | list[str | ContentPart] | None = Field(
        default=None,
        description=(
            "Text of the message, or a list of parts, of which the texts are used. Empty content is skipped. Of a text "
            f"of more than {MAX_MESSAGE_CHARS:,} characters the end is used; more than 25 words are shortened."
        ),
    )


class AsReceived:
    """Annotation for a field of messages: its JSON Schema describes the formats that a client may send."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del schema
        found = handler(TypeAdapter(list[ReceivedMessage]).core_schema)
        return {**found, "minItems": 1, "maxItems": MAX_RECEIVED_MESSAGES}


@dataclass(frozen=True, slots=True)
class ReadChat:
    """`used` are the messages that models receive; `received` are all texts of the chat, for the policy."""

    used: tuple[ChatMessage, ...] = ()
    received: tuple[ChatMessage, ...] = ()
    count: int = 0
    left_out: dict[Left, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Reading:
    turns: list[tuple[str, str]] = field(default_factory=list)
    received: list[ChatMessage] = field(default_factory=list)
    left: Counter[Left] = field(default_factory=Counter)
    chars: int = 0

    def keep(self, role: str, text: str, place: str) -> None:
        """Keep `text` for the policy. Raises `TooLarge` and `InvalidRequest`."""
        self.chars += len(text)
        if self.chars > MAX_RECEIVED_CHARS:
            raise TooLarge(
                f"`{place}`: the chat has more than {MAX_RECEIVED_CHARS:,} characters. Send its newest messages."
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRequest(f"`{place}`: must be valid Unicode text.") from None
        parts = (part for part in _in_parts(text) if not _is_blank(part))
        self.received += [ChatMessage.model_validate({"role": role, "content": part}) for part in parts]


def read_chat(messages: object) -> ReadChat | None:
    """The chat in `messages`; None if it is not a list. Raises `InvalidRequest` and `TooLarge`."""
    listed = _listed(messages)
    if listed is None:
        return None
    if len(listed) > MAX_RECEIVED_MESSAGES:
        raise TooLarge(f"`messages`: has more than {MAX_RECEIVED_MESSAGES:,} messages. Send the newest {MAX_MESSAGES}.")
    reading = _Reading()
    for index, item in enumerate(listed):
        _read_message(item, f"messages.{index}", reading)
    if not reading.turns:
        raise InvalidRequest("`messages`: has no text to make a picture from. Send at least one message with text.")
    reading.left["older"] += max(0, len(reading.turns) - MAX_MESSAGES)
    used = tuple(_shortened(role, text, reading) for role, text in reading.turns[-MAX_MESSAGES:])
    return ReadChat(used, tuple(reading.received), len(listed), {kind: n for kind, n in reading.left.items() if n})


def _listed(messages: object) -> Sequence[object] | None:
    """The list of messages, also from a conversation object `{"system": …, "messages": […]}`."""
    if isinstance(messages, dict) and isinstance(inner := messages.get("messages"), list):
        system = messages.get("system")
        return [{"role": "system", "content": system}, *inner] if system else inner
    return messages if isinstance(messages, list | tuple) else None


def _read_message(item: object, place: str, reading: _Reading) -> None:
    if isinstance(item, ChatMessage):
        reading.keep(item.role, item.content, f"{place}.content")
        reading.turns.append((item.role, item.content))
        return
    if not isinstance(item, dict):
        raise InvalidRequest(f"`{place}`: must be an object with `role` and `content`.")
    role = _role(item, place)
    reading.left["field"] += len(item.keys() - {"role", "content", "type"})
    text = "\n".join(_texts_of(item, f"{place}.content", reading))
    reading.keep(role or _UNUSED_ROLE, text, f"{place}.content")
    if role is None:
        reading.left["tool"] += 1
    elif _is_blank(text):
        reading.left["empty"] += 1
    else:
        reading.turns.append((role, text))


def _role(item: dict[str, object], place: str) -> str | None:
    """The role for the models; None for a tool's message."""
    role = item.get("role")
    if role is None and isinstance(item.get("type"), str) and item["type"] != "message":
        return None  # an item of OpenAI's Responses API, such as a function call
    if role is None:
        raise InvalidRequest(f"`{place}.role`: is required.")
    if isinstance(role, str) and role in _TOOL_ROLES:
        return None
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidRequest(f"`{place}.role`: must be `user`, `assistant`, `system`, `developer` or `tool`.")
    return _ROLES[role]


def _texts_of(item: dict[str, object], place: str, reading: _Reading) -> Iterator[str]:
    content = item.get("content")
    if "content" not in item and item.get("role") is not None and not any(name in item for name in _CALLS):
        raise InvalidRequest(f"`{place}`: is required.")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from _text_of_part(part, place, reading)
    elif content is not None:
        raise InvalidRequest(f"`{place}`: must be a text or a list of parts.")


def _text_of_part(part: object, place: str, reading: _Reading) -> Iterator[str]:
    if isinstance(part, str):
        yield part
        return
    if not isinstance(part, dict):
        raise InvalidRequest(f"`{place}`: each part must be a text or an object.")
    kind, text = part.get("type", "text"), part.get("text")
    if kind in _TEXT_PARTS and isinstance(text, str):
        yield text
        return
    reading.left["picture" if isinstance(kind, str) and "image" in kind else "part"] += 1
    for name in ("text", "thinking", "content"):
        if isinstance(unused := part.get(name), str):
            reading.keep(_UNUSED_ROLE, unused, place)


def _shortened(role: str, text: str, reading: _Reading) -> ChatMessage:
    """The message, or the end of one that is too long, beginning at a word."""
    if len(text) > MAX_MESSAGE_CHARS:
        reading.left["beginning"] += 1
        text = text[-MAX_MESSAGE_CHARS:]
        _, space, rest = text[:_WORD_SEARCH_CHARS].partition(" ")
        text = rest + text[_WORD_SEARCH_CHARS:] if space else text
    return ChatMessage.model_validate({"role": role, "content": text})


def _is_blank(text: str) -> bool:
    return all(unicodedata.category(char)[0] in "CZ" for char in text)


def _in_parts(text: str) -> list[str]:
    """`text` in parts of at most `MAX_MESSAGE_CHARS`; the models use the last part."""
    front = text[: _OVERLAP_CHARS - MAX_MESSAGE_CHARS] if len(text) > MAX_MESSAGE_CHARS else ""
    step = MAX_MESSAGE_CHARS - _OVERLAP_CHARS
    return [
        *(front[at : at + MAX_MESSAGE_CHARS] for at in range(0, len(front) - _OVERLAP_CHARS, step)),
        text[-MAX_MESSAGE_CHARS:],
    ]
