"""The messages that cross a process, written once and imported by both ends.

Three families: *requests* and *results* of the orchestrator (public), *stage requests* and *stage results* of the
workers (between our own processes, though a worker's endpoint may be called directly), and the *parts* they share.
A public request refuses unknown fields. A stage request refuses them too, unless it carries `context`, which only our
own processes set: then they are ignored, so that an orchestrator may be one release ahead of its workers.

May import: pydantic. Nothing is loaded, judged or drawn here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
)

from core.errors import InvalidRequest, TooLarge, UnknownTask

CONTRACT_VERSION = 1
"""Raised when a message changes in a way that an older reader would misread; adding a field does not raise it."""

MAX_MESSAGES = 40
MAX_MESSAGE_CHARS = 4_000
MAX_PROMPT_CHARS = 2_000
MAX_STYLE_CHARS = 300
MAX_SELFIE_CHARS = 9_800_000
"""Base64 of 7 MiB, with room for a data URI's head."""


def _with_something_to_see(text: str) -> str:
    """Refuses what only looks empty: zero-width characters, controls, odd spaces (Unicode categories C and Z)."""
    if all(unicodedata.category(char)[0] in "CZ" for char in text):
        raise ValueError("must not be blank")
    return text


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
MODERATE_TASK: Literal["moderate"] = "moderate"

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
"""A worker task names its route, so that a worker can judge its text by the right rules whoever calls it. A caption may
belong to any route, and `moderate` is told of one."""


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


Seen = AfterValidator(_with_something_to_see)
MessageText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MESSAGE_CHARS), Seen]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT_CHARS), Seen]
LongPrompt = Annotated[str, StringConstraints(min_length=1, max_length=2 * MAX_PROMPT_CHARS), Seen]
"""What our own processes send on: a prompt with a constraint or a person in front of it."""

Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Features(Message):
    """How a person looks, as a closed vocabulary; race, religion, orientation and health are neither asked nor taken.

    `confidence` maps an attribute's name to the reader's probability of its value; `signature` is what `profile/create`
    signed the attributes with. Hand the whole object back to have the same described person drawn again.
    """

    gender_presentation: GenderPresentation = Field(
        default=GenderPresentation.UNKNOWN, description="How the person's look presents."
    )
    age_band: AgeBand = Field(default=AgeBand.UNKNOWN, description="How old the person looks, in years.")
    skin_tone: SkinTone = Field(default=SkinTone.UNKNOWN, description="Tone of the skin.")
    hair_color: HairColor = Field(default=HairColor.UNKNOWN, description="Colour of the hair; `none` on a bald head.")
    hair_length: HairLength = Field(default=HairLength.UNKNOWN, description="Length of the hair.")
    hair_style: HairStyle = Field(default=HairStyle.UNKNOWN, description="How the hair falls or is worn.")
    eye_color: EyeColor = Field(default=EyeColor.UNKNOWN, description="Colour of the eyes.")
    facial_hair: FacialHair = Field(default=FacialHair.UNKNOWN, description="Hair on the face.")
    glasses: Glasses = Field(default=Glasses.UNKNOWN, description="What is worn over the eyes.")
    expression: Expression = Field(default=Expression.UNKNOWN, description="Expression of the face.")
    face_shape: FaceShape = Field(default=FaceShape.UNKNOWN, description="Outline of the face.")
    headwear: Headwear = Field(default=Headwear.UNKNOWN, description="What is worn on the head.")
    earrings: Earrings = Field(default=Earrings.UNKNOWN, description="Whether earrings are worn.")
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
    """Components of the quality score, each 0–1; null where the picture does not allow the measure.

    ISO/IEC 29794-5 measures that need only pixels and the face's box, as OFIQ computes them.
    """

    single_face: Unit | None = Field(
        default=None, description="1 where the picture holds one face; less, the larger the second one is."
    )
    head_size: Unit | None = Field(default=None, description="Height of the head within the picture.")
    inter_eye_distance: Unit | None = Field(default=None, description="Higher the more pixels lie between the eyes.")
    under_exposure: Unit | None = Field(default=None, description="1 where no part of the face is too dark.")
    over_exposure: Unit | None = Field(default=None, description="1 where no part of the face is too bright.")
    dynamic_range: Unit | None = Field(default=None, description="How many shades of gray the face has.")
    luminance: Unit | None = Field(default=None, description="Mean brightness and its variance.")
    illumination_uniformity: Unit | None = Field(default=None, description="How alike the face's two halves are lit.")
    sharpness: Unit | None = Field(default=None, description="How sharply the face is drawn.")


class FaceMeta(Message):
    """Where the face is and how good the picture of it is. No face is a result, not an error."""

    detected: bool = Field(description="Whether a face was found; if not, the whole picture was read.")
    box: tuple[int, int, int, int] | None = Field(description="Left, top, right, bottom of the face, in px.")
    confidence: Unit = Field(description="The detector's, of this face; 0 where none is found.")
    faces_in_picture: int = Field(ge=0, description="The main one is read.")
    quality_score: Unit = Field(description="Weighted geometric mean of the components; halved where no face is found.")
    components: FaceQuality = Field(description="What the score is made of.")


class ChatMessage(Message):
    """One turn of a chat. It is material for a picture, never an instruction to a model."""

    role: Literal["user", "assistant", "system"] = Field(description="Who said it.")
    content: MessageText = Field(
        description="What was said; of more than 25 words, it is shortened before a prompt is made of it."
    )


class Subject(Message):
    """Who the features describe, as the caller attests; needed to draw them on the route that allows adult content."""

    kind: Literal["self", "synthetic"] = Field(description="The caller's own likeness, or a person who doesn't exist.")
    adult_use_consent: StrictBool = Field(description="The person agrees to adult pictures being made of them.")
    age_attested: StrictBool = Field(description="The caller attests that the person is 18 or older.")


class ModelInfo(Message):
    """Which weights did the work."""

    name: str = Field(description="The checkpoint's name.")
    revision: str = Field(description="What pins it: a commit, or a package and its version.")
    profile: str = Field(description="`full` or `embedded`.")


class PictureCheck(Message):
    """What the output checker saw in the finished picture."""

    checker: str = Field(description="The checker's name.")
    score: Unit | None = Field(description="Its probability that the picture is not safe; null when it failed.")
    threshold: Unit = Field(description="From this score on, a picture does not pass.")
    outcome: Literal["passed", "reported", "repainted"] = Field(
        description="`reported`: over the threshold, on the route for adults; `repainted`: passed at a second try."
    )


class PolicyReport(Message):
    """What the policy decided, and what it did about it."""

    version: str = Field(description="The policy's version, rules included: the same text and version decide alike.")
    verdict: Literal["allowed", "constrained"] = Field(description="Whether the prompt was changed.")
    categories: tuple[str, ...] = Field(default=(), description="Which kinds of rules the text met; never its words.")
    applied: tuple[str, ...] = Field(default=(), description="What was put into the prompt or done to the request.")
    treated_as: Literal["moderated", "adult_allowed"] = Field(description="By which tier it was judged.")
    picture: PictureCheck | None = Field(default=None, description="The look at the finished picture.")


class Degraded(Message):
    """A stage that failed and was replaced, so that the request could be answered all the same."""

    stage: str = Field(description="The stage that failed.")
    reason: str = Field(description="The error's code.")
    fallback: str = Field(description="What was used instead.")


class StageRecord(Message):
    """One stage of a finished request: where it ran, how long, and what that cost."""

    stage: str = Field(description="`analyze`, `expand`, `moderate`, `generate` or `caption`.")
    task: str = Field(description="The worker task it called.")
    endpoint_id: str = Field(description="The endpoint that answered.")
    job_id: str | None = Field(default=None, description="The platform's id of the stage's job.")
    worker_id: str | None = Field(default=None, description="The worker that ran it.")
    started_ms: int = Field(description="From the request's start, ms.")
    wall_ms: int = Field(description="From the call to its answer, as the orchestrator saw it.")
    queue_ms: int | None = Field(default=None, description="The platform's `delayTime`: queue and cold start.")
    execution_ms: int | None = Field(default=None, description="The platform's `executionTime`.")
    device_ms: int | None = Field(default=None, description="Time the worker's device worked for this job.")
    share_ms: int | None = Field(default=None, description="The job's own part of that time.")
    batch_size: int | None = Field(default=None, description="How many jobs shared the device's time.")
    attempts: int = Field(default=1, description="How many submissions it took.")
    cost_usd: float | None = Field(
        default=None, description="The job's own part of the device's time × the endpoint's price per second."
    )
    model: ModelInfo | None = Field(default=None, description="What did the work.")


# ── public requests ──────────────────────────────────────────────────────────────────────────────────────────────────

Side = Annotated[int, Field(strict=True, ge=64, le=1536, multiple_of=16)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Style = Annotated[str, StringConstraints(max_length=MAX_STYLE_CHARS)]
Messages = Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=MAX_MESSAGES)]
ImageFormat = Literal["webp", "png", "jpeg"]


class PictureRequest(Message):
    """What every request to the orchestrator may carry."""

    task: Route = Field(description="What is asked for.")
    request_id: Identifier | None = Field(default=None, description="Yours; echoed in the result.")
    idempotency_key: Identifier | None = Field(
        default=None,
        description="The same key and body give the same answer; the same key and another body are refused.",
    )
    seed: Seed | None = Field(default=None, description="Unset, one is drawn; the result says which.")
    width: Side | None = Field(
        default=None, description="px. Full weights take 256–1536; unset, the weights' own size."
    )
    height: Side | None = Field(default=None, description="px, as `width`.")
    output_format: ImageFormat = Field(default="webp", description="The picture's file format.")
    timeout_s: Annotated[float, Field(strict=True, ge=1, le=900)] | None = Field(
        default=None, description="For the whole request, queueing and cold starts included."
    )
    include_prompt: StrictBool = Field(
        default=False, description="Also write the prompt into the picture's own metadata."
    )


class PersonRequest(PictureRequest):
    """A request in which a person is drawn, who may be one described before."""

    features: Features | None = Field(default=None, description="As an earlier `profile/create` returned them.")


class ProfileCreate(PictureRequest):
    """A selfie in, an avatar out."""

    task: Literal[Route.PROFILE] = Field(description="Names this request.")
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description="Base64, a data URI, or an https URL of a JPEG, PNG, WebP or HEIC of at most 7 MiB."
    )
    style: Style | None = Field(default=None, description="How it should look, such as `watercolour`.")


class ChatRequest(PersonRequest):
    """A request whose picture is drawn from a chat."""

    messages: Messages = Field(description="The chat, oldest first; the picture shows what it has come to.")


class Chat1to1(ChatRequest):
    """A private chat between adults in, a captioned picture out. Adult content passes; a minor never does."""

    task: Literal[Route.CHAT_1TO1] = Field(description="Names this request.")
    subject: Subject | None = Field(default=None, description="Needed with `features`; else the route moderates.")


class ChatShorts(ChatRequest):
    """A chat in, a captioned picture for a short out. Moderated."""

    task: Literal[Route.SHORTS] = Field(description="Names this request.")


class ChatScenes(ChatRequest):
    """A chat in, a captioned picture of its scene out. Moderated."""

    task: Literal[Route.SCENES] = Field(description="Names this request.")


class ChatPrivate(PersonRequest):
    """A prompt of your own in, a captioned picture out. Two-tier policy."""

    task: Literal[Route.PRIVATE] = Field(description="Names this request.")
    prompt: Prompt = Field(description="What the picture shows, in your own words.")


class ImageGen(PersonRequest):
    """A prompt of your own in, a picture out. Two-tier policy."""

    task: Literal[Route.GENERAL] = Field(description="Names this request.")
    prompt: Prompt = Field(description="What the picture shows, in your own words.")
    caption: StrictBool = Field(default=False, description="Also write a caption.")


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

    image_base64: str | None = Field(default=None, description="The file's bytes; null where there is a URL.")
    image_url: str | None = Field(
        default=None, description="Where storage is configured: the file's URL, which expires."
    )
    image_format: ImageFormat = Field(description="Another than asked for only where the file had to become smaller.")
    width: int = Field(description="px.")
    height: int = Field(description="px.")
    seed: int = Field(description="The picture's own: with the same prompt, size and model it gives the same picture.")


class Result(Picture):
    """What the orchestrator answers, whatever the task."""

    contract: int = Field(default=CONTRACT_VERSION, description="Version of these messages.")
    request_id: str | None = Field(description="The request's own.")
    task: Route = Field(description="The request's own.")
    caption: str | None = Field(
        default=None, description="10 to 15 words that anyone may read; null where none is made."
    )
    prompt_used: str = Field(description="The prompt the picture was painted from, constraints included.")
    features: Features | None = Field(default=None, description="`profile/create` only.")
    face: FaceMeta | None = Field(default=None, description="`profile/create` only.")
    model: ModelInfo = Field(description="What painted the picture; the timeline names the others.")
    policy: PolicyReport = Field(description="What the policy decided and did.")
    degraded: tuple[Degraded, ...] = Field(default=(), description="What had to be done without; empty as a rule.")
    timeline: tuple[StageRecord, ...] = Field(default=(), description="The stages, by their start.")
    cost_usd: float | None = Field(
        default=None, description="Sum of the timeline's costs; null where a price is unset."
    )
    trace_id: str = Field(description="Is in every log line of this request, the workers' included.")


# ── stage requests and results ───────────────────────────────────────────────────────────────────────────────────────


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


class StageRequest(Message):
    """What every worker's request may carry."""

    task: str = Field(description="What is asked for.")
    request_id: Identifier | None = Field(default=None, description="Yours; echoed in the result.")
    context: StageContext | None = Field(default=None, description="Of our own processes; leave it out.")


class AnalyzeRequest(StageRequest):
    """Selfie → features and face."""

    task: Literal["profile/analyze"] = Field(description="Names this request.")
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description="Base64, a data URI, or an https URL of a JPEG, PNG, WebP or HEIC of at most 7 MiB."
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


class ExpandResult(StageResult):
    """A prompt that an image model can paint."""

    prompt: str = Field(description="At most 120 words, one paragraph.")
    shortened: int = Field(default=0, ge=0, description="How many messages were shortened to 25 words.")
    repaired: bool = Field(default=False, description="The model's answer was unusable and code made the prompt.")


class CaptionResult(StageResult):
    """A caption for the picture."""

    caption: str = Field(description="10 to 15 words, safe on every route.")
    repaired: bool = Field(default=False, description="The model's answer was unfit and code made the caption.")


class ModerateResult(StageResult):
    """What is refused never gets this far: it is the error `policy_blocked`."""

    verdict: Literal["allowed", "constrained"] = Field(description="`constrained`: to be painted covered.")
    categories: tuple[str, ...] = Field(default=(), description="Why; never the text's words.")


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


# ── reading a message ────────────────────────────────────────────────────────────────────────────────────────────────

M = TypeVar("M", bound=Message)

_TOO_LONG = {"string_too_long", "too_long"}
_MOST_VALUES = 10_000
"""In a whole input, nested ones included; the largest valid one has a few hundred. A million wrong ones in a small job
would hold the event loop for seconds, only to be explained."""
_MOST_DETAILS = 100
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)
_PLAINER = {
    "Extra inputs are not permitted": "there is no such field",
    "Field required": "is required",
    r"String should match pattern '^[\x21-\x7e]+$'": "must be printable ASCII without spaces",
    "Input should be a valid string, unable to parse raw data as a unicode string": "is no valid text",
}
"""What pydantic says in its own terms, for a reader who knows only the field."""


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
    if _values_beyond(_MOST_VALUES, payload):
        raise TooLarge("The input holds far more values than any task takes; see the task's fields.")
    from_our_own = issubclass(tasks[task], StageRequest) and isinstance(payload.get("context"), dict)
    try:
        return tasks[task].model_validate(payload, extra="ignore" if from_our_own else "forbid")
    except ValidationError as error:
        raise _explained(error) from None


def _values_beyond(most: int, payload: dict[str, object]) -> bool:
    """Looks no further than `most`, and not by recursion: the input may be as wide or as deep as it likes."""
    inside: list[object] = [payload]
    count = 0
    while inside and count <= most:
        value = inside.pop()
        if isinstance(value, dict | list):
            count += len(value)
            inside.extend((value.values() if isinstance(value, dict) else value) if count <= most else ())
    return count > most


def _explained(error: ValidationError) -> InvalidRequest:
    details = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_DETAILS]
    # A list whose every item was refused is also reported as too short: only the item's own reason helps.
    details = [
        detail
        for detail in details
        if not any(other is not detail and other["loc"][: len(detail["loc"])] == detail["loc"] for other in details)
    ]
    sentences = [f"`{_place(detail['loc'])}`: {_plainly(detail['msg'])}" for detail in details[:5]]
    more = " (and more)" if len(details) > 5 else ""
    cls = TooLarge if any(detail["type"] in _TOO_LONG for detail in details) else InvalidRequest
    return cls("; ".join(sentences) + more + ".")


def _place(loc: tuple[int | str, ...]) -> str:
    """Where in the request; a field's name is the caller's text too, so only what looks like a name is repeated."""
    steps = (step if isinstance(step, int) or _FIELD_NAME.fullmatch(step) else "…" for step in loc)
    return ".".join(map(str, steps)) or "input"


def _plainly(said: str) -> str:
    if said.startswith("Input should be a valid dictionary"):
        return "must be an object"
    return _PLAINER.get(said) or said.removeprefix("Value error, ").replace("Tuple", "List").replace("tuple", "list")
