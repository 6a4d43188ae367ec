"""Webhooks against a real server on loopback."""

import pytest_asyncio
from aiohttp import web

from tests.localpod.manual_worker import submit, until


@pytest_asyncio.fixture
async def receiver():
    """A server that answers with `receiver.codes`, then 200, and stores the bodies."""

    class Receiver:
        codes, got, url = [], [], ""

    async def answer(request):
        Receiver.got.append(await request.json())
        return web.Response(status=Receiver.codes.pop(0) if Receiver.codes else 200)

    Receiver.codes, Receiver.got = [], []
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    Receiver.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/done"
    yield Receiver
    await runner.cleanup()


async def finish(http, worker, url):
    job_id = await submit(http, webhook=url)
    job = await worker.take()
    assert job["webhook"] == url
    await worker.done(job_id, {"output": 1})
    return job_id


async def test_a_webhook_gets_the_finished_job(http, worker, receiver):
    job_id = await finish(http, worker, receiver.url)
    await until(lambda: receiver.got)
    assert receiver.got[0]["id"] == job_id
    assert (receiver.got[0]["status"], receiver.got[0]["output"]) == ("COMPLETED", 1)


async def test_a_refused_webhook_is_sent_twice_more(http, worker, receiver):
    receiver.codes = [500, 302]
    await finish(http, worker, receiver.url)
    await until(lambda: len(receiver.got) == 3)


async def test_a_webhook_that_is_always_refused_is_given_up_after_three(http, worker, receiver, pod, caplog):
    receiver.codes = [500] * 9
    await finish(http, worker, receiver.url)
    await until(lambda: "not delivered after" in caplog.text)
    assert len(receiver.got) == 3


async def test_a_cancelled_jobs_webhook_is_sent_too(http, receiver):
    job_id = await submit(http, "none", webhook=receiver.url)
    await http.post(f"/none/cancel/{job_id}")
    await until(lambda: receiver.got)
    assert receiver.got[0]["status"] == "CANCELLED"
