"""The chain of workers that answers a request.

__main__.py    the orchestrator as a RunPod worker
flows.py       what a request means, in the order it happens
chain.py       one request under way: its stages, deadline, timeline and what was done without
endpoints.py   how endpoints are called: pools, run/runsync/status/cancel, retries, circuits
polling.py     when a job is asked after next
ledger.py      what outlives a request: capacity, retry budget, idempotency, GPU seconds
"""
