"""A platform that the test controls: it adds jobs, reads replies, and can make any answer fail."""

import asyncio
import json

from core.settings import WorkerSettings
from core.worker.job import Reply
from core.worker.loop import JobLoop
from core.worker.platform import NotDelivered

SETTINGS = WorkerSettings(grace_s=0.5, progress_interval_s=0.01)


class HandPlatform:
    def __init__(self):
        self.queue = asyncio.Queue()
        self.stop_ids = asyncio.Queue()
        self.asked = []
        self.polling = 0
        self.posted = []
        self.refusals = []
        self.on_post = None

    async def take(self, count):
        self.asked.append(count)
        self.polling += 1
        try:
            jobs = [await self.queue.get()]
        finally:
            self.polling -= 1
        while len(jobs) < count and not self.queue.empty():
            jobs.append(self.queue.get_nowait())
        if any(isinstance(job, Exception) for job in jobs):
            raise jobs[0]
        return [job for job in jobs if job]

    async def stops(self):
        return [await self.stop_ids.get()]

    async def post(self, job_id, body):
        if self.on_post is not None:
            await self.on_post(job_id)
        if self.refusals:
            raise NotDelivered(self.refusals.pop(0))
        self.posted.append((job_id, json.loads(body)))

    async def post_progress(self, job_id, progress):
        self.posted.append((job_id, {"progress": progress.step}))

    def deliver(self, job_id, **payload):
        self.queue.put_nowait({"id": job_id, "input": {"task": "work", **payload}})

    def replies(self, job_id=None):
        return [body for key, body in self.posted if "progress" not in body and job_id in (None, key)]


class HandHeartbeat:
    def __init__(self):
        self.ids = set()

    def add(self, job_id):
        self.ids.add(job_id)

    def remove(self, job_id):
        self.ids.discard(job_id)


class Bench:
    """A job loop whose jobs end when the test says so: `end(job_id)`; each run of a job is counted."""

    def __init__(self, *, running=1, concurrency=1, settings=SETTINGS):
        self.platform, self.heartbeat = HandPlatform(), HandHeartbeat()
        self.loop = JobLoop(self.platform, self.answer, settings, running=running, concurrency=concurrency)
        self.runs = []
        self.cancelled = []
        self.progress = {}
        self.stubborn = False
        self._ends = {}

    async def answer(self, raw, progress):
        job_id = raw["id"]
        self.runs.append(job_id)
        self.progress[job_id] = progress
        end = self._ends[job_id] = asyncio.get_running_loop().create_future()
        while True:
            try:
                return await asyncio.shield(end)
            except asyncio.CancelledError:
                self.cancelled.append(job_id)
                if not self.stubborn:
                    raise

    def end(self, job_id, reply=None):
        self._ends[job_id].set_result(reply or Reply(json.dumps({"output": job_id}).encode()))

    async def __aenter__(self):
        self.task = asyncio.create_task(self.loop.run(self.heartbeat))
        return self

    async def __aexit__(self, *exc):
        if not self.task.done():
            self.loop.shutdown("test")
            self.loop.shutdown("test")
            await asyncio.wait_for(self.task, 10)


async def until(add, timeout_s=5):
    async with asyncio.timeout(timeout_s):
        while not add():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.001)


async def a_while():
    """Wait 50 iterations of the event loop and 20 ms, so that pending callbacks have run."""
    for _ in range(50):
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
