"""The tasks that the orchestrator and the workers accept, and the route that each worker task belongs to."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Route(StrEnum):
    """The orchestrator's tasks, which clients send."""

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
CHECK_TASK: Literal["picture/check"] = "picture/check"
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
"""The route whose text policy applies to a worker task, for any caller. A caption may belong to any route, a `moderate`
request names its route, and `picture/check` is the same on every route."""
