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


class AgeCheck(Message):
    """Apparent age of the people in a picture that the output check calls sexual."""

    faces: int = Field(ge=0, description="How many faces were read; 0: the whole picture was.")
    under_18: Unit = Field(description="The highest probability of under 18 that was read.")
    threshold: Unit = Field(description="From this probability on, a picture is refused.")


class PolicyReport(Message):
    """What the policy decided, and what it did about it."""

    version: str = Field(description="The policy's version, rules included: the same text and version decide alike.")
    verdict: Literal["allowed", "constrained"] = Field(description="Whether the prompt was changed.")
    categories: tuple[str, ...] = Field(default=(), description="Which kinds of rules the text met; never its words.")
    applied: tuple[str, ...] = Field(default=(), description="What was put into the prompt or done to the request.")
    treated_as: Literal["moderated", "adult_allowed"] = Field(description="By which tier it was judged.")
    picture: PictureCheck | None = Field(default=None, description="The check of the finished picture.")
    age_check: AgeCheck | None = Field(
        default=None, description="The age check of a picture whose output score requires one; null for the others."
    )


class Degraded(Message):
    """A stage or input that failed and was replaced, so that the request could be answered all the same."""

    stage: str = Field(description="The stage that failed.")
    reason: str = Field(description="The error's code, or `incomplete_picture`.")
    fallback: str = Field(description="What was used instead.")


class StageRecord(Message):
    """One stage of a finished request: where it ran, how long, and what that cost."""

    stage: str = Field(description="`analyze`, `expand`, `moderate`, `generate`, `check` or `caption`.")
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


class PictureError(Message):
    """Why one picture of a request failed while others succeeded."""

    code: str = Field(description="The error's code.")
    message: str = Field(description="The error's sentence.")
    retryable: bool = Field(description="Whether another try may succeed.")


class ImageItem(Message):
    """One of the pictures of a request with `n` above 1: a picture or an error."""

    image_base64: str | None = Field(
        default=None, description="The file's bytes; null where there is a URL or an error."
    )
    image_url: str | None = Field(
        default=None, description="Where storage is configured: the file's URL, which expires."
    )
    image_format: ImageFormat | None = Field(default=None, description="The file's format.")
    width: int | None = Field(default=None, description="px.")
    height: int | None = Field(default=None, description="px.")
    seed: int = Field(description="The picture's own seed.")
    picture_id: str | None = Field(default=None, description="For deleting the stored file.")
    prompt_used: str | None = Field(default=None, description="The prompt the picture was painted from.")
    policy: PolicyReport | None = Field(default=None, description="What the policy decided and did for this picture.")
    error: PictureError | None = Field(default=None, description="Why this picture failed; null where it did not.")


class LeftOut(Message):
    """What a request held that was not used."""

    what: Literal["empty", "tool", "older", "beginning", "picture", "part", "field"] = Field(
        description=(
            "Messages without text (`empty`), of a tool, or older than the newest 40; the `beginning` of a message "
            "that is too long; a `picture` or another `part` of a message's content; a message's further `field`."
        )
    )
    count: int = Field(ge=1, description="How many.")


class Adjusted(Message):
    """A field whose value was read as another one."""

    field: str = Field(description="The request's field.")
    used: str = Field(description="The value that was used; `drawn` for a random one.")


class ReadReport(Message):
    """How the request was read, where that was not to the letter."""

    messages: int | None = Field(default=None, description="How many messages were received.")
    messages_used: int | None = Field(default=None, description="How many of them the models received.")
    left_out: tuple[LeftOut, ...] = Field(default=(), description="What was not used; the policy judged it as well.")
    adjusted: tuple[Adjusted, ...] = Field(default=(), description="Values that were rounded or replaced.")


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
    read: ReadReport | None = Field(
        default=None, description="For chats, and where a value was adjusted: how the request was read."
    )
    picture_id: str | None = Field(
        default=None, description="For deleting the stored file: `DELETE /v1/pictures/{picture_id}` of the HTTP API."
    )
    images: tuple[ImageItem, ...] = Field(
        default=(),
        description="With `n` above 1, every picture by its seed; the fields above repeat the first that succeeded.",
    )
