"""The messages that cross a process, written once and imported by both ends.

Three families: *requests* and *results* of the orchestrator (public), *stage requests* and *stage results* of the
workers (between our own processes, though a worker's endpoint may be called directly), and the *parts* they share.
A public request refuses unknown fields. A stage request refuses them too, unless it carries `context`, which only our
own processes set: then they are ignored, so that an orchestrator may be one release ahead of its workers.

May import: pydantic. Nothing is loaded, judged or drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from core.errors import InvalidRequest, TooLarge, UnknownTask

CONTRACT_VERSION = 1
"""Raised when a message changes in a way that an older reader would misread; adding a field does not raise it."""

MAX_MESSAGES = 40
MAX_MESSAGE_CHARS = 4_000
MAX_PROMPT_CHARS = 2_000
MAX_STYLE_CHARS = 300
MAX_SELFIE_CHARS = 9_800_000
"""Base64 of 7 MiB, with room for a data URI's head."""


class Message(BaseModel):
    """A message is a value: it can't be changed, and NaN or infinity is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Route(StrEnum):
    """The orchestrator's tasks: what a client may ask of the whole system."""

    PROFILE = "profile/create"
    CHAT_1TO1 = "chat/1to1/imagegen"
    SHORTS = "chat/shorts/generate"
    SCENES = "chat/scenes/generate"
    PRIVATE = "chat/private/imagegen"
    GENERAL = "imagegen"


class ExpandTask(StrEnum):
    CHAT_1TO1 = "chat/1to1/expand"
    SHORTS = "chat/shorts/expand"
    SCENES = "chat/scenes/expand"


class GenerateTask(StrEnum):
    PROFILE = "profile/generate"
    CHAT_1TO1 = "chat/1to1/generate"
    SHORTS = "chat/shorts/generate"
    SCENES = "chat/scenes/generate"
    PRIVATE = "chat/private/generate"
    GENERAL = "generate"


ANALYZE_TASK: Literal["profile/analyze"] = "profile/analyze"
CAPTION_TASK: Literal["chat/1to1/caption"] = "chat/1to1/caption"

ROUTE_OF_TASK: dict[str, Route] = {
    ANALYZE_TASK: Route.PROFILE,
    ExpandTask.CHAT_1TO1: Route.CHAT_1TO1,
    ExpandTask.SHORTS: Route.SHORTS,
    ExpandTask.SCENES: Route.SCENES,
    GenerateTask.PROFILE: Route.PROFILE,
    GenerateTask.CHAT_1TO1: Route.CHAT_1TO1,
    GenerateTask.SHORTS: Route.SHORTS,
    GenerateTask.SCENES: Route.SCENES,
    GenerateTask.PRIVATE: Route.PRIVATE,
    GenerateTask.GENERAL: Route.GENERAL,
}
"""A worker task names its route, so that a worker can judge its text by the right rules whoever calls it."""


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class GenderPresentation(StrEnum):
    FEMININE = "feminine"
    MASCULINE = "masculine"
    ANDROGYNOUS = "androgynous"
    UNKNOWN = "unknown"


class AgeBand(StrEnum):
    UNDER_18 = "under_18"
    FROM_18_TO_24 = "18_24"
    FROM_25_TO_34 = "25_34"
    FROM_35_TO_44 = "35_44"
    FROM_45_TO_54 = "45_54"
    FROM_55_TO_64 = "55_64"
    FROM_65 = "65_plus"
    UNKNOWN = "unknown"


class SkinTone(StrEnum):
    VERY_LIGHT = "very_light"
    LIGHT = "light"
    MEDIUM = "medium"
    TAN = "tan"
    BROWN = "brown"
    DARK = "dark"
    UNKNOWN = "unknown"


class HairColor(StrEnum):
    BLACK = "black"
    BROWN = "brown"
    BLOND = "blond"
    RED = "red"
    GRAY = "gray"
    WHITE = "white"
    DYED = "dyed"
    NONE = "none"
    UNKNOWN = "unknown"


class HairLength(StrEnum):
    BALD = "bald"
    SHORT = "short"
    MEDIUM = "medium"
    LONG = "long"
    UNKNOWN = "unknown"


class HairStyle(StrEnum):
    STRAIGHT = "straight"
    WAVY = "wavy"
    CURLY = "curly"
    COILY = "coily"
    BRAIDS = "braids"
    BUN = "bun"
    PONYTAIL = "ponytail"
    NONE = "none"
    UNKNOWN = "unknown"


class EyeColor(StrEnum):
    BROWN = "brown"
    BLUE = "blue"
    GREEN = "green"
    HAZEL = "hazel"
    GRAY = "gray"
    UNKNOWN = "unknown"


class FacialHair(StrEnum):
    NONE = "none"
    STUBBLE = "stubble"
    MUSTACHE = "mustache"
    BEARD = "beard"
    UNKNOWN = "unknown"


class Glasses(StrEnum):
    NONE = "none"
    EYEGLASSES = "eyeglasses"
    SUNGLASSES = "sunglasses"
    UNKNOWN = "unknown"


class Expression(StrEnum):
    NEUTRAL = "neutral"
    SMILING = "smiling"
    LAUGHING = "laughing"
    SERIOUS = "serious"
    UNKNOWN = "unknown"


class FaceShape(StrEnum):
    OVAL = "oval"
    ROUND = "round"
    SQUARE = "square"
    HEART = "heart"
    LONG = "long"
    UNKNOWN = "unknown"


class Headwear(StrEnum):
    NONE = "none"
    HAT = "hat"
    CAP = "cap"
    SCARF = "scarf"
    UNKNOWN = "unknown"


class Earrings(StrEnum):
    NONE = "none"
    WORN = "worn"
    UNKNOWN = "unknown"


Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Features(Message):
    """How a person looks, as a closed vocabulary; race, religion, orientation and health are neither asked nor taken.

    `confidence` maps an attribute's name to the reader's probability of its value; `signature` is what `profile/create`
    signed the attributes with. Hand the whole object back to have the same described person drawn again.
    """

    gender_presentation: GenderPresentation = GenderPresentation.UNKNOWN
    age_band: AgeBand = AgeBand.UNKNOWN
    skin_tone: SkinTone = SkinTone.UNKNOWN
    hair_color: HairColor = HairColor.UNKNOWN
    hair_length: HairLength = HairLength.UNKNOWN
    hair_style: HairStyle = HairStyle.UNKNOWN
    eye_color: EyeColor = EyeColor.UNKNOWN
    facial_hair: FacialHair = FacialHair.UNKNOWN
    glasses: Glasses = Glasses.UNKNOWN
    expression: Expression = Expression.UNKNOWN
    face_shape: FaceShape = FaceShape.UNKNOWN
    headwear: Headwear = Headwear.UNKNOWN
    earrings: Earrings = Earrings.UNKNOWN
    confidence: dict[str, Unit] = Field(default_factory=dict, description="Attribute name → probability of its value.")
    signature: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="Set by `profile/create` where the deployment has a signing key."
    )

    @field_validator("confidence")
    @classmethod
    def _of_known_attributes(cls, confidence: dict[str, float]) -> dict[str, float]:
        if any(name not in ATTRIBUTES for name in confidence):
            raise ValueError("confidence names an attribute that does not exist")
        return confidence


ATTRIBUTES: dict[str, type[StrEnum]] = {
    name: field.annotation
    for name, field in Features.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum)
}
"""Each attribute's name and its enum, in the order in which they are asked and described."""


class FaceQuality(Message):
    """Components of the quality score, each 0–1; None where the picture does not allow the measure.

    ISO/IEC 29794-5 measures that need only pixels and the face's box, as OFIQ computes them.
    """

    single_face: Unit | None = None
    head_size: Unit | None = None
    inter_eye_distance: Unit | None = None
    under_exposure: Unit | None = None
    over_exposure: Unit | None = None
    dynamic_range: Unit | None = None
    luminance: Unit | None = None
    illumination_uniformity: Unit | None = None
    sharpness: Unit | None = None


class FaceMeta(Message):
    """Where the face is and how good the picture of it is. No face is a result, not an error."""

    detected: bool
    box: tuple[int, int, int, int] | None = Field(description="Left, top, right, bottom of the face, in px.")
    confidence: Unit
    faces_in_picture: Annotated[int, Field(ge=0)]
    quality_score: Unit = Field(description="Weighted geometric mean of the components; halved where no face is found.")
    components: FaceQuality


class ChatMessage(Message):
    role: Literal["user", "assistant", "system"]
    content: Annotated[str, StringConstraints(min_length=1, max_length=MAX_MESSAGE_CHARS, pattern=r"\S")]


class Subject(Message):
    """Who the features describe, as the caller attests; needed to draw them on the route that allows adult content."""

    kind: Literal["self", "synthetic"] = Field(description="The caller's own likeness, or a person who doesn't exist.")
    adult_use_consent: bool = Field(description="The person agrees to adult pictures being made of them.")
    age_attested: bool = Field(description="The caller attests that the person is 18 or older.")


class ModelInfo(Message):
    name: str
    revision: str
    profile: str = Field(description="`full` or `embedded`.")


class PictureCheck(Message):
    """What the output checker saw. `score` is None when the checker failed."""

    checker: str
    score: Unit | None
    threshold: Unit
    outcome: Literal["passed", "reported", "repainted"]


class PolicyReport(Message):
    """What the policy decided, and what it did about it."""

    version: str
    verdict: Literal["allowed", "constrained"]
    categories: tuple[str, ...] = ()
    applied: tuple[str, ...] = Field(default=(), description="What was put into the prompt or done to the request.")
    treated_as: Literal["moderated", "adult_allowed"]
    picture: PictureCheck | None = None


class Degraded(Message):
    stage: str
    reason: str = Field(description="The error's code.")
    fallback: str = Field(description="What was used instead.")


class StageRecord(Message):
    """One stage of a finished request: where it ran, how long, and what that cost."""

    stage: str
    task: str
    endpoint_id: str
    job_id: str | None = None
    worker_id: str | None = None
    started_ms: int = Field(description="From the request's start, ms.")
    wall_ms: int = Field(description="From the call to its answer, as the orchestrator saw it.")
    queue_ms: int | None = Field(default=None, description="The platform's `delayTime`: queue and cold start.")
    execution_ms: int | None = Field(default=None, description="The platform's `executionTime`.")
    device_ms: int | None = Field(default=None, description="Time the worker's device worked for this job.")
    batch_size: int | None = None
    attempts: int = 1
    cost_usd: float | None = Field(
        default=None, description="The device's time, shared with its batch, × the endpoint's price per second."
    )
    model: ModelInfo | None = None


# ── public requests ──────────────────────────────────────────────────────────────────────────────────────────────────

Side = Annotated[int, Field(strict=True, ge=64, le=1536, multiple_of=16)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT_CHARS, pattern=r"\S")]
Style = Annotated[str, StringConstraints(max_length=MAX_STYLE_CHARS)]
Messages = Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=MAX_MESSAGES)]
ImageFormat = Literal["webp", "png", "jpeg"]


class PictureRequest(Message):
    """What every request to the orchestrator may carry."""

    task: Route
    request_id: Identifier | None = Field(
        default=None, description="Yours; echoed in the result and in every log line."
    )
    idempotency_key: Identifier | None = Field(
        default=None,
        description="The same key and body give the same answer; the same key and another body are refused.",
    )
    seed: Seed | None = Field(default=None, description="Unset, one is drawn; the result says which.")
    width: Side | None = Field(
        default=None, description="px. Full weights take 256–1536; unset, the weights' own size."
    )
    height: Side | None = Field(default=None, description="px, as `width`.")
    output_format: ImageFormat = "webp"
    timeout_s: Annotated[float, Field(ge=1, le=900)] | None = Field(
        default=None, description="For the whole request, queueing and cold starts included."
    )
    include_prompt: bool = Field(default=False, description="Also write the prompt into the picture's own metadata.")


class PersonRequest(PictureRequest):
    """A request in which a person is drawn, who may be one described before."""

    features: Features | None = Field(default=None, description="As an earlier `profile/create` returned them.")


class ProfileCreate(PictureRequest):
    """A selfie in, an avatar out."""

    task: Literal[Route.PROFILE]
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description="Base64, a data URI, or an https URL of a JPEG, PNG, WebP or HEIC of at most 7 MiB."
    )
    style: Style | None = Field(default=None, description="How it should look, such as `watercolour`.")


class ChatRequest(PersonRequest):
    messages: Messages


class Chat1to1(ChatRequest):
    """A private chat between adults in, a captioned picture out. Adult content passes; a minor never does."""

    task: Literal[Route.CHAT_1TO1]
    subject: Subject | None = Field(default=None, description="Needed with `features`; else the route moderates.")


class ChatShorts(ChatRequest):
    """A chat in, a captioned picture for a short out. Moderated."""

    task: Literal[Route.SHORTS]


class ChatScenes(ChatRequest):
    """A chat in, a captioned picture of its scene out. Moderated."""

    task: Literal[Route.SCENES]


class ChatPrivate(PersonRequest):
    """A prompt of your own in, a captioned picture out. Two-tier policy."""

    task: Literal[Route.PRIVATE]
    prompt: Prompt


class ImageGen(PersonRequest):
    """A prompt of your own in, a picture out. Two-tier policy."""

    task: Literal[Route.GENERAL]
    prompt: Prompt
    caption: bool = Field(default=False, description="Also write a caption.")


Request = ProfileCreate | Chat1to1 | ChatShorts | ChatScenes | ChatPrivate | ImageGen

REQUESTS: dict[str, type[PictureRequest]] = {
    Route.PROFILE: ProfileCreate,
    Route.CHAT_1TO1: Chat1to1,
    Route.SHORTS: ChatShorts,
    Route.SCENES: ChatScenes,
    Route.PRIVATE: ChatPrivate,
    Route.GENERAL: ImageGen,
}


# ── public result ────────────────────────────────────────────────────────────────────────────────────────────────────


class Picture(Message):
    """A finished picture: its bytes in base64, or, where storage is configured, its URL."""

    image_base64: str | None = None
    image_url: str | None = None
    image_format: ImageFormat
    width: int
    height: int
    seed: int


class Result(Picture):
    """What the orchestrator answers, whatever the task."""

    contract: int = CONTRACT_VERSION
    request_id: str | None
    task: Route
    caption: str | None = None
    prompt_used: str = Field(description="The prompt the picture was painted from, constraints included.")
    features: Features | None = Field(default=None, description="`profile/create` only.")
    face: FaceMeta | None = Field(default=None, description="`profile/create` only.")
    model: ModelInfo = Field(description="What painted the picture; the timeline names the others.")
    policy: PolicyReport
    degraded: tuple[Degraded, ...] = ()
    timeline: tuple[StageRecord, ...] = ()
    cost_usd: float | None = Field(
        default=None, description="Sum of the timeline's costs; None where a price is unset."
    )
    trace_id: str


# ── stage requests and results ───────────────────────────────────────────────────────────────────────────────────────


class StageContext(Message):
    """Set by our own processes only; a direct caller of a worker leaves it out."""

    contract: int = CONTRACT_VERSION
    trace_id: Identifier
    replay_key: Identifier | None = Field(
        default=None, description="A worker that meets the same key twice answers from its cache."
    )
    treated_as: Literal["moderated", "adult_allowed"] | None = Field(
        default=None, description="How the orchestrator treats the request; it can only make a route stricter."
    )


class StageRequest(Message):
    task: str
    request_id: Identifier | None = None
    context: StageContext | None = None


class AnalyzeRequest(StageRequest):
    task: Literal["profile/analyze"]
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)]


class ExpandRequest(StageRequest):
    """Chat → prompt. `features` describe the person whom the chat is with."""

    task: ExpandTask
    messages: Messages
    features: Features | None = None
    seed: Seed | None = None


class CaptionRequest(StageRequest):
    task: Literal["chat/1to1/caption"]
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=2 * MAX_PROMPT_CHARS, pattern=r"\S")]


class GenerateRequest(StageRequest):
    """Prompt → picture. Judged again here by the route that the task names; a refused prompt reaches no device."""

    task: GenerateTask
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=2 * MAX_PROMPT_CHARS, pattern=r"\S")]
    seed: Seed | None = None
    width: Side | None = None
    height: Side | None = None
    output_format: ImageFormat = "webp"
    include_prompt: bool = False


STAGE_REQUESTS: dict[str, type[StageRequest]] = {
    ANALYZE_TASK: AnalyzeRequest,
    **dict.fromkeys(ExpandTask, ExpandRequest),
    CAPTION_TASK: CaptionRequest,
    **dict.fromkeys(GenerateTask, GenerateRequest),
}


class StageResult(Message):
    contract: int = CONTRACT_VERSION
    request_id: str | None = None
    worker_id: str | None = None
    model: ModelInfo
    device_ms: int = Field(ge=0)
    batch_size: int = Field(default=1, ge=1)


class AnalyzeResult(StageResult):
    features: Features
    face: FaceMeta


class ExpandResult(StageResult):
    prompt: str = Field(description="At most 120 words, one paragraph.")
    shortened: int = Field(default=0, ge=0, description="How many messages were shortened to 25 words.")
    repaired: bool = Field(default=False, description="The model's answer was unusable and code made the prompt.")


class CaptionResult(StageResult):
    caption: str = Field(description="10 to 15 words, safe on every route.")
    repaired: bool = False


class GenerateResult(Picture, StageResult):
    prompt_used: str
    policy: PolicyReport
    attempts: int = Field(default=1, ge=1)


class StageProgress(Message):
    """What a running job reports: 1 ≤ step ≤ of."""

    stage: str
    step: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1)]
    percent: Annotated[int, Field(ge=0, le=100)]


# ── reading a message ────────────────────────────────────────────────────────────────────────────────────────────────

M = TypeVar("M", bound=Message)

_TOO_LONG = {"string_too_long", "too_long"}


def read_request(payload: object, tasks: Mapping[str, type[M]]) -> M:
    """The request that `payload` (a job's `input`) holds, as the class that its `task` names.

    Raises `UnknownTask`, `TooLarge` or `InvalidRequest`, which name fields and bounds but never repeat a value.
    """
    if not isinstance(payload, dict):
        raise InvalidRequest("The job's input must be an object with a `task` and the task's fields.")
    known = ", ".join(f"`{task}`" for task in tasks)
    task = payload.get("task")
    if task is None:
        raise UnknownTask(f"The input names no `task`; this endpoint serves {known}.")
    if not isinstance(task, str) or task not in tasks:
        raise UnknownTask(f"This endpoint has no such task; it serves {known}.")
    from_our_own = isinstance(payload.get("context"), dict)
    try:
        return tasks[task].model_validate(payload, extra="ignore" if from_our_own else "forbid")
    except ValidationError as error:
        raise _explained(error) from None


def _explained(error: ValidationError) -> InvalidRequest:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    # A list whose every item was refused is also reported as too short: only the item's own reason helps.
    details = [
        detail
        for detail in details
        if not any(other is not detail and other["loc"][: len(detail["loc"])] == detail["loc"] for other in details)
    ]
    sentences = [f"`{'.'.join(map(str, detail['loc'])) or 'input'}`: {detail['msg']}" for detail in details[:5]]
    more = f" (and {len(details) - 5} more)" if len(details) > 5 else ""
    cls = TooLarge if any(detail["type"] in _TOO_LONG for detail in details) else InvalidRequest
    return cls("; ".join(sentences) + more + ".")
