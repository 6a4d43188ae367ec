"""The HTTP API of the orchestrator's service, in addition to the platform's job queue.

__main__.py    the server: `python -m http_api`, and commands that create keys and secrets
app.py         the FastAPI application over one `Service`
routes.py      POST of a task: read, admit, start, wait
bodies.py      request bodies, bounded while they are read
preferences.py `Accept` and `Prefer`: the answer's media type, and how long to wait for it
jobs.py        running and ended jobs with their events
answers.py     responses of ended and running jobs: JSON, the picture itself, an event stream
problems.py    errors as application/problem+json (RFC 9457)
callers.py     API keys, rate limits and daily budgets
openai_api.py  OpenAI's images route
health.py      /ping, /healthz
metrics.py     /metrics for Prometheus
operations.py  the OpenAPI description of each operation
openapi.py     the OpenAPI document; docs_page.py serves it with Swagger UI's own files
server.py      the server process: starting, draining
job_store.py   ended jobs in the bucket

May import: core, orchestrator, fastapi, starlette, prometheus_client, uvicorn.
"""
