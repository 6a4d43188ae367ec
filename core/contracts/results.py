"""The public result of the orchestrator and the records it contains."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from core.contracts.base import CONTRACT_VERSION, Message, Unit
from core.contracts.features import FaceMeta, Features
from core.contracts.tasks import Route
from core.contracts.values import ImageFormat


class ModelInfo(Message):
    """The weights of a model that was used."""

    name: str = Field(description="The checkpoint's name.")
    revision: str = Field(description="Pinned revision: a commit, or a package and its version.")
    profile: str = Field(description="`full` or `embedded`.")


class PictureCheck(Message):
    """Result of the output check of a finished picture."""

    checker: str = Field(description="The checker's name.")
    score: Unit | None = Field(description="Probability that the picture is not safe; null if the check failed.")
    threshold: Unit = Field(description="A picture with this score or a higher one does not pass.")
    outcome: Literal["passed", "reported", "repainted"] = Field(
        description="`reported`: did not pass, on the route with adult content; `repainted`: passed at the second try."
    )


class AgeCheck(Message):
    """Apparent age of the people in a picture that the output check rates as sexual."""

    faces: int = Field(ge=0, description="Number of checked faces; 0: the whole picture was checked.")
    under_18: Unit = Field(description="The highest probability of an age under 18.")
    threshold: Unit = Field(description="A picture with this probability or a higher one is refused.")


class PolicyReport(Message):
    """The policy's decision and the changes that it made."""

    version: str = Field(description="Version of the policy, rules included. A version decides equally on equal texts.")
    verdict: Literal["allowed", "constrained"] = Field(description="Whether the prompt was changed.")
    categories: tuple[str, ...] = Field(default=(), description="Kinds of rules that matched; never the text's words.")
    applied: tuple[str, ...] = Field(default=(), description="Changes of the prompt or the request.")
    treated_as: Literal["moderated", "adult_allowed"] = Field(description="Tier of the policy that was applied.")
    picture: PictureCheck | None = Field(default=None, description="The check of the finished picture.")
    age_check: AgeCheck | None = Field(
        default=None, description="The age check of a picture whose output score requires one; null for the others."
    )


class Degraded(Message):
    """A stage or an input that failed and was replaced."""

    stage: str = Field(description="The stage that failed.")
    reason: str = Field(description="The error's code, or `incomplete_picture`.")
    fallback: str = Field(description="The replacement.")


class StageRecord(Message):
    """One stage of a finished request: its worker, times and cost."""

    stage: str = Field(description="`analyze`, `expand`, `moderate`, `generate`, `check` or `caption`.")
    task: str = Field(description="The worker task it called.")
    endpoint_id: str = Field(description="The endpoint that answered.")
    job_id: str | None = Field(default=None, description="The platform's id of the stage's job.")
    worker_id: str | None = Field(default=None, description="The worker that ran it.")
    started_ms: int = Field(description="From the request's start, ms.")
    wall_ms: int = Field(description="From the call to its answer, measured by the orchestrator.")
    queue_ms: int | None = Field(default=None, description="The platform's `delayTime`: queue and cold start.")
    execution_ms: int | None = Field(default=None, description="The platform's `executionTime`.")
    device_ms: int | None = Field(default=None, description="Time for which the device worked on this job's batch.")
    share_ms: int | None = Field(default=None, description="The job's own part of this time.")
    batch_size: int | None = Field(default=None, description="Number of jobs that shared the device's time.")
    attempts: int = Field(default=1, description="Number of submits.")
    cost_usd: float | None = Field(
        default=None, description="The job's own part of the device's time × the endpoint's price per second."
    )
    model: ModelInfo | None = Field(default=None, description="The model that was used.")


class Picture(Message):
    """A finished picture: its bytes in base64, or its URL if storage is configured."""

    image_base64: str | None = Field(default=None, description="The file in base64; null if there is a URL.")
    image_url: str | None = Field(
        default=None, description="The file's URL, which expires; only if storage is configured."
    )
    image_format: ImageFormat = Field(description="Differs from the request only if the file had to become smaller.")
    width: int = Field(description="px.")
    height: int = Field(description="px.")
    seed: int = Field(description="The picture's seed. The same prompt, size and model with it give the same picture.")


class PictureError(Message):
    """Why one picture of a request failed while others succeeded."""

    code: str = Field(description="The error's code.")
    message: str = Field(description="The error's message.")
    retryable: bool = Field(description="Whether a retry may succeed.")


class ImageItem(Message):
    """One of the pictures of a request with `n` above 1: a picture or an error."""

    image_base64: str | None = Field(
        default=None, description="The file in base64; null if there is a URL or an error."
    )
    image_url: str | None = Field(
        default=None, description="The file's URL, which expires; only if storage is configured."
    )
    image_format: ImageFormat | None = Field(default=None, description="The file's format.")
    width: int | None = Field(default=None, description="px.")
    height: int | None = Field(default=None, description="px.")
    seed: int = Field(description="The picture's own seed.")
    picture_id: str | None = Field(default=None, description="Id for deleting the stored file.")
    prompt_used: str | None = Field(default=None, description="The prompt that the image model received.")
    policy: PolicyReport | None = Field(default=None, description="The policy's decision about this picture.")
    error: PictureError | None = Field(default=None, description="Why this picture failed; null if it didn't.")


class LeftOut(Message):
    """A kind of input that was not used."""

    what: Literal["empty", "tool", "older", "beginning", "picture", "part", "field"] = Field(
        description=(
            "Messages without text (`empty`), messages of a `tool`, messages `older` than the newest 40; the "
            "`beginning` of a message that is too long; a `picture` or another `part` of a message's content; "
            "an additional `field` of a message."
        )
    )
    count: int = Field(ge=1, description="Their number.")


class Adjusted(Message):
    """A field whose value was replaced."""

    field: str = Field(description="The request's field.")
    used: str = Field(description="The value that was used; `drawn` for a random one.")


class ReadReport(Message):
    """What was omitted or changed when the request was read."""

    messages: int | None = Field(default=None, description="Number of messages that were received.")
    messages_used: int | None = Field(default=None, description="Number of messages that the models received.")
    left_out: tuple[LeftOut, ...] = Field(default=(), description="What was not used; the policy checked it too.")
    adjusted: tuple[Adjusted, ...] = Field(default=(), description="Values that were rounded or replaced.")


class Result(Picture):
    """The orchestrator's answer to every task."""

    contract: int = Field(default=CONTRACT_VERSION, description="Version of these messages.")
    request_id: str | None = Field(description="The `request_id` of the request.")
    task: Route = Field(description="The `task` of the request.")
    caption: str | None = Field(
        default=None, description="10 to 15 words, safe on every route; null if the task has no caption."
    )
    prompt_used: str = Field(description="The prompt that the image model received, constraints included.")
    features: Features | None = Field(default=None, description="`profile/create` only.")
    face: FaceMeta | None = Field(default=None, description="`profile/create` only.")
    model: ModelInfo = Field(description="The image model; the timeline names the other models.")
    policy: PolicyReport = Field(description="The policy's decision.")
    degraded: tuple[Degraded, ...] = Field(default=(), description="Stages and inputs that were replaced; often empty.")
    timeline: tuple[StageRecord, ...] = Field(default=(), description="The stages in the order of their start.")
    cost_usd: float | None = Field(default=None, description="Sum of the timeline's costs; null if a price is unset.")
    trace_id: str = Field(description="Id in every log line of this request, the workers' log lines included.")
    read: ReadReport | None = Field(
        default=None, description="How the request was interpreted; only for chats and for adjusted values."
    )
    picture_id: str | None = Field(
        default=None, description="Id for deleting the stored file: `DELETE /v1/pictures/{picture_id}` of the HTTP API."
    )
    images: tuple[ImageItem, ...] = Field(
        default=(),
        description="With `n` above 1: all pictures, by seed. The fields above repeat the first one that succeeded.",
    )
