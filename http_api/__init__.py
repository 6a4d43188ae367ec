"""The HTTP API: the second door into the orchestrator's service, beside the platform's job queue."""
