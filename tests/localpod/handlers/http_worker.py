"""An HTTP worker for tests of load-balancing endpoints. Its behaviour is chosen by the path, its start by variables."""

import asyncio
import json
import os
import signal
from pathlib import Path

from aiohttp import web

LOG = Path(os.environ["WORKER_LOG"])
START = Path(os.environ["START_FILE"]) if "START_FILE" in os.environ else None
state = {"ping": 200}


def note(event):
    with LOG.open("a") as log:
        log.write(f"{event}\n")


async def ping(request):
    if START is not None and not START.exists():
        return web.Response(status=204)
    return web.Response(status=state["ping"])


async def echo(request):
    body = await request.read()
    seen = {"path": request.raw_path, "method": request.method, "headers": dict(request.headers), "bytes": len(body)}
    return web.json_response(seen, headers={"X-Pid": str(os.getpid())})


async def events(request):
    """Server-sent events; each waits until the test has created the file of its number."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    try:
        for number in range(3):
            await answer.write(f"data: {number}\n\n".encode())
            while not (LOG.parent / f"next{number}").exists():  # noqa: ASYNC110  # another process makes the file
                await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        note("disconnected")
        raise
    return answer


async def hang(request):
    note("hanging")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        note("disconnected")
        raise


async def large(request):
    size = int(request.query["bytes"])
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(size // 1_000_000):
        await answer.write(b"x" * 1_000_000)
    return answer


async def set_ping(request):
    state["ping"] = int(request.query["status"])
    return web.Response()


async def die(request):
    os.kill(os.getpid(), signal.SIGKILL)


app = web.Application(client_max_size=100_000_000)
app.router.add_get("/ping", ping)
app.router.add_get("/events", events)
app.router.add_get("/hang", hang)
app.router.add_get("/large", large)
app.router.add_get("/set-ping", set_ping)
app.router.add_get("/die", die)
app.router.add_route("*", "/{rest:.*}", echo)

if __name__ == "__main__":
    note(json.dumps({name: value for name, value in os.environ.items() if "PORT" in name or "RUNPOD" in name}))
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, handler_cancellation=True)
