"""Flows: the order of stages that answers each task.

    profile/create         analyze → reject minors → (moderate) → generate → (check)
    chat/…                 judge → expand → judge → generate → (check) ∥ caption
    chat/private/imagegen  evaluate → (moderate) → generate → (check) ∥ caption
    imagegen               sanitize → (moderate) → generate → (check) (∥ caption on request)

Every text is judged before the first stage runs, and a text that a model wrote is judged before the next stage.
`moderate` runs if there is a text classifier, for texts that no other stage of the llm worker receives; a chat is
classified when it is expanded. `check` runs for pictures that the output check rates as sexual, on every route.
chain.py has each stage's arguments, time limit and fallback; endpoints.py calls the workers.

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
    route, expand_task, generate_task = _CHAT[type(request)]
    _reject_minor_features(request, chain)
    # Messages that no model receives are checked too, so that they can't be used to bypass the policy. The longest chat
    # takes a second, so the check runs in a thread.
    chat = await asyncio.to_thread(check_chat, request.received, route, treated_as=chain.treated_as, stage="request")
    chain.treated_as = chat.treated_as
    prompt = await chain.expand(expand_task, request)
    check([prompt], route, treated_as=chain.treated_as, stage="expand")
    if chat.verdict.action is Action.CONSTRAIN:
        prompt = constrain(prompt)
    pictures, caption = await chain.with_caption(_checked_pictures(generate_task, prompt, chain), prompt)
    return _result(request, route, chain, pictures, caption=caption)


async def picture_of_private_prompt(request: ChatPrivate, chain: Chain) -> Result:
    _reject_minor_features(request, chain)
    text = _with_person(request)
    prompt = await chain.moderate(text, evaluate_private_chat(text).prompt)
    pictures, caption = await chain.with_caption(_checked_pictures(GenerateTask.PRIVATE, prompt, chain), prompt)
    return _result(request, Route.PRIVATE, chain, pictures, caption=caption)


async def picture_of_prompt(request: ImageGen, chain: Chain) -> Result:
    _reject_minor_features(request, chain)
    text = _with_person(request)
    prompt = await chain.moderate(text, sanitize_general(text).prompt)
    generation = _checked_pictures(GenerateTask.GENERAL, prompt, chain)
    if not request.caption:
        return _result(request, Route.GENERAL, chain, await generation)
    pictures, caption = await chain.with_caption(generation, prompt)
    return _result(request, Route.GENERAL, chain, pictures, caption=caption)


_CHAT: dict[type[ChatRequest], tuple[Route, ExpandTask, GenerateTask]] = {
    Chat1to1: (Route.CHAT_1TO1, ExpandTask.CHAT_1TO1, GenerateTask.CHAT_1TO1),
    ChatShorts: (Route.SHORTS, ExpandTask.SHORTS, GenerateTask.SHORTS),
    ChatScenes: (Route.SCENES, ExpandTask.SCENES, GenerateTask.SCENES),
}


async def _checked_pictures(task: GenerateTask, prompt: str, chain: Chain) -> Pictures:
    """Generate the task's pictures and check ages. Every flow gets its pictures from here."""
    return await chain.check_pictures(await chain.generate(task, prompt))


def _reject_minor_features(request: PersonRequest, chain: Chain) -> None:
    """Check the request's features like those of a selfie. Raises `MinorSuspected`."""
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
"""The flow of each route. A flow's request has the class of its route, which `read_request` ensures."""
