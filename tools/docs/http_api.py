"""Generator of docs/openapi.json: the OpenAPI document of the HTTP API.

May import: core.settings, http_api, orchestrator.
"""

from __future__ import annotations

import json

from core.settings import OrchestratorSettings, PlatformSettings, Pool, load_settings
from http_api import openapi
from http_api.app import create_app
from orchestrator.service import Service


def page() -> str:
    """The document of an application whose endpoints are never called."""
    settings = load_settings()
    pools = {f"{pool}_endpoint_ids": ["unused"] for pool in Pool}
    orchestrator = OrchestratorSettings.model_validate(pools)
    platform = PlatformSettings.model_validate({"api_key": "unused"})
    settings = settings.model_copy(update={"orchestrator": orchestrator, "platform": platform})
    document = openapi.build(create_app(Service.from_settings(settings), settings))
    return (
        json.dumps({"openapi": document["openapi"], "x-generated-by": "python -m tools.docs", **document}, indent=2)
        + "\n"
    )
