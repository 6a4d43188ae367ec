"""One request in progress: its stages, deadline, timeline and degradations.

A stage is a typed call with its request and result models, its pool, its time limit and its share of the progress.
Optional stages that fail are replaced here; policy checks are never replaced.

May import: core, orchestrator.endpoints.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from core.contracts import (
    ANALYZE_TASK,
    CAPTION_TASK,
    CHECK_TASK,
    MODERATE_TASK,
    AnalyzeRequest,
    AnalyzeResult,
    CaptionRequest,
    CaptionResult,
    ChatRequest,
    CheckRequest,
    CheckResult,
    Degraded,
    ExpandRequest,
    ExpandResult,
    ExpandTask,
    GenerateRequest,
    GenerateResult,
    GenerateTask,
    Language,
    ModerateRequest,
    ModerateResult,
    PersonRequest,
    PictureRequest,
    Route,
    StageContext,
    StageProgress,
    StageRecord,
    StageRequest,
    StageResult,
)
from core.errors import BadAnswer, Busy, DeadlineExceeded, ImgPodError, StageFailed, UnsafeOutput
from core.logs import logger
from core.policy import (
    Treatment,
    age_check_commitment,
    constrain,
    needs_age_check,
    not_supported,
    reject_minor_in_picture,
    safe_caption,
    uncovered,
)
from core.settings import Pool, Settings
from core.text.captions import template_caption
from core.text.expansion import template_prompt
from core.worker.job import Job
from orchestrator.deadlines import Deadline
from orchestrator.endpoints import Endpoints
from orchestrator.pictures import Pictures, SharedProgress, check_all, consecutive_seeds, generate_all
from orchestrator.polling import StageDurations
from orchestrator.stage_call import Call, OnProgress, StageAnswer

log = logger()
S = TypeVar("S", bound=StageResult)
P = TypeVar("P")

_RUNSYNC_WAIT_MS = 1_500
"""Wait of a short stage's `runsync`, during which its job can't be cancelled."""

_SMALLEST_RESULT_BYTES = 10_000

PICTURE_POOL = {
    Route.PROFILE: Pool.PROFILE,
    Route.CHAT_1TO1: Pool.CHAT1TO1,
    Route.SHORTS: Pool.SHORTS,
    Route.SCENES: Pool.SCENES,
    Route.PRIVATE: Pool.TEXT2IMG,
    Route.GENERAL: Pool.TEXT2IMG,
}

_REPLACEABLE_FAILURES = (StageFailed, DeadlineExceeded, Busy)
"""Failures after which expansion and caption are replaced; a refusal or a bad request is raised."""


@dataclass(slots=True)
class Chain:
    """State and stages of one request. `prices`: dollars per worker second by pool; without one the cost is unknown."""

    request: PictureRequest
    job: Job
    endpoints: Endpoints
    settings: Settings
    prices: dict[Pool, float]
    deadline: Deadline
    treated_as: Treatment
    trace_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: float = field(default_factory=time.monotonic)
    timeline: list[StageRecord] = field(default_factory=list)
    degraded: list[Degraded] = field(default_factory=list)
    _from_percent: int = 0

    def reject_unreachable_deadline(self) -> None:
        """Raise `DeadlineExceeded` before any stage if `timeout_s` is below half of the shortest such request."""
        shortest_s = self._picture_time.shortest_s or 0.0
        if self.request.task is Route.PROFILE:
            shortest_s += self.endpoints.expected(Pool.SELFIE, "analyze").shortest_s or 0.0
        if self.deadline.left_s() < shortest_s / 2:
            raise DeadlineExceeded(
                f"A request of this kind takes at least {shortest_s:.1f} s; set a longer `timeout_s`."
            )

    async def analyze(self, selfie: str, face: int | None = None) -> AnalyzeResult:
        request = AnalyzeRequest(task=ANALYZE_TASK, selfie=selfie, face=face, **self._common_fields("analyze"))
        self._wake_picture_pool()
        progress = self._progress("analyze", 40)
        return await self._stage("analyze", Pool.SELFIE, request, AnalyzeResult, on_progress=progress)

    async def expand(self, task: ExpandTask, request: ChatRequest) -> str:
        """Write a prompt for the chat; if the llm worker fails, use a template with the chat's last message.

        Raises `LanguageNotSupported`.
        """
        foreign = await self.needs_llm_judgement([message.content for message in request.messages])
        expand_request = ExpandRequest(
            task=task,
            messages=request.messages,
            features=request.features,
            seed=request.seed,
            **self._common_fields("expand"),
        )
        self._wake_picture_pool()
        # Reserves the time of the picture, so that a late expansion can be replaced by a template.
        by = self.deadline.earlier(self._reserved_for_picture_s())
        try:
            progress = self._progress("expand", 40)
            result = await self._stage(
                "expand", Pool.LLM, expand_request, ExpandResult, by=by, on_progress=progress, short=True
            )
        except _REPLACEABLE_FAILURES as error:
            if foreign or (self.settings.llm.classifier != "none" and self.treated_as == "moderated"):
                # Only the llm worker can classify the chat, or judge a language without rules.
                raise
            self._record_degraded("expand", error, "template_prompt")
            return template_prompt(request.messages, request.features)
        return result.prompt

    async def moderate(self, text: str, prompt: str) -> str:
        """Have the llm worker check `text`, which no model wrote, and return the prompt allowed for generation.

        The stage runs if the deployment has a text classifier, or if the rules don't cover the language; the prompt is
        then returned in English, if the deployment translates. A failure of the stage fails the request. Raises
        `PolicyBlocked`, `LanguageNotSupported`.
        """
        foreign = await self.needs_llm_judgement([text])
        if self.settings.llm.classifier == "none" and not foreign:
            return prompt
        self._wake_picture_pool()
        request = ModerateRequest(
            task=MODERATE_TASK, route=self.request.task, prompt=text, **self._common_fields("moderate")
        )
        result = await self._stage("moderate", Pool.LLM, request, ModerateResult, short=True)
        prompt = result.prompt or prompt
        return constrain(prompt) if result.verdict == "constrained" else prompt

    async def needs_llm_judgement(self, texts: Sequence[str]) -> bool:
        """Whether a text is in a language without rules. Raises `LanguageNotSupported` if such texts are refused."""
        found = await asyncio.to_thread(uncovered, texts)
        if found and self.settings.unsupported_language == "refuse":
            raise not_supported(found, stage="request")
        return found is not None

    async def generate(self, task: GenerateTask, prompt: str) -> Pictures:
        """Generate the request's `n` pictures in parallel. If one fails, the others are kept."""
        n = self.request.n
        progress = SharedProgress(n, self._progress("generate", 95))

        async def generate_one(index: int, seed: int | None) -> GenerateResult:
            request = self._generate_request(task, prompt, seed, index)
            report = progress.of(index)
            return await self._stage("generate", self._picture_pool, request, GenerateResult, on_progress=report)

        return await generate_all(consecutive_seeds(self.request.seed, n), generate_one)

    def _generate_request(self, task: GenerateTask, prompt: str, seed: int | None, index: int) -> GenerateRequest:
        n = self.request.n
        # The first picture is in the result twice: as the result's own and under `images`.
        share = None if n == 1 else max(_SMALLEST_RESULT_BYTES, self.settings.worker.max_result_bytes // (n + 1))
        commitment = age_check_commitment(self.trace_id, prompt, self.settings.policy.key)
        return GenerateRequest(
            task=task,
            prompt=prompt,
            seed=seed,
            width=self.request.width,
            height=self.request.height,
            output_format=self.request.output_format,
            include_prompt=self.request.include_prompt,
            **self._common_fields(_numbered("generate", index, n), max_result_bytes=share, age_check=commitment),
        )

    async def check_pictures(self, pictures: Pictures) -> Pictures:
        """Check the apparent ages in pictures that the output check rates as sexual; return the pictures that pass.

        One refusal ends the request, so that a larger `n` gives no more attempts. If a check fails, only its
        picture is withheld. No picture is generated again. Raises `PolicyBlocked`, and the first error if no picture is
        left.
        """
        return await check_all(pictures, self._check_picture)

    async def _check_picture(self, index: int, picture: GenerateResult) -> GenerateResult:
        policy = self.settings.policy
        if not needs_age_check(picture.policy.picture, score_from=policy.age_check_score):
            return picture
        if picture.image_base64 is None or picture.image_url is not None:
            raise UnsafeOutput(
                "The zimage worker uploaded a picture before its age check; update the zimage workers.", stage="check"
            )
        request = CheckRequest(
            task=CHECK_TASK,
            picture=picture.image_base64,
            **self._common_fields(_numbered("check", index, self.request.n)),
        )
        read = await self._stage("check", Pool.SELFIE, request, CheckResult)
        passed = reject_minor_in_picture(read, threshold=policy.minor_probability, route=self.request.task)
        return picture.model_copy(update={"policy": picture.policy.model_copy(update={"age_check": passed})})

    async def caption(self, prompt: str) -> str:
        """A caption that is safe on every route; a template caption if the worker's fails or isn't safe."""
        request = CaptionRequest(
            task=CAPTION_TASK, prompt=prompt, language=self._language, **self._common_fields("caption")
        )
        try:
            result = await self._stage("caption", Pool.LLM, request, CaptionResult, short=True)
        except _REPLACEABLE_FAILURES as error:
            self._record_degraded("caption", error, "template_caption")
            return self._template_caption(prompt)
        return result.caption if safe_caption(result.caption) else self._template_caption(prompt)

    async def with_caption(self, picture: Awaitable[P], prompt: str) -> tuple[P, str]:
        """Await the picture and write its caption concurrently. A failed caption never fails its picture."""
        captioning = asyncio.ensure_future(self.caption(prompt))
        try:
            generated = await picture
            grace_s = min(self.settings.stage_limit_s("caption"), self.deadline.left_s())
            await asyncio.wait([captioning], timeout=max(0.0, grace_s))
            if captioning.done():
                return generated, captioning.result()
        finally:
            captioning.cancel()
            await asyncio.gather(captioning, return_exceptions=True)
        self._record_degraded("caption", DeadlineExceeded("The caption was not written in time."), "template_caption")
        return generated, self._template_caption(prompt)

    @property
    def _language(self) -> Language:
        return self.request.language if isinstance(self.request, PersonRequest) else "en"

    def _template_caption(self, prompt: str) -> str:
        return template_caption(prompt, safe_caption, self._language)

    @property
    def _picture_pool(self) -> Pool:
        return PICTURE_POOL[self.request.task]

    @property
    def _picture_time(self) -> StageDurations:
        return self.endpoints.expected(self._picture_pool, "generate", _size(self.request))

    def _reserved_for_picture_s(self) -> float:
        unmeasured_s = min(self.settings.stage_limit_s("generate"), self.deadline.left_s() / 2)
        return self._picture_time.latest_s or unmeasured_s

    def _wake_picture_pool(self) -> None:
        if self.settings.orchestrator.wake_pools:
            self.endpoints.wake(self._picture_pool)

    def _common_fields(self, stage: str, **more: Any) -> dict[str, Any]:
        """`stage` names the replay key; `more` are fields of the context."""
        context = StageContext(
            trace_id=self.trace_id,
            replay_key=f"{self.trace_id}.{stage}",
            treated_as=self.treated_as,
            **more,
        )
        return {"request_id": self.request.request_id, "context": context}

    async def _stage(
        self,
        stage: str,
        pool: Pool,
        request: StageRequest,
        result: type[S],
        *,
        by: Deadline | None = None,
        on_progress: OnProgress | None = None,
        short: bool = False,
    ) -> S:
        size = _size(self.request) if stage == "generate" else 0
        call = Call(
            stage=stage,
            pool=pool,
            payload=request.model_dump(mode="json", exclude_none=True),
            limit_s=self.settings.stage_limit_s(stage),
            wait_ms=_RUNSYNC_WAIT_MS if short else self.endpoints.expected(pool, stage, size).runsync_wait_ms,
            size=size,
            s3_config=self.job.s3_config if stage == "generate" else None,
        )
        started = time.monotonic()
        answered = await self.endpoints.call(call, by or self.deadline, on_progress)
        try:
            read = result.model_validate(answered.output, extra="ignore")
        except ValidationError:
            raise BadAnswer(f"This release can't read the {stage} worker's answer.", stage=stage) from None
        self._record(call, request, answered, read, started)
        return read

    def _progress(self, stage: str, ends_at_percent: int) -> OnProgress:
        """Convert a stage's progress to the request's progress, which starts at the end of the previous stage."""
        begins_at, self._from_percent = self._from_percent, ends_at_percent
        self.job.progress.report(stage, 0, 1, begins_at)

        def report(progress: StageProgress) -> None:
            percent = begins_at + round((ends_at_percent - begins_at) * progress.percent / 100)
            self.job.progress.report(stage, progress.step, progress.of, percent)

        return report

    def _record(
        self, call: Call, request: StageRequest, answered: StageAnswer, read: StageResult, started: float
    ) -> None:
        price = self.prices.get(call.pool)
        share_ms = round(read.device_ms / read.batch_size) if read.share_ms is None else read.share_ms
        record = StageRecord(
            stage=call.stage,
            task=request.task,
            endpoint_id=answered.endpoint_id,
            job_id=answered.job_id,
            worker_id=read.worker_id or answered.worker_id,
            started_ms=round(1000 * (started - self.started)),
            wall_ms=round(1000 * (time.monotonic() - started)),
            queue_ms=answered.queue_ms,
            execution_ms=answered.execution_ms,
            device_ms=read.device_ms,
            share_ms=share_ms,
            batch_size=read.batch_size,
            attempts=answered.attempts,
            cost_usd=None if price is None else round(price * share_ms / 1000, 8),
            model=read.model,
        )
        self.timeline.append(record)
        log.info(
            "stage done", stage=call.stage, endpoint_id=answered.endpoint_id, wall_ms=record.wall_ms,
            queue_ms=record.queue_ms, device_ms=record.device_ms, attempt=answered.attempts,
        )  # fmt: skip

    def _record_degraded(self, stage: str, error: ImgPodError, fallback: str) -> None:
        log.warning("stage replaced", stage=stage, code=error.code)
        self.degraded.append(Degraded(stage=stage, reason=error.code, fallback=fallback))


def _numbered(stage: str, index: int, n: int) -> str:
    return stage if n == 1 else f"{stage}.{index}"


def _size(request: PictureRequest) -> int:
    """Size class of a picture: the power of two of its pixels, because similar sizes take similar times."""
    return ((request.width or 0) * (request.height or 0)).bit_length()
