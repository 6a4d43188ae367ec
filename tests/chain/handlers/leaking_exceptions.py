"""A stand-in worker that fails on request, with its whole input and all its secrets in the exception."""

from __future__ import annotations

import os
from dataclasses import replace

from core.contracts import Message, StageRequest
from core.settings import Settings
from core.worker.entry import main
from core.worker.job import Job, JobHandler, Worker
from tests.chain.handlers import stand_in

BREAKS = "breaks-the-"
"""Prefix that, followed by a stage's name anywhere in a request, makes that stage fail."""


def load(settings: Settings) -> JobHandler[StageRequest]:
    respond = stand_in.load(settings)

    async def respond_with_a_leaking_exception(request: StageRequest, job: Job) -> Message:
        if f"{BREAKS}{stand_in.stage_of(request)}" in repr(request):
            raise RuntimeError(f"{request!r} {job.s3_config!r} {dict(os.environ)!r}") from ValueError(repr(request))
        return await respond(request, job)

    return respond_with_a_leaking_exception


def worker(settings: Settings) -> Worker[StageRequest]:
    return replace(stand_in.worker(settings), load=lambda: load(settings))


if __name__ == "__main__":
    main(worker)
