"""Replies are posted until they are delivered."""

import asyncio
import json

import pytest

from core.errors import TooLarge
from core.worker.job import Reply
from core.worker.outbox import Outbox
from core.worker.platform import NotDelivered


class Post:
    """Fails with the given errors, then accepts everything."""

    def __init__(self, *failures):
        self.failures, self.taken, self.tries = list(failures), [], 0

    async def __call__(self, job_id, body):
        self.tries += 1
        if self.failures:
            raise NotDelivered(self.failures.pop(0))
        self.taken.append((job_id, body))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("core.worker.outbox._FIRST_WAIT_S", 0.001)


async def test_reply_is_posted_until_the_platform_accepts_it():
    post = Post(None, 500, 503, 429, 408, None, 502)
    await asyncio.wait_for(Outbox(post, wait_max_s=0.01).send("j", Reply(b"{}")), 5)
    assert post.taken == [("j", b"{}")]
    assert post.tries == 8


@pytest.mark.parametrize("status", [401, 404, 409, 410])
async def test_reply_that_the_platform_refuses_is_not_posted_again(status):
    post = Post(status)
    await asyncio.wait_for(Outbox(post).send("j", Reply(b"{}")), 5)
    assert post.tries == 1


@pytest.mark.parametrize("status", [400, 413])
async def test_a_result_refused_as_too_large_becomes_the_error_too_large(status):
    post = Post(status)
    await asyncio.wait_for(Outbox(post).send("j", Reply(b"{}")), 5)
    ((_, body),) = post.taken
    assert json.loads(json.loads(body)["error"])["code"] == "too_large"


async def test_a_refused_error_is_not_replaced_by_another():
    post = Post(400)
    await asyncio.wait_for(Outbox(post).send("j", Reply.of_error(TooLarge("x"))), 5)
    assert post.tries == 1


async def test_slow_delivery_does_not_delay_another():
    async def post(job_id, body):
        if job_id == "slow":
            await asyncio.Event().wait()

    outbox = Outbox(post)
    slow = outbox.send("slow", Reply(b"{}"))
    await asyncio.wait_for(outbox.send("quick", Reply(b"{}")), 1)
    assert len(outbox) == 1
    slow.cancel()


async def test_stopping_worker_shortens_the_pause_between_attempts(monkeypatch):
    monkeypatch.setattr("core.worker.outbox._FIRST_WAIT_S", 60)
    monkeypatch.setattr("core.worker.outbox._SHORT_WAIT_S", 0.01)
    post = Post(503, 503, 503)
    outbox = Outbox(post, wait_max_s=60)
    sending = outbox.send("j", Reply(b"{}"))
    await asyncio.sleep(0.01)
    assert post.tries == 1
    outbox.shorten_pauses()
    await asyncio.wait_for(sending, 5)
    assert post.taken
