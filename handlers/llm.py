"""The llm worker: writes a prompt for the image model from a chat, and a caption from a prompt.

    {"input": {"task": "chat/scenes/expand", "messages": [{"role": "user", "content": "us two at the beach"}]}}
    {"prompt": "Two adults walk along a beach at …", "shortened": 0, "repaired": false, "device_ms": 900, …}

    {"input": {"task": "chat/1to1/caption", "prompt": "Two adults walk along a beach at …"}}
    {"caption": "Two people share a quiet walk along the beach as the sun sets.", "repaired": false, …}

Tasks: chat/1to1/expand, chat/shorts/expand, chat/scenes/expand, chat/1to1/caption (for all routes), and moderate, which
returns the text classifier's verdict on a prompt that no other task receives. The rules judge a text before the model
receives it, and judge the text that the model writes; a text classifier, if configured, classifies both too. Importing
this module loads nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

from core.backends import BatchCallbacks, Outcome, TextBackend, TextClassifier
from core.backends.guard import Classifications, Texts
from core.contracts import (
    CAPTION_TASK,
    MODERATE_TASK,
    ROUTE_OF_TASK,
    CaptionRequest,
    CaptionResult,
    ExpandRequest,
    ExpandResult,
    ExpandTask,
    ModerateRequest,
    ModerateResult,
    Route,
    StageRequest,
)
from core.errors import LanguageNotSupported, Misconfigured
from core.policy import (
    Action,
    Treatment,
    Verdict,
    apply_classifier,
    check,
    check_chat,
    constrain,
    enforce,
    judge,
    not_supported,
    prepare,
    reject_minor,
    reject_uncovered,
    safe_caption,
    split_for_classifier,
    uncovered,
)
from core.settings import ROOT, Settings
from core.text.batching import Program
from core.text.budgets import BUDGETS, Budget
from core.text.captions import Caption, template_caption, write_caption
from core.text.expansion import Expansion, expand
from core.text.jobs import run_jobs
from core.text.translation import MAX_TRANSLATED_CHARS, Foreign, Translation, translate
from core.weights import Model
from core.worker.device import Device, DeviceTime
from core.worker.job import Job, JobHandler, Worker

Written = Expansion | Caption
LlmInput = StageRequest | Texts | Foreign
UnsupportedLanguage: TypeAlias = Literal["classify", "translate", "refuse"]
LlmOutput = Written | Translation | Classifications


def handler(
    backend: TextBackend,
    device: Device[LlmInput, LlmOutput],
    *,
    minor_probability: float,
    has_classifier: bool = False,
    unsupported_language: UnsupportedLanguage = "refuse",
    worker_id: str | None = None,
) -> JobHandler[StageRequest]:
    """The handler of a loaded worker. `has_classifier`: the device has a text classifier, which classifies every text.

    `unsupported_language`: treatment of a text that the rules don't cover.
    """

    async def respond(request: StageRequest, job: Job) -> ExpandResult | CaptionResult | ModerateResult:
        if isinstance(request, ModerateRequest) and not has_classifier and unsupported_language != "translate":
            raise Misconfigured("This llm worker has no text classifier; set LLM_CLASSIFIER=guard for it.")
        work = _LlmJob(request, job, device, has_classifier=has_classifier, unsupported_language=unsupported_language)
        # Judging the longest chat takes a second, so it runs in a thread and does not block the job loop.
        verdict = await asyncio.to_thread(judge_request, request, minor_probability)
        if await work.translate_uncovered():
            verdict = await asyncio.to_thread(judge_request, work.request, minor_probability)
        verdict = await work.combined_verdict(verdict, _texts(work.request), "request")
        if isinstance(request, ModerateRequest):
            return ModerateResult(
                verdict="constrained" if verdict.action is Action.CONSTRAIN else "allowed",
                categories=verdict.categories,
                prompt=_translated_prompt(request, work.request),
                **_facts(work, backend, worker_id),
            )
        written = await work.write()
        if isinstance(written, Caption):
            written = await work.safe_caption_of(written)
            facts = _facts(work, backend, worker_id)
            return CaptionResult(caption=written.text, repaired=written.repaired, **facts)
        prompt = await work.check_prompt(written.prompt, verdict)
        facts = _facts(work, backend, worker_id)
        return ExpandResult(prompt=prompt, shortened=written.shortened, repaired=written.repaired, **facts)

    return respond


@dataclass(slots=True)
class _LlmJob:
    """One job: its calls of the device, and their total device time."""

    request: StageRequest
    job: Job
    device: Device[LlmInput, LlmOutput]
    has_classifier: bool
    unsupported_language: UnsupportedLanguage = "refuse"
    only_classified: bool = False
    meter: DeviceTime = field(default_factory=DeviceTime)

    async def translate_uncovered(self) -> bool:
        """Translate texts that the rules don't cover to English; return whether there were any.

        Raises `LanguageNotSupported` if the deployment neither translates nor classifies them.
        """
        texts = [] if isinstance(self.request, CaptionRequest) else _texts(self.request)
        found = await asyncio.to_thread(uncovered, texts)
        if found is None:
            return False
        if self.unsupported_language == "classify" and self.has_classifier:
            self.only_classified = True
            return False
        if self.unsupported_language != "translate" or sum(map(len, texts)) > MAX_TRANSLATED_CHARS:
            raise not_supported(found, stage="request")
        english = await self._in_english(texts)
        uncovered_still = await asyncio.to_thread(uncovered, english)
        if uncovered_still or not all(english):
            raise not_supported(found, stage="translate")
        self.request = _with_texts(self.request, english)
        return True

    async def _in_english(self, texts: Sequence[str]) -> tuple[str, ...]:
        done = await self.device.run(Foreign(tuple(texts)))
        self.meter.add(done)
        if not isinstance(done.result, Translation):
            raise TypeError("the device returned another result than a translation")
        return done.result.texts

    async def write(self) -> Written:
        done = await self.device.run(self.request, lambda step, of: self.job.progress.report("write", step, of))
        self.meter.add(done)
        self.meter.batch_size = done.batch_size
        if isinstance(done.result, tuple | Translation):
            raise TypeError("the device returned a result of another kind")
        return done.result

    async def combined_verdict(self, verdict: Verdict, texts: Sequence[str], stage: str) -> Verdict:
        """The rules' verdict, or the stricter one of the text classifier. Raises `PolicyBlocked`."""
        if not self.has_classifier:
            return verdict
        route, treated_as = _route(self.request), _treated_as(self.request)
        labels = await self._classify(texts)
        if self.only_classified and not all(label and label.label == "safe" for label in labels):
            # The rules can't find ages in this language, so only a text that is classified as safe is accepted.
            raise LanguageNotSupported(
                "A text in a language without rules was not classified as safe; write it in English.", stage=stage
            )
        joined = apply_classifier(verdict, labels, route, treated_as=treated_as)
        return enforce(joined, texts, route, stage=stage)

    async def check_prompt(self, prompt: str, of_request: Verdict) -> str:
        """Check the prompt that the model wrote; constrain it if only the classifier rates it as explicit."""
        reject_uncovered([prompt], stage="expand")
        verdict = check([prompt], _route(self.request), treated_as=_treated_as(self.request), stage="expand")
        verdict = await self.combined_verdict(verdict, [prompt], "expand")
        explicit = Action.CONSTRAIN in {of_request.action, verdict.action}
        # The zimage worker applies the rules again; the classifier runs only here.
        return constrain(prompt) if self.has_classifier and explicit else prompt

    async def safe_caption_of(self, caption: Caption) -> Caption:
        """The caption, or a neutral one if the classifier doesn't rate it as safe."""
        if not self.has_classifier:
            return caption
        plain = judge([caption.text], Route.GENERAL)
        verdict = apply_classifier(plain, await self._classify([caption.text]), Route.GENERAL)
        language = self.request.language if isinstance(self.request, CaptionRequest) else "en"
        neutral = template_caption("", lambda _: False, language)
        return caption if verdict.action is Action.ALLOW else Caption(neutral, repaired=True)

    async def _classify(self, texts: Sequence[str]) -> Classifications:
        done = await self.device.run(Texts(split_for_classifier(texts)))
        self.meter.add(done)
        if not isinstance(done.result, tuple):
            raise TypeError("the device returned another result than classifications")
        return done.result


def judge_request(request: StageRequest, minor_probability: float) -> Verdict:
    """Judge a request's texts and features; a caption by the rules of all routes.

    Raises `PolicyBlocked`, `MinorSuspected`.
    """
    if isinstance(request, CaptionRequest):
        return check(_texts(request), Route.GENERAL, stage="request")
    if isinstance(request, ExpandRequest) and request.features is not None:
        reject_minor(request.features, threshold=minor_probability)
    if isinstance(request, ExpandRequest):
        chat = check_chat(request.messages, _route(request), treated_as=_treated_as(request), stage="request")
        return chat.verdict
    return check(_texts(request), _route(request), treated_as=_treated_as(request), stage="request")


def _texts(request: StageRequest) -> list[str]:
    if isinstance(request, ExpandRequest):
        return [message.content for message in request.messages]
    return [request.prompt] if isinstance(request, CaptionRequest | ModerateRequest) else []


def _with_texts(request: StageRequest, texts: Sequence[str]) -> StageRequest:
    """A request with its texts replaced, in the order of `_texts`."""
    if isinstance(request, ExpandRequest):
        pairs = zip(request.messages, texts, strict=True)
        messages = tuple(message.model_copy(update={"content": text}) for message, text in pairs)
        return request.model_copy(update={"messages": messages})
    return request.model_copy(update={"prompt": texts[0]})


def _translated_prompt(request: StageRequest, judged: StageRequest) -> str | None:
    return judged.prompt if isinstance(judged, ModerateRequest) and judged is not request else None


def _route(request: StageRequest) -> Route:
    """The route whose rules apply. A caption may belong to any route; adult chat is recognised by `treated_as`."""
    if isinstance(request, CaptionRequest):
        return Route.CHAT_1TO1 if _treated_as(request) == "adult_allowed" else Route.GENERAL
    return request.route if isinstance(request, ModerateRequest) else ROUTE_OF_TASK[request.task]


def _treated_as(request: StageRequest) -> Treatment | None:
    return request.context.treated_as if request.context else None


def _facts(work: _LlmJob, backend: TextBackend, worker_id: str | None) -> dict[str, Any]:
    return {
        "request_id": work.request.request_id,
        "worker_id": worker_id,
        "model": backend.info,
        **work.meter.facts(),
    }


def text_device(
    backend: TextBackend,
    budget: Budget,
    *,
    max_batch: int,
    window_s: float,
    classifier: TextClassifier | None = None,
) -> Device[LlmInput, LlmOutput]:
    """The device for texts: each round of each job is one or a few completions in the running batch.

    Texts to classify use the same device; they are classified between two steps of the batch, which takes about as long
    as a few steps.
    """

    def run(requests: Sequence[LlmInput], callbacks: BatchCallbacks) -> Sequence[Outcome[LlmOutput]]:
        return run_jobs(requests, callbacks, backend, partial(program, budget=budget), classifier)

    return Device(run, max_batch=max_batch, window_s=window_s)


def program(request: LlmInput, budget: Budget) -> Program[Any]:
    if isinstance(request, CaptionRequest):
        return write_caption(request.prompt, safe_caption, budget=budget, language=request.language)
    if isinstance(request, Foreign):
        return translate(request.texts)
    if isinstance(request, ExpandRequest):
        seed = random.SystemRandom().randint(0, 2**32 - 1) if request.seed is None else request.seed
        return expand(request.messages, request.task, request.features, seed, budget, partial(_refuses, request))
    raise TypeError(f"no program writes for {type(request).__name__}")


def _refuses(request: ExpandRequest, prompt: str) -> bool:
    return judge([prompt], _route(request), treated_as=_treated_as(request)).action is Action.REFUSE


def load(settings: Settings) -> JobHandler[StageRequest]:
    """Load the weights, warm up, and return the handler. Raises `Misconfigured`."""
    from core.backends.devices import use_threads
    from core.backends.guard import load_classifier
    from core.backends.text import load_text, warm_up

    own = settings.llm
    prepare(settings.policy.audit_file, settings.policy.key)
    use_threads(own.threads)
    backend = load_text(settings.weights.locate(Model.TEXT), device=own.device, max_batch=own.max_batch)
    warm_up(backend)
    classifier = None
    if own.classifier == "guard":
        classifier = load_classifier(settings.weights.locate(Model.GUARD), device=own.device, max_batch=own.max_batch)
    device = text_device(
        backend,
        BUDGETS[settings.weights.weights],
        max_batch=own.max_batch,
        window_s=own.batch_window_s,
        classifier=classifier,
    )
    return handler(
        backend,
        device,
        minor_probability=settings.policy.minor_probability,
        has_classifier=classifier is not None,
        unsupported_language=settings.unsupported_language,
        worker_id=settings.platform.pod_id,
    )


def worker(settings: Settings) -> Worker[StageRequest]:
    return Worker(
        name="llm",
        tasks={
            **dict.fromkeys(ExpandTask, ExpandRequest),
            CAPTION_TASK: CaptionRequest,
            MODERATE_TASK: ModerateRequest,
        },
        load=lambda: load(settings),
        running=settings.llm.max_batch,
        concurrency=settings.llm.concurrency,
        test_input=ROOT / "test_inputs" / "llm.json",
    )


if __name__ == "__main__":
    from core.worker.entry import main

    main(worker)
