"""The public requests of the orchestrator, one class per task."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StrictBool,
    StringConstraints,
    model_validator,
)

from core.contracts.base import (
    MAX_EXPIRY_S,
    MAX_MESSAGES,
    MAX_PICTURES,
    MAX_SELFIE_CHARS,
    SELFIE_FORMATS,
    Identifier,
    Language,
    Message,
    Prompt,
    Style,
)
from core.contracts.chat import AsReceived, ChatMessage, ReadChat, read_chat
from core.contracts.features import Features
from core.contracts.results import Adjusted, LeftOut, ReadReport
from core.contracts.tasks import Route
from core.contracts.values import (
    MAX_SIDE,
    MIN_SIDE,
    DecimalNumber,
    RequestedFormat,
    SeedOrNone,
    Side,
    WholeNumber,
    adjustments,
    split_size,
    whole_number,
)


class Subject(Message):
    """The caller's statement about the described person; required for features on the route with adult content."""

    kind: Literal["self", "synthetic"] = Field(description="The caller's own likeness, or a person who doesn't exist.")
    adult_use_consent: StrictBool = Field(description="The person consents to adult pictures of themselves.")
    age_attested: StrictBool = Field(description="The caller attests that the person is 18 or older.")


Messages = Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=MAX_MESSAGES)]


class PictureRequest(Message):
    """The fields that every request to the orchestrator may have."""

    task: Route = Field(description="The task to run.")
    request_id: Identifier | None = Field(default=None, description="Your own id; returned in the result.")
    idempotency_key: Identifier | None = Field(
        default=None,
        description="The same key and body get the same answer; the same key with another body is refused.",
    )
    seed: SeedOrNone = Field(
        default=None,
        description="Unset or -1: a random seed, which the result contains. 2^53 or more is taken modulo 2^53.",
    )
    width: Side | None = Field(
        default=None,
        description="px, rounded to a multiple of 16. 256–1536 with full weights; unset: the model's default size.",
    )
    height: Side | None = Field(default=None, description="px, as `width`.")
    size: Annotated[str, StringConstraints(max_length=20)] | None = Field(
        default=None, description="Width and height in one field, such as `1024x768`; `auto` means unset."
    )
    output_format: RequestedFormat = Field(default="webp", description="The picture's file format.")
    timeout_s: Annotated[float, Field(strict=True, ge=1, le=900), DecimalNumber] | None = Field(
        default=None, description="Time limit of the whole request, queueing and cold starts included."
    )
    include_prompt: StrictBool = Field(
        default=False, description="Also write the prompt into the picture's own metadata."
    )
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_PICTURES), WholeNumber] = Field(
        default=1,
        description="Number of pictures, with the seeds `seed`, `seed` + 1, …; the result has an `images` list.",
    )
    webhook_url: (
        Annotated[str, StringConstraints(min_length=9, max_length=2_000, pattern=r"^https://[\x21-\x7e]+$")] | None
    ) = Field(default=None, description="Public https URL to which the signed result is posted; see docs/http.md.")
    expires_after_s: Annotated[int, Field(strict=True, ge=60, le=MAX_EXPIRY_S), WholeNumber] | None = Field(
        default=None, description="Delete the stored pictures after this time. Needs the deployment's bucket."
    )

    _adjusted: tuple[tuple[str, str], ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _read_values(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(given, dict):
            return handler(given)
        given = _with_sides(given)
        request = handler(given)
        used = request.model_dump(include={"width", "height", "seed"})
        request._adjusted = tuple(adjustments(given, used))  # noqa: SLF001 - this class's own
        return request

    @property
    def received(self) -> tuple[ChatMessage, ...]:
        """Every text of the received chat, unused texts included; empty for other requests."""
        return ()

    def report(self) -> ReadReport | None:
        """How the request was interpreted; None if no value was changed."""
        adjusted = tuple(Adjusted(field=name, used=used) for name, used in self._adjusted)
        return ReadReport(adjusted=adjusted) if adjusted else None


def _with_sides(given: dict[str, Any]) -> dict[str, Any]:
    """`given` with `width` and `height` instead of `size`. Raises `ValueError` for an invalid or contradictory size."""
    size = given.get("size")
    if size is None or size == "auto":
        return given
    sides = split_size(size)
    if sides is None:
        raise ValueError("`size` must be width x height in px, such as 1024x768")
    if any(not MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise ValueError(f"`size` must have sides of {MIN_SIDE} to {MAX_SIDE} px")
    for name, side in zip(("width", "height"), sides, strict=True):
        if given.get(name) is not None and whole_number(given[name]) != side:
            raise ValueError(f"`size` and `{name}` differ: give one of them")
    return {**given, "size": None, "width": sides[0], "height": sides[1]}


class PersonRequest(PictureRequest):
    """A request whose picture shows a person, with or without features from an earlier request."""

    features: Features | None = Field(default=None, description="The features that `profile/create` returned.")
    language: Language = Field(
        default="en",
        description="Language of the caption: ISO 639-1, or a tag such as `pt-BR`. The prompt is always English.",
    )


class ProfileCreate(PictureRequest):
    """Make an avatar from a selfie."""

    task: Literal[Route.PROFILE] = Field(description="Selects this request.")
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description=f"Base64, a data URI, or an https URL of a {SELFIE_FORMATS} of at most 7 MiB."
    )
    face: Annotated[int, Field(strict=True, ge=0, lt=100), WholeNumber] | None = Field(
        default=None,
        description="Which face to use if there are several: 0 is the main one; see `face.boxes` of a result.",
    )
    style: Style | None = Field(default=None, description="Style of the picture, such as `watercolour`.")


class ChatRequest(PersonRequest):
    """A request whose picture is made from a chat."""

    messages: Annotated[Messages, AsReceived] = Field(
        description=f"The chat, oldest message first; the newest {MAX_MESSAGES} are used. The last ones count most."
    )

    _chat: ReadChat = PrivateAttr(default_factory=ReadChat)

    @model_validator(mode="wrap")
    @classmethod
    def _read_messages(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        chat = read_chat(given.get("messages")) if isinstance(given, dict) else None
        if chat is None:
            return handler(given)
        request = handler({**given, "messages": chat.used})
        request._chat = chat  # noqa: SLF001 - this class's own
        return request

    @property
    def received(self) -> tuple[ChatMessage, ...]:
        return self._chat.received

    def report(self) -> ReadReport:
        """Number of messages that were received and used, and what was omitted."""
        values = super().report() or ReadReport()
        left_out = tuple(LeftOut(what=what, count=count) for what, count in self._chat.left_out.items())
        return values.model_copy(
            update={"messages": self._chat.count, "messages_used": len(self.messages), "left_out": left_out}
        )


class Chat1to1(ChatRequest):
    """Make a picture with a caption from a private chat between adults. Adult content is allowed, minors never are."""

    task: Literal[Route.CHAT_1TO1] = Field(description="Selects this request.")
    subject: Subject | None = Field(
        default=None, description="Required with `features`; without it the request is moderated."
    )


class ChatShorts(ChatRequest):
    """Make a picture with a caption for a short from a chat. Moderated."""

    task: Literal[Route.SHORTS] = Field(description="Selects this request.")


class ChatScenes(ChatRequest):
    """Make a picture with a caption of the scene of a chat. Moderated."""

    task: Literal[Route.SCENES] = Field(description="Selects this request.")


class ChatPrivate(PersonRequest):
    """Make a picture with a caption from your own prompt. Two-tier policy."""

    task: Literal[Route.PRIVATE] = Field(description="Selects this request.")
    prompt: Prompt = Field(description="Description of the picture, in your own words.")


class ImageGen(PersonRequest):
    """Make a picture from your own prompt. Two-tier policy."""

    task: Literal[Route.GENERAL] = Field(description="Selects this request.")
    prompt: Prompt = Field(description="Description of the picture, in your own words.")
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
