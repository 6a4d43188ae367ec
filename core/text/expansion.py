"""Expand a chat into a prompt of one paragraph for an image model."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.backends import Completion, Turn
from core.contracts import ChatMessage, ExpandTask, Features
from core.prompts.chat import (
    EXPAND_SYSTEM,
    EXPANSION_EXAMPLE,
    EXPANSION_FORMAT,
    MAX_EXPANSION_WORDS,
    chat_as_material,
)
from core.prompts.portrait import describe_person
from core.text.batching import Program
from core.text.budgets import BUDGETS, Budget, retry_temperature
from core.text.parsing import (
    ANSWER_PREFIX,
    FUNCTION_WORDS,
    REFUSALS,
    content_stems,
    count_words,
    cut_to_words,
    estimate_tokens,
    is_english,
    plain_text,
    prompt_end,
    read_prompt,
)
from core.text.shortening import shorten_all, shorten_by_code


@dataclass(frozen=True, slots=True)
class Expansion:
    """`shortened` counts the messages brought to 25 words; `repaired`: the model's answer was unusable."""

    prompt: str
    shortened: int = 0
    repaired: bool = False


def expand(
    messages: Sequence[ChatMessage],
    task: ExpandTask,
    features: Features | None,
    seed: int,
    budget: Budget = BUDGETS["full"],
    refused: Callable[[str], bool] = lambda _: False,
) -> Program[Expansion]:
    """Expand a chat into a prompt of one paragraph and at most 120 words.

    `refused`: whether the policy refuses a prompt. The model then writes another one. If all its prompts are refused,
    the last one is returned, and the caller's own check refuses the request.
    """
    short = yield from shorten_all(messages, seed, budget)
    shortened = sum(before != after for before, after in zip(messages, short, strict=True))
    chat = newest_within(short, budget.chat_tokens)
    refused_prompt = None
    for attempt, begun in enumerate(_prefixes(chat, budget)):
        [answer] = yield [_expansion(chat, task, features, begun, attempt, seed, budget)]
        prompt = read_prompt(_joined(begun, answer))
        # The prefix that code wrote does not count as the model's answer.
        if usable_prompt(prompt) and keeps_subject(prompt, chat) and count_words(prompt) >= count_words(begun) + 4:
            if not refused(prompt):
                return Expansion(_with_person(prompt, features), shortened)
            refused_prompt = prompt
    if refused_prompt is not None:
        return Expansion(refused_prompt, shortened)
    return Expansion(template_prompt(short, features), shortened, repaired=True)


def _joined(begun: str, answer: str) -> str:
    """The prefix and the model's answer, with a space between two words."""
    return f"{begun} {answer}" if begun and answer[:1].isalnum() else begun + answer


def _prefixes(messages: Sequence[ChatMessage], budget: Budget) -> list[str]:
    """Prefix of each attempt's answer. Only an English request can be a prefix; other chats get no last attempt."""
    scene = f"{scene_of(messages)}. The"
    begun = budget.attempts - budget.free_attempts if is_english(_request(messages)) else 0
    return [""] * budget.free_attempts + [scene] * begun


def newest_within(messages: Sequence[ChatMessage], limit: int) -> tuple[ChatMessage, ...]:
    """The last messages that make at most `limit` tokens together, at least one."""
    kept: list[ChatMessage] = []
    for message in reversed(messages):
        limit -= estimate_tokens(message.content)
        if kept and limit < 0:
            break
        kept.insert(0, message)
    return tuple(kept)


def _expansion(
    messages: Sequence[ChatMessage],
    task: ExpandTask,
    features: Features | None,
    begun: str,
    attempt: int,
    seed: int,
    budget: Budget,
) -> Completion:
    person = f"\nThe person is {describe_person(features)}." if features else ""
    example_chat, example_prompt = EXPANSION_EXAMPLE
    return Completion(
        (
            Turn("system", EXPAND_SYSTEM[task] + EXPANSION_FORMAT),
            Turn("user", f"<chat>\n{example_chat}\n</chat>"),
            Turn("assistant", json.dumps({"prompt": example_prompt})),
            Turn("user", chat_as_material(tuple(messages)) + person),
        ),
        max_tokens=budget.expansion_tokens,
        prefix=ANSWER_PREFIX + json.dumps(begun, ensure_ascii=False)[1:-1],
        stop=prompt_end,
        temperature=budget.temperature if attempt == 0 else retry_temperature(attempt, budget),
        seed=seed + attempt,
    )


_PROMPT_CHARS = 1_800
"""Longest usable prompt, so that the text that code adds in front of it later still fits the contract's bound."""
_REQUEST_CHARS = 400


def usable_prompt(prompt: str) -> bool:
    """Whether a text is usable as a prompt: enough English words, mostly letters, no refusal, no repetition."""
    words = prompt.lower().split()
    if not is_english(prompt):
        return False
    if not 5 <= len(words) <= MAX_EXPANSION_WORDS or any(refusal in prompt.lower() for refusal in REFUSALS):
        return False
    letters = sum(char.isalpha() or char.isspace() for char in prompt)
    return letters >= 0.8 * len(prompt) and len(set(words)) >= 0.4 * len(words) and len(prompt) <= _PROMPT_CHARS


def keeps_subject(prompt: str, messages: Sequence[ChatMessage]) -> bool:
    """Whether the prompt shares words with the last request; true for a request that is not English."""
    request = _request(messages)
    if not is_english(request) or len(FUNCTION_WORDS & set(request.lower().split())) < 2:
        return True
    expected, found = content_stems(scene_of(messages)), content_stems(prompt)
    return not expected or len(expected & found) >= min(2, len(expected))


def template_prompt(messages: Sequence[ChatMessage], features: Features | None) -> str:
    """Make a prompt without a model: the described person, then the last request as a phrase. At most 120 words."""
    return _with_person(f"{scene_of(messages)}. Natural light, clear focus, rich detail, calm mood.", features)


def scene_of(messages: Sequence[ChatMessage]) -> str:
    """The last request as a phrase for an image model: `show us dancing` becomes `Two people dancing`.

    A request without words, such as emoji only, becomes the Unicode names of its characters.
    """
    request = plain_text(shorten_by_code(_request(messages)))[:_REQUEST_CHARS]
    if not any(char.isalnum() for char in request):
        request = _symbol_names(request)
    for pattern, replacement in _TO_SCENE:
        request = pattern.sub(replacement, request)
    request = request.strip(" .!?,;:-")
    return f"{request[:1].upper()}{request[1:]}" or "A person"


def _symbol_names(text: str) -> str:
    """Unicode's names of pictures: `🦊❄️` becomes `fox face, snowflake`. At most eight."""
    names = (unicodedata.name(char, "").lower() for char in text if unicodedata.category(char) == "So")
    shown = dict.fromkeys(name for name in names if name and not name.startswith("regional indicator"))
    return ", ".join(list(shown)[:8])


_PICTURE = r"(?:picture|photo|image|pic|painting|drawing|snapshot|short|clip|video|scene)"
_TO_SCENE = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"^(?:(?:oh|hey|hi|hello|wow|ok|okay|yes|well|nice|great|so|and|very|please|thanks)\b[\s,.!]*)+", ""),
        (r"\b(?:please|(?:can|could|would|will) you|i(?:'d| would) (?:love|like) to (?:see|have))\b[\s,]*", ""),
        (r"^(?:show|send|give|draw|paint|make|create|generate|imagine|picture)\s+", ""),
        (r"^(?:me|us)(?:\s+(?=(?:an?|the|some|my|your|our)\s)|\s*[.!,:;]+\s*)", ""),
        (r"^(?:that|this|it)\s*[.!,:;]+\s*", ""),
        (rf"^(?:an?|the|some)\s+(?:\w+\s+)?{_PICTURE}s?\s+(?:of|with)\s+", ""),
        (r"\b(?:the two of us|both of us|you and me|you and i|me and you|us|we)\b", "two people"),
        (r"\b(?:me|myself|i|you|yourself)\b", "a person"),
        (r"\b(?:my|your|our)\b", "the"),
    )
]
"""Replacements in order: words before a request, the verb, what it asks for, and who is meant. English only."""


def _request(messages: Sequence[ChatMessage]) -> str:
    """The user's last message, with earlier ones in front until there are six words."""
    parts: list[str] = []
    for message in reversed(messages):
        if message.role == "system" or (not parts and message.role == "assistant" and len(messages) > 1):
            continue
        parts.insert(0, message.content)
        if count_words(" ".join(parts)) >= 6:
            break
    return " ".join(parts) or messages[-1].content


def _with_person(prompt: str, features: Features | None) -> str:
    """The prompt with `describe_person` word for word; at the beginning if the model omitted it."""
    if features is None:
        return cut_to_words(prompt, MAX_EXPANSION_WORDS)
    person = describe_person(features)
    if person in prompt:
        return prompt
    lead = f"The picture shows {person}."
    return f"{lead} {cut_to_words(prompt, MAX_EXPANSION_WORDS - count_words(lead))}"
