"""The seam to RunPod: what a handler module is given, and how its jobs are taken, run and answered.

entry.py     `main(worker)`: one local try, or the job loop
job.py       a job as a handler sees it; any outcome of a handler → one JSON-safe reply
device.py    the one thread that owns the device, and its batches
loop.py      the event-driven job loop
outbox.py    replies posted until they are delivered
progress.py  progress reports: ordered, coalesced, never after the result
replay.py    a job delivered twice is answered once and told twice
platform.py  what the loop needs of the platform, and how that fails
sdk.py       the platform by way of the SDK's own functions
stock.py     the SDK's own loop, the fallback; these two are the only modules that import runpod
"""
