"""The public requests of the orchestrator, one class per task."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    StrictBool,
    StringConstraints,
)

from core.contracts.base import (
    MAX_EXPIRY_S,
    MAX_MESSAGES,
    MAX_PICTURES,
    MAX_SELFIE_CHARS,
    SELFIE_FORMATS,
    Identifier,
    ImageFormat,
    Language,
    Message,
    MessageText,
    Prompt,
    Seed,
    Side,
    Style,
)
from core.contracts.features import Features
from core.contracts.tasks import Route


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


Messages = Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=MAX_MESSAGES)]


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
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_PICTURES)] = Field(
        default=1,
        description="How many pictures, with the seeds `seed`, `seed` + 1, …; the result has an `images` list.",
    )
    webhook_url: (
        Annotated[str, StringConstraints(min_length=9, max_length=2_000, pattern=r"^https://[\x21-\x7e]+$")] | None
    ) = Field(default=None, description="A public https URL that the signed result is posted to; see docs/http.md.")
    expires_after_s: Annotated[int, Field(strict=True, ge=60, le=MAX_EXPIRY_S)] | None = Field(
        default=None, description="Delete the stored pictures after this time. Needs the deployment's bucket."
    )


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
