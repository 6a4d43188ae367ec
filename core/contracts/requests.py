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
    """Who the features describe, as the caller attests; needed to draw them on the route that allows adult content."""

    kind: Literal["self", "synthetic"] = Field(description="The caller's own likeness, or a person who doesn't exist.")
    adult_use_consent: StrictBool = Field(description="The person agrees to adult pictures being made of them.")
    age_attested: StrictBool = Field(description="The caller attests that the person is 18 or older.")


Messages = Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=MAX_MESSAGES)]


class PictureRequest(Message):
    """What every request to the orchestrator may carry."""

    task: Route = Field(description="What is asked for.")
    request_id: Identifier | None = Field(default=None, description="Yours; echoed in the result.")
    idempotency_key: Identifier | None = Field(
        default=None,
        description="The same key and body give the same answer; the same key and another body are refused.",
    )
    seed: SeedOrNone = Field(
        default=None,
        description="Unset or -1, one is drawn; the result says which. One of 2^53 or more is taken modulo 2^53.",
    )
    width: Side | None = Field(
        default=None,
        description="px, rounded to a multiple of 16. Full weights take 256–1536; unset, the weights' own size.",
    )
    height: Side | None = Field(default=None, description="px, as `width`.")
    size: Annotated[str, StringConstraints(max_length=20)] | None = Field(
        default=None, description="Width and height in one, such as `1024x768`; `auto` is unset."
    )
    output_format: RequestedFormat = Field(default="webp", description="The picture's file format.")
    timeout_s: Annotated[float, Field(strict=True, ge=1, le=900), DecimalNumber] | None = Field(
        default=None, description="For the whole request, queueing and cold starts included."
    )
    include_prompt: StrictBool = Field(
        default=False, description="Also write the prompt into the picture's own metadata."
    )
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_PICTURES), WholeNumber] = Field(
        default=1,
        description="How many pictures, with the seeds `seed`, `seed` + 1, …; the result has an `images` list.",
    )
    webhook_url: (
        Annotated[str, StringConstraints(min_length=9, max_length=2_000, pattern=r"^https://[\x21-\x7e]+$")] | None
    ) = Field(default=None, description="A public https URL that the signed result is posted to; see docs/http.md.")
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
        """Every text of a chat that was received, also what is not used; none for other requests."""
        return ()

    def report(self) -> ReadReport | None:
        """How the request was read; None where that was to the letter."""
        adjusted = tuple(Adjusted(field=name, used=used) for name, used in self._adjusted)
        return ReadReport(adjusted=adjusted) if adjusted else None


def _with_sides(given: dict[str, Any]) -> dict[str, Any]:
    """`given` with `width` and `height` in place of `size`. Raises `ValueError` for what is no size or contradicts."""
    size = given.get("size")
    if size is None or size == "auto":
        return given
    sides = split_size(size)
    if sides is None:
        raise ValueError("`size` must be width x height in px, such as 1024x768")
    for name, side in zip(("width", "height"), sides, strict=True):
        if given.get(name) is not None and whole_number(given[name]) != side:
            raise ValueError(f"`size` and `{name}` differ: give one of them")
    return {**given, "size": None, "width": sides[0], "height": sides[1]}


class PersonRequest(PictureRequest):
    """A request in which a person is drawn, who may be one described before."""

    features: Features | None = Field(default=None, description="As an earlier `profile/create` returned them.")
    language: Language = Field(
        default="en", description="Of the caption: ISO 639-1, or a tag such as `pt-BR`. The prompt is always English."
    )


class ProfileCreate(PictureRequest):
    """A selfie in, an avatar out."""

    task: Literal[Route.PROFILE] = Field(description="Names this request.")
    selfie: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELFIE_CHARS)] = Field(
        description=f"Base64, a data URI, or an https URL of a {SELFIE_FORMATS} of at most 7 MiB."
    )
    face: Annotated[int, Field(strict=True, ge=0, lt=100), WholeNumber] | None = Field(
        default=None,
        description="Which face to read where there are several: 0 is the main one; see `face.boxes` of a result.",
    )
    style: Style | None = Field(default=None, description="How it should look, such as `watercolour`.")


class ChatRequest(PersonRequest):
    """A request whose picture is drawn from a chat."""

    messages: Annotated[Messages, AsReceived] = Field(
        description=f"The chat, oldest first; the newest {MAX_MESSAGES} messages are used. Its last turns matter most."
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
        """How many messages were received and used, and what was left out."""
        values = super().report() or ReadReport()
        left_out = tuple(LeftOut(what=what, count=count) for what, count in self._chat.left_out.items())
        return values.model_copy(
            update={"messages": self._chat.count, "messages_used": len(self.messages), "left_out": left_out}
        )


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
