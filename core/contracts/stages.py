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
    """Set by our own processes only; a direct caller of a worker leaves it out."""

    contract: int = Field(default=CONTRACT_VERSION, ge=1, description="Version of these messages.")
    trace_id: Identifier = Field(description="Ties the stages' log lines to their request.")
    replay_key: Identifier | None = Field(
        default=None, description="A worker that meets the same key twice answers from its cache."
    )
    treated_as: Literal["moderated", "adult_allowed"] | None = Field(
        default=None, description="How the orchestrator treats the request; it can only make a route stricter."
    )
    max_result_bytes: Annotated[int, Field(ge=10_000)] | None = Field(
        default=None,
        description="The largest result that the orchestrator can pass on; it can only lower the worker's.",
    )
    age_check: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None,
        description="The orchestrator's commitment to run `picture/check` on this picture before it is released.",
    )


class StageRequest(Message):
    """What every worker's request may carry."""

    task: str = Field(description="What is asked for.")
    request_id: Identifier | None = Field(default=None, description="Yours; echoed in the result.")
    context: StageContext | None = Field(default=None, description="Of our own processes; leave it out.")


class AnalyzeRequest(StageRequest):
    """Selfie → features and face."""

    task: Literal["profile/analyze"] = Field(description="Names this request.")
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description=f"Base64, a data URI, or an https URL of a {SELFIE_FORMATS} of at most 7 MiB."
    )
    face: Annotated[int, Field(strict=True, ge=0, lt=100), WholeNumber] | None = Field(
        default=None,
        description="Which face to read where there are several: 0 is the main one; see `face.boxes` of a result.",
    )


class CheckRequest(StageRequest):
    """Generated picture → apparent age of everybody in it."""

    task: Literal["picture/check"] = Field(description="Names this request.")
    picture: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description="Base64 of a JPEG, PNG or WebP of at most 7 MiB. URLs are refused."
    )


class ExpandRequest(StageRequest):
    """Chat → prompt."""

    task: ExpandTask = Field(description="Names the route, whose policy and system prompt hold.")
    messages: Messages = Field(description="The chat, oldest first.")
    features: Features | None = Field(default=None, description="Describe the person whom the chat is with.")
    seed: Seed | None = Field(default=None, description="Of the words that are drawn; unset, a random one.")


class CaptionRequest(StageRequest):
    """Prompt → caption, for every route."""

    task: Literal["chat/1to1/caption"] = Field(description="Names this request.")
    prompt: LongPrompt = Field(description="The prompt that the picture is painted from.")
    language: Language = Field(default="en", description="Of the caption.")


class ModerateRequest(StageRequest):
    """Prompt → what the deployment's text classifier makes of it, where no other stage lets it hear."""

    task: Literal["moderate"] = Field(description="Names this request.")
    route: Route = Field(description="Whose policy holds.")
    prompt: LongPrompt = Field(description="What is about to be painted.")


class GenerateRequest(StageRequest):
    """Prompt → picture. Judged again here by the route that the task names; a refused prompt reaches no device."""

    task: GenerateTask = Field(description="Names the route, whose policy holds.")
    prompt: LongPrompt = Field(description="What the picture shows.")
    seed: Seed | None = Field(default=None, description="Unset, one is drawn; the result says which.")
    width: Side | None = Field(default=None, description="px. Unset, the weights' own size.")
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
    """What every worker's result carries."""

    contract: int = Field(default=CONTRACT_VERSION, ge=1, description="Version of these messages.")
    request_id: str | None = Field(default=None, description="The request's own.")
    worker_id: str | None = Field(default=None, description="The worker that ran the job.")
    model: ModelInfo = Field(description="What did the work.")
    device_ms: int = Field(ge=0, description="Time the device worked for this job, its batch's included.")
    share_ms: int | None = Field(
        default=None, ge=0, description="The job's own part of that time; null is an equal part for each of its batch."
    )
    batch_size: int = Field(default=1, ge=1, description="How many jobs shared that time.")


class AnalyzeResult(StageResult):
    """How the person looks, and how good the picture of the face is."""

    features: Features = Field(description="What was read; signed where the deployment has a signing key.")
    face: FaceMeta = Field(description="Where the face is, and the picture's quality.")
    degraded: tuple[Degraded, ...] = Field(default=(), description="What could not be read, such as a picture's end.")


class ApparentAge(Message):
    """The apparent age of one face, or of the people in a whole picture."""

    age_band: AgeBand = Field(description="The most probable band; `unknown` where none is probable enough.")
    confidence: Unit = Field(description="The probability of that band.")
    under_18: Unit = Field(description="The probability of `under_18`, whichever band was read.")


class CheckResult(StageResult):
    """Apparent ages; the orchestrator decides whether the picture is released."""

    faces: tuple[ApparentAge, ...] = Field(description="One entry for each face that was read, the largest first.")
    whole: ApparentAge = Field(description="Read from the whole picture.")
    faces_not_read: Annotated[int, Field(ge=0)] = Field(description="Faces that were found beyond the limit of 12.")


class ExpandResult(StageResult):
    """A prompt that an image model can paint."""

    prompt: str = Field(description="At most 120 words, one paragraph.")
    shortened: int = Field(default=0, ge=0, description="How many messages were shortened to 25 words.")
    repaired: bool = Field(default=False, description="The model's answer was unusable and code made the prompt.")


class CaptionResult(StageResult):
    """A caption for the picture."""

    caption: str = Field(description="10 to 15 words in the language that was asked for, safe on every route.")
    repaired: bool = Field(default=False, description="The model's answer was unfit and code made the caption.")


class ModerateResult(StageResult):
    """What is refused never gets this far: it is the error `policy_blocked`."""

    verdict: Literal["allowed", "constrained"] = Field(description="`constrained`: to be painted covered.")
    categories: tuple[str, ...] = Field(default=(), description="Why; never the text's words.")
    prompt: str | None = Field(default=None, description="The prompt in English, where it was translated to be judged.")


class GenerateResult(Picture, StageResult):
    """A finished picture and what it was made from."""

    prompt_used: str = Field(description="The prompt the picture was painted from, constraints included.")
    policy: PolicyReport = Field(description="What the policy decided and did.")
    attempts: int = Field(default=1, ge=1, description="How many pictures were painted until one could leave.")
    degraded: tuple[Degraded, ...] = Field(default=(), description="What was done without, such as a bucket.")


class StageProgress(Message):
    """What a running job reports."""

    stage: str = Field(description="The stage that is under way.")
    step: int = Field(ge=0, description="The last step that was done.")
    of: int = Field(ge=1, description="How many steps the stage has.")
    percent: int = Field(ge=0, le=100, description="Of the whole job.")
