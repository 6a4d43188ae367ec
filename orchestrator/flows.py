"""Flows: the order of stages that answers each task.

    profile/create         analyze → gate → (moderate) → generate → (check)
    chat/…                 judge → expand → judge → generate → (check) ∥ caption
    chat/private/imagegen  evaluate → (moderate) → generate → (check) ∥ caption
    imagegen               sanitize → (moderate) → generate → (check) (∥ caption on request)

Every text is judged before the first stage runs, and what a model wrote is judged again before the next one does.
`moderate` runs where there is a text classifier and the text goes through no other stage of the llm worker: a chat is
classified when it is expanded. `check` runs for pictures that the output check calls sexual, on every route. What a
stage is called with, how long it may take and what replaces it is in chain.py; how a worker is reached, endpoints.py.

May import: core.contracts, core.policy, core.prompts, orchestrator.chain. No HTTP, no JSON, no retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from core.contracts import (
    AnalyzeResult,
    Chat1to1,
    ChatPrivate,
    ChatRequest,
    ChatScenes,
    ChatShorts,
    ExpandTask,
    GenerateTask,
    ImageGen,
    PersonRequest,
    PictureRequest,
    ProfileCreate,
    Result,
    Route,
)
from core.policy import (
    Action,
    check,
    check_chat,
    constrain,
    evaluate_private_chat,
    reject_minor,
    sanitize_general,
)
from core.prompts.portrait import describe_person, portrait_prompt
from orchestrator.chain import Chain
from orchestrator.pictures import Pictures


async def create_profile(request: ProfileCreate, chain: Chain) -> Result:
    check([request.style or ""], Route.PROFILE, stage="request")
    read = await chain.analyze(request.selfie, request.face)
    reject_minor(read.features, threshold=chain.settings.policy.minor_probability)
    prompt = portrait_prompt(read.features, request.style)
    if request.style:
        prompt = await chain.moderate(prompt, prompt)
    pictures = await _checked_pictures(GenerateTask.PROFILE, prompt, chain)
    return _result(request, Route.PROFILE, chain, pictures, read=read)


async def picture_of_chat(request: ChatRequest, chain: Chain) -> Result:
    route, expansion, painting = _CHAT[type(request)]
    _gate_person(request, chain)
    # Also messages that no model receives: leniency must not be a way around the policy. In a thread, because the
    # longest chat takes a second to check: other requests go on.
    said = await asyncio.to_thread(check_chat, request.received, route, treated_as=chain.treated_as, stage="request")
    chain.treated_as = said.treated_as
    prompt = await chain.expand(expansion, request)
    check([prompt], route, treated_as=chain.treated_as, stage="expand")
    if said.verdict.action is Action.CONSTRAIN:
        prompt = constrain(prompt)
    pictures, caption = await chain.with_caption(_checked_pictures(painting, prompt, chain), prompt)
    return _result(request, route, chain, pictures, caption=caption)


async def picture_of_private_prompt(request: ChatPrivate, chain: Chain) -> Result:
    _gate_person(request, chain)
    said = _with_person(request)
    prompt = await chain.moderate(said, evaluate_private_chat(said).prompt)
    pictures, caption = await chain.with_caption(_checked_pictures(GenerateTask.PRIVATE, prompt, chain), prompt)
    return _result(request, Route.PRIVATE, chain, pictures, caption=caption)


async def picture_of_prompt(request: ImageGen, chain: Chain) -> Result:
    _gate_person(request, chain)
    said = _with_person(request)
    prompt = await chain.moderate(said, sanitize_general(said).prompt)
    painting = _checked_pictures(GenerateTask.GENERAL, prompt, chain)
    if not request.caption:
        return _result(request, Route.GENERAL, chain, await painting)
    pictures, caption = await chain.with_caption(painting, prompt)
    return _result(request, Route.GENERAL, chain, pictures, caption=caption)


# ── what the flows share ─────────────────────────────────────────────────────────────────────────────────────────────

_CHAT: dict[type[ChatRequest], tuple[Route, ExpandTask, GenerateTask]] = {
    Chat1to1: (Route.CHAT_1TO1, ExpandTask.CHAT_1TO1, GenerateTask.CHAT_1TO1),
    ChatShorts: (Route.SHORTS, ExpandTask.SHORTS, GenerateTask.SHORTS),
    ChatScenes: (Route.SCENES, ExpandTask.SCENES, GenerateTask.SCENES),
}


async def _checked_pictures(task: GenerateTask, prompt: str, chain: Chain) -> Pictures:
    """The task's pictures after their age check; no flow gets pictures in any other way."""
    return await chain.check_pictures(await chain.generate(task, prompt))


def _gate_person(request: PersonRequest, chain: Chain) -> None:
    """Raises `MinorSuspected`: the request's own features pass the same gate as those of a selfie."""
    if request.features is not None:
        reject_minor(request.features, threshold=chain.settings.policy.minor_probability)


def _with_person(request: ChatPrivate | ImageGen) -> str:
    if request.features is None:
        return request.prompt
    return f"{describe_person(request.features)}. {request.prompt}"


def _result(
    request: PictureRequest,
    route: Route,
    chain: Chain,
    pictures: Pictures,
    *,
    caption: str | None = None,
    read: AnalyzeResult | None = None,
) -> Result:
    costs = [record.cost_usd for record in chain.timeline]
    picture = pictures.first
    return Result(
        image_base64=picture.image_base64,
        image_url=picture.image_url,
        image_format=picture.image_format,
        width=picture.width,
        height=picture.height,
        seed=picture.seed,
        request_id=request.request_id,
        task=route,
        caption=caption,
        prompt_used=picture.prompt_used,
        features=read.features if read else None,
        face=read.face if read else None,
        model=picture.model,
        policy=picture.policy,
        degraded=(*(read.degraded if read else ()), *chain.degraded, *pictures.degraded),
        timeline=tuple(sorted(chain.timeline, key=lambda record: record.started_ms)),
        cost_usd=None if None in costs else round(sum(cost for cost in costs if cost is not None), 8),
        trace_id=chain.trace_id,
        images=pictures.items(),
        read=request.report(),
    )


Flow = Callable[[PictureRequest, Chain], Awaitable[Result]]

FLOWS: dict[Route, Flow] = {
    Route.PROFILE: cast("Flow", create_profile),
    Route.CHAT_1TO1: cast("Flow", picture_of_chat),
    Route.SHORTS: cast("Flow", picture_of_chat),
    Route.SCENES: cast("Flow", picture_of_chat),
    Route.PRIVATE: cast("Flow", picture_of_private_prompt),
    Route.GENERAL: cast("Flow", picture_of_prompt),
}
"""Each flow takes the request class of its own route; `read_request` guarantees that."""
