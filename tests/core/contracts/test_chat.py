"""Parsing of chats in the formats of applications; unused parts are counted, and their text is kept for the policy."""

from __future__ import annotations

from typing import Any

import pytest

from core.contracts import MAX_MESSAGE_CHARS, REQUESTS, ChatRequest, read_request
from core.errors import InvalidRequest, TooLarge

TURN = {"role": "user", "content": "a walk in the rain"}


def read(messages: object) -> ChatRequest:
    request = read_request({"task": "chat/scenes/generate", "messages": messages}, REQUESTS)
    assert isinstance(request, ChatRequest)
    return request


def turns(request: ChatRequest) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in request.messages]


def left_out(request: ChatRequest) -> dict[str, int]:
    return {item.what: item.count for item in request.report().left_out}


def test_a_plain_chat_is_used_whole() -> None:
    request = read([TURN, {"role": "assistant", "content": "Was it windy?"}])
    assert turns(request) == [("user", "a walk in the rain"), ("assistant", "Was it windy?")]
    report = request.report()
    assert (report.messages, report.messages_used, report.left_out, report.adjusted) == (2, 2, (), ())


def test_text_parts_are_joined_and_pictures_are_counted() -> None:
    parts = [
        {"type": "text", "text": "Look at this:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
        {"type": "input_text", "text": "draw us there"},
        "at dusk",
        {"type": "input_audio", "input_audio": {"data": "AAAA"}},
    ]
    request = read([{"role": "user", "content": parts}])
    assert turns(request) == [("user", "Look at this:\ndraw us there\nat dusk")]
    assert left_out(request) == {"picture": 2, "part": 1}


def test_further_fields_of_a_message_are_ignored_and_counted() -> None:
    stored = {**TURN, "name": "ann", "id": "m1", "created_at": 1766000000, "metadata": {"a": 1}}
    request = read([stored])
    assert turns(request) == [("user", "a walk in the rain")]
    assert left_out(request) == {"field": 4}


OPENAI: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be friendly."},
    {"role": "user", "content": [{"type": "text", "text": "What is the weather?"}], "name": "ann"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "It rains."},
    {"role": "assistant", "content": "It rains.", "refusal": None, "annotations": []},
    {"role": "user", "content": "Show me in it."},
]
ANTHROPIC: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "I need the tool.", "signature": "x"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "It rains."}]},
    {"role": "assistant", "content": "It rains."},
]
RESPONSES: list[dict[str, Any]] = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It rains."}]},
]


def test_a_conversation_of_openai_is_read_as_it_is() -> None:
    request = read(OPENAI)
    assert turns(request) == [
        ("system", "Be friendly."),
        ("user", "What is the weather?"),
        ("assistant", "It rains."),
        ("user", "Show me in it."),
    ]
    assert left_out(request) == {"field": 5, "empty": 1, "tool": 1}


def test_a_conversation_of_anthropic_is_read_as_it_is() -> None:
    request = read(ANTHROPIC)
    assert turns(request) == [
        ("user", "What is the weather?"),
        ("assistant", "Let me see."),
        ("assistant", "It rains."),
    ]
    assert left_out(request) == {"part": 3, "empty": 1}


def test_a_whole_conversation_with_its_system_text_is_read() -> None:
    request = read({"system": [{"type": "text", "text": "Be brief."}], "messages": ANTHROPIC, "model": "any"})
    assert turns(request)[0] == ("system", "Be brief.")
    assert request.report().messages == 5


def test_items_of_openais_responses_are_read() -> None:
    request = read(RESPONSES)
    assert turns(request) == [("user", "Hello"), ("assistant", "It rains.")]
    assert left_out(request)["tool"] == 2


@pytest.mark.parametrize("content", [None, "", "  \n", "\u200b", [], [{"type": "image", "source": {}}]])
def test_a_message_without_text_is_left_out(content: object) -> None:
    request = read([{"role": "assistant", "content": content}, TURN])
    assert turns(request) == [("user", "a walk in the rain")]
    assert left_out(request)["empty"] == 1


def test_newest_40_of_many_messages_are_used() -> None:
    request = read([{"role": "user", "content": f"message {number}"} for number in range(100)])
    assert [message.content for message in request.messages] == [f"message {number}" for number in range(60, 100)]
    assert left_out(request) == {"older": 60}
    assert request.report().messages == 100


def test_end_of_a_long_message_is_used() -> None:
    text = " ".join(f"word{number}" for number in range(2_000))
    request = read([{"role": "user", "content": text}])
    [message] = request.messages
    assert MAX_MESSAGE_CHARS - 200 < len(message.content) <= MAX_MESSAGE_CHARS
    assert text.endswith(f" {message.content}")
    assert message.content.startswith("word")
    assert left_out(request) == {"beginning": 1}


def test_every_received_text_is_available_to_the_policy() -> None:
    request = read([{"role": "user", "content": f"message {number}"} for number in range(100)] + OPENAI + ANTHROPIC)
    texts = [message.content for message in request.received]
    for said in ("message 0", "Be friendly.", "It rains.", "I need the tool.", "Let me see."):
        assert said in texts


@pytest.mark.parametrize("words", [100, 500, 700, 12_000])
def test_long_text_is_kept_in_overlapping_parts_that_end_with_the_used_part(words: int) -> None:
    text = " ".join(f"word{number}" for number in range(words))
    request = read([{"role": "user", "content": text}])
    parts = [message.content for message in request.received]
    assert text.startswith(parts[0])
    assert parts[-1].endswith(request.messages[-1].content)
    for at in range(0, max(1, len(text) - 500), 50):
        assert any(text[at : at + 500] in part for part in parts), at
    assert {message.role for message in request.received} == {"user"}


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([TURN, {"role": "narrator", "content": "x"}], "messages.1.role"),
        ([TURN, {"content": "x"}], "messages.1.role"),
        ([TURN, {"role": "user"}], "messages.1.content"),
        ([TURN, {"role": "user", "content": 7}], "messages.1.content"),
        ([TURN, {"role": "user", "content": [7]}], "messages.1.content"),
        ([TURN, {"role": "user", "content": "\ud800"}], "messages.1.content"),
        ([TURN, "hello"], "messages.1"),
        ([{"role": "user", "content": ""}], "messages"),
        ([], "messages"),
    ],
)
def test_unreadable_message_is_reported_by_its_position(messages: object, place: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^`{place}`: "):
        read(messages)


def test_text_over_the_policy_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="newest messages"):
        read([{"role": "user", "content": "word " * 1_000}] * 41)


def test_message_models_are_parsed_like_client_messages() -> None:
    request = read([TURN])
    again = type(request)(task=request.task, messages=request.messages)
    assert again.messages == request.messages
    assert again.received == request.received
