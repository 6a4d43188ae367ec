"""The worker process: how jobs are taken from RunPod, run by a handler, and answered.

entry.py     start a worker: one local job, or the job loop
job.py       a job as a handler receives it, and the reply for any outcome
device.py    the thread that owns the device, and its batches
loop.py      the event-driven job loop
outbox.py    replies, posted until they are accepted
progress.py  progress reports: ordered, coalesced, never after the result
replay.py    a cache that answers a second delivery of a job
platform.py  the protocol between the loop and the platform
sdk.py       the platform through the SDK's own functions
stock.py     the SDK's own loop; only this module and sdk.py import runpod

May import: core.backends (its values), core.contracts, core.errors, core.logs, core.settings, runpod, aiohttp.
"""
