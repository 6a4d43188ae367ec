"""Texts in languages without rules are translated, classified or refused, and never judged by the rules alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from core.backends import BatchCallbacks, Classified, Completion, Outcome, TextClassifier
from core.contracts import MODERATE_TASK, STAGE_REQUESTS, ExpandTask, ModelInfo, Route, StageRequest, read_request
from core.errors import LanguageNotSupported, PolicyBlocked
from core.text.batching import run_programs
from core.text.budgets import Budget
from core.text.translation import MAX_TRANSLATED_CHARS, translate
from core.worker.job import Job
from core.worker.progress import Progress
from handlers.llm import UnsupportedLanguage, handler, text_device

FOREIGN = "vaikas žaidžia su smėliu paplūdimyje"
ENGLISH = "a child plays with sand on the beach"
PROMPT = "A child plays with sand on a wide beach at noon, waves and boats behind, warm light."


class Writes:
    """A language model that translates everything into `english` and writes one prompt."""

    info = ModelInfo(name="writes", revision="0", profile="none")

    def __init__(self, english: str = ENGLISH) -> None:
        self.english, self.asked = english, list[Completion]()

    def generate(self, requests: Sequence[Completion], watch: BatchCallbacks) -> list[Outcome[str]]:
        self.asked += requests
        return [self.english if "translate" in request.turns[0].content else PROMPT for request in requests]


class Labels:
    """A classifier with one label for every text."""

    info = Writes.info

    def __init__(self, label: Classified) -> None:
        self.label, self.asked = label, list[str]()

    def classify(self, texts: Sequence[str], watch: BatchCallbacks) -> list[Outcome[Classified]]:
        self.asked += texts
        return [self.label] * len(texts)


@contextmanager
def worker(
    model: Writes, unsupported: UnsupportedLanguage, classifier: TextClassifier | None = None
) -> Iterator[Callable[..., Any]]:
    device = text_device(model, Budget(), max_batch=8, window_s=0.0, classifier=classifier)
    respond = handler(
        model,
        device,
        minor_probability=0.3,
        has_classifier=classifier is not None,
        unsupported_language=unsupported,
    )

    async def drop(_: object) -> None: ...

    async def answer(**fields: Any) -> Any:
        request: StageRequest = read_request(fields, STAGE_REQUESTS)
        return await respond(request, Job("job", Progress(drop, interval_s=60)))

    try:
        yield answer
    finally:
        device.close()


def moderated(prompt: str) -> dict[str, Any]:
    return {"task": MODERATE_TASK, "route": Route.GENERAL, "prompt": prompt}


def chat(content: str) -> dict[str, Any]:
    return {"task": ExpandTask.SHORTS, "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("request_of", [moderated, chat])
async def test_text_in_an_uncovered_language_is_refused_without_classifier_and_translation(
    request_of: Callable[[str], dict[str, Any]],
) -> None:
    model = Writes()
    labels = Labels(Classified("safe"))
    with worker(model, "refuse", labels) as answer, pytest.raises(LanguageNotSupported):
        await answer(**request_of(FOREIGN))
    assert model.asked == []


async def test_translated_prompt_is_returned_in_english() -> None:
    with worker(Writes(), "translate") as answer:
        result = await answer(**moderated(FOREIGN))
    assert (result.verdict, result.prompt) == ("allowed", ENGLISH)


async def test_an_english_prompt_is_not_translated() -> None:
    model = Writes()
    with worker(model, "translate") as answer:
        result = await answer(**moderated("a lighthouse at dusk"))
    assert result.prompt is None
    assert model.asked == []


@pytest.mark.parametrize("request_of", [moderated, chat])
async def test_rules_are_applied_to_the_translation(request_of: Callable[[str], dict[str, Any]]) -> None:
    with worker(Writes("a naked child on the beach"), "translate") as answer, pytest.raises(PolicyBlocked):
        await answer(**request_of(FOREIGN))


async def test_a_chat_is_expanded_from_its_translation() -> None:
    model = Writes()
    with worker(model, "translate") as answer:
        await answer(**chat(FOREIGN))
    assert ENGLISH in model.asked[-1].turns[-1].content
    assert FOREIGN not in model.asked[-1].turns[-1].content


@pytest.mark.parametrize("translated", ["", FOREIGN])
async def test_a_text_that_the_model_does_not_translate_is_refused(translated: str) -> None:
    with worker(Writes(translated), "translate") as answer, pytest.raises(LanguageNotSupported):
        await answer(**moderated(FOREIGN))


async def test_text_too_long_to_be_translated_is_refused() -> None:
    model = Writes()
    words = f"{FOREIGN}. " * (MAX_TRANSLATED_CHARS // len(FOREIGN) + 1)
    messages = [{"role": "user", "content": words[:3000]}, {"role": "user", "content": words[:3000]}]
    with worker(model, "translate") as answer, pytest.raises(LanguageNotSupported):
        await answer(task=ExpandTask.SHORTS, messages=messages)
    assert model.asked == []


async def test_text_in_an_uncovered_language_is_allowed_if_classified_safe() -> None:
    labels = Labels(Classified("safe"))
    with worker(Writes(), "classify", labels) as answer:
        result = await answer(**moderated(FOREIGN))
    assert result.verdict == "allowed"
    assert labels.asked == [FOREIGN]


@pytest.mark.parametrize(
    "label",
    [
        Classified("unsafe", ("Sexual Content or Sexual Acts",)),
        Classified("controversial", ("Sexual Content or Sexual Acts",)),
        Classified("controversial"),
    ],
)
async def test_text_in_an_uncovered_language_is_refused_unless_classified_safe(label: Classified) -> None:
    with worker(Writes(), "classify", Labels(label)) as answer, pytest.raises(LanguageNotSupported):
        await answer(**moderated(FOREIGN))


async def test_text_is_not_classified_without_a_classifier() -> None:
    with worker(Writes(), "classify") as answer, pytest.raises(LanguageNotSupported):
        await answer(**chat(FOREIGN))


def test_translation_covers_the_whole_of_a_long_text() -> None:
    class Echo(Writes):
        def generate(self, requests: Sequence[Completion], watch: BatchCallbacks) -> list[Outcome[str]]:
            assert all(request.max_tokens > len(request.turns[-1].content) for request in requests)
            return [
                request.turns[-1].content.removeprefix("<text>\n").removesuffix("\n</text>") for request in requests
            ]

    class Ignored:
        def step(self, index: int, step: int, of: int) -> None: ...
        def cancelled(self, index: int) -> bool:
            return False

        def finished(self, index: int, outcome: object) -> None: ...

    words = [f"word{at}" for at in range(600)] + ["x" * 1500]
    [result] = run_programs([translate([" ".join(words), "short"])], Echo(), Ignored())
    assert result.texts[1] == "short"
    assert result.texts[0].replace(" ", "") == "".join(words)
