"""The orchestrator: a chain of workers that answers a request.

__main__.py         the orchestrator as a RunPod worker
service.py          admission, idempotency and deadline around a flow
flows.py            the order of stages that answers each task
chain.py            one request in progress: its stages, deadline, timeline and degradations
pictures.py         the pictures of one request: seeds, progress, outcomes
endpoints.py        stage calls: submit, poll, retry
stage_call.py       the call of a stage and its answer
cleanup.py          cancels of abandoned jobs; waking a pool
pools.py            the endpoints of each pool and their circuit breakers
runpod_client.py    HTTP requests to the RunPod endpoint API
polling.py          times of the status requests for a running job
deadlines.py        deadlines on the monotonic clock
capacity.py         admission limits, retry budget, GPU seconds by route
idempotency.py      idempotent results in memory; idempotency_s3.py: in a bucket
publication.py      delivery of finished pictures: upload, ids, expiry
stored_pictures.py  pictures in the bucket: ids, deletion, expiry
bucket.py           small objects in the bucket
webhooks.py         signed results posted to the caller's address
tracing.py          OpenTelemetry spans of a request
"""
