"""The requests and results of the workers: one pair of classes per stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    StrictBool,
    StringConstraints,
)

from core.contracts.base import (
    CONTRACT_VERSION,
    MAX_SELFIE_CHARS,
    SELFIE_FORMATS,
    Identifier,
    Language,
    LongPrompt,
    Message,
    Unit,
)
from core.contracts.features import AgeBand, FaceMeta, Features
from core.contracts.requests import Messages
from core.contracts.results import Degraded, ModelInfo, Picture, PolicyReport
from core.contracts.tasks import (
    ANALYZE_TASK,
    CAPTION_TASK,
    CHECK_TASK,
    MODERATE_TASK,
    ExpandTask,
    GenerateTask,
    Route,
)
from core.contracts.values import ImageFormat, Seed, Side, WholeNumber


class StageContext(Message):
    """Fields that only our own processes set; a direct caller of a worker omits them."""

    contract: int = Field(default=CONTRACT_VERSION, ge=1, description="Version of these messages.")
    trace_id: Identifier = Field(description="Id that the log lines of all stages of a request have in common.")
    replay_key: Identifier | None = Field(
        default=None, description="A worker that receives the same key twice answers from its cache."
    )
    treated_as: Literal["moderated", "adult_allowed"] | None = Field(
        default=None, description="Policy tier chosen by the orchestrator; it can only make a route stricter."
    )
    max_result_bytes: Annotated[int, Field(ge=10_000)] | None = Field(
        default=None,
        description="The largest result that the orchestrator can pass on; it can only lower the worker's limit.",
    )
    age_check: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None,
        description="The orchestrator's commitment to run `picture/check` on this picture before it is released.",
    )


class StageRequest(Message):
    """The fields that every request to a worker may have."""

    task: str = Field(description="The task to run.")
    request_id: Identifier | None = Field(default=None, description="Your own id; returned in the result.")
    context: StageContext | None = Field(default=None, description="Only for our own processes; omit it.")


class AnalyzeRequest(StageRequest):
    """Selfie → features and face."""

    task: Literal["profile/analyze"] = Field(description="Selects this request.")
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description=f"Base64, a data URI, or an https URL of a {SELFIE_FORMATS} of at most 7 MiB."
    )
    face: Annotated[int, Field(strict=True, ge=0, lt=100), WholeNumber] | None = Field(
        default=None,
        description="Which face to use if there are several: 0 is the main one; see `face.boxes` of a result.",
    )


class CheckRequest(StageRequest):
    """Generated picture → apparent ages of the people in it."""

    task: Literal["picture/check"] = Field(description="Selects this request.")
    picture: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description="Base64 of a JPEG, PNG or WebP of at most 7 MiB. URLs are refused."
    )


class ExpandRequest(StageRequest):
    """Chat → prompt."""

    task: ExpandTask = Field(description="Selects the route, and with it the policy and the system prompt.")
    messages: Messages = Field(description="The chat, oldest message first.")
    features: Features | None = Field(default=None, description="Description of the person in the picture.")
    seed: Seed | None = Field(default=None, description="Seed of the sampling; unset: a random one.")


class CaptionRequest(StageRequest):
    """Prompt → caption, for every route."""

    task: Literal["chat/1to1/caption"] = Field(description="Selects this request.")
    prompt: LongPrompt = Field(description="The prompt of the picture.")
    language: Language = Field(default="en", description="Language of the caption.")


class ModerateRequest(StageRequest):
    """Prompt → verdict of the deployment's text classifier, for prompts that no other llm stage receives."""

    task: Literal["moderate"] = Field(description="Selects this request.")
    route: Route = Field(description="The route whose policy applies.")
    prompt: LongPrompt = Field(description="The prompt of the picture.")


class GenerateRequest(StageRequest):
    """Prompt → picture. The prompt is checked again by the policy of the task's route, before it is run."""

    task: GenerateTask = Field(description="Selects the route whose policy applies.")
    prompt: LongPrompt = Field(description="Description of the picture.")
    seed: Seed | None = Field(default=None, description="Unset: a random seed, which the result contains.")
    width: Side | None = Field(default=None, description="px. Unset: the model's default size.")
    height: Side | None = Field(default=None, description="px, as `width`.")
    output_format: ImageFormat = Field(default="webp", description="The picture's file format.")
    include_prompt: StrictBool = Field(
        default=False, description="Also write the prompt into the picture's own metadata."
    )


STAGE_REQUESTS: dict[str, type[StageRequest]] = {
    ANALYZE_TASK: AnalyzeRequest,
    CHECK_TASK: CheckRequest,
    **dict.fromkeys(ExpandTask, ExpandRequest),
    CAPTION_TASK: CaptionRequest,
    MODERATE_TASK: ModerateRequest,
    **dict.fromkeys(GenerateTask, GenerateRequest),
}


class StageResult(Message):
    """The fields of every worker's result."""

    contract: int = Field(default=CONTRACT_VERSION, ge=1, description="Version of these messages.")
    request_id: str | None = Field(default=None, description="The `request_id` of the request.")
    worker_id: str | None = Field(default=None, description="The worker that ran the job.")
    model: ModelInfo = Field(description="The model that was used.")
    device_ms: int = Field(ge=0, description="Time for which the device worked on this job's batch.")
    share_ms: int | None = Field(
        default=None,
        ge=0,
        description="The job's own part of this time; null: an equal part for each job of the batch.",
    )
    batch_size: int = Field(default=1, ge=1, description="Number of jobs that shared this time.")


class AnalyzeResult(StageResult):
    """Features of the person and quality of the face's picture."""

    features: Features = Field(description="Recognised features; signed if the deployment has a signing key.")
    face: FaceMeta = Field(description="Position of the face, and quality of the picture.")
    degraded: tuple[Degraded, ...] = Field(default=(), description="Missing input, such as a picture's end.")


class ApparentAge(Message):
    """The apparent age of one face, or of the people in a whole picture."""

    age_band: AgeBand = Field(description="The most probable band; `unknown` if none is probable enough.")
    confidence: Unit = Field(description="The probability of this band.")
    under_18: Unit = Field(description="The probability of `under_18`, independent of `age_band`.")


class CheckResult(StageResult):
    """Apparent ages; the orchestrator decides whether the picture is released."""

    faces: tuple[ApparentAge, ...] = Field(description="One entry for each checked face, the largest first.")
    whole: ApparentAge = Field(description="Result for the whole picture.")
    faces_not_read: Annotated[int, Field(ge=0)] = Field(description="Number of faces beyond the limit of 12.")


class ExpandResult(StageResult):
    """A prompt for the image model."""

    prompt: str = Field(description="At most 120 words, one paragraph.")
    shortened: int = Field(default=0, ge=0, description="Number of messages that were shortened to 25 words.")
    repaired: bool = Field(default=False, description="The model's answer was unusable, and code wrote the prompt.")


class CaptionResult(StageResult):
    """A caption for the picture."""

    caption: str = Field(description="10 to 15 words in the requested language, safe on every route.")
    repaired: bool = Field(default=False, description="The model's answer was unusable, and code wrote the caption.")


class ModerateResult(StageResult):
    """Verdict on a prompt that is not refused. A refused prompt is the error `policy_blocked`."""

    verdict: Literal["allowed", "constrained"] = Field(description="`constrained`: only with fully clothed people.")
    categories: tuple[str, ...] = Field(default=(), description="Reasons of the verdict; never the text's words.")
    prompt: str | None = Field(default=None, description="The prompt in English, if it was translated for the check.")


class GenerateResult(Picture, StageResult):
    """A finished picture and the values that it was made with."""

    prompt_used: str = Field(description="The prompt that the image model received, constraints included.")
    policy: PolicyReport = Field(description="The policy's decision.")
    attempts: int = Field(default=1, ge=1, description="Number of generated pictures, refused ones included.")
    degraded: tuple[Degraded, ...] = Field(default=(), description="Inputs or steps that were replaced.")


class StageProgress(Message):
    """Progress report of a running job."""

    stage: str = Field(description="The running stage.")
    step: int = Field(ge=0, description="The last completed step.")
    of: int = Field(ge=1, description="Number of steps of the stage.")
    percent: int = Field(ge=0, le=100, description="Progress of the whole job.")
