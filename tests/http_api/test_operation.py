"""Health, metrics and their dashboard."""

from __future__ import annotations

import json
import re
from typing import Any

from core.contracts import Route
from core.settings import ROOT, Pool
from core.version import VERSION
from tests.http_api.conftest import InstantEndpoints

IMAGE = {"prompt": "canary-words at dusk", "n": 2, "caption": True}


async def test_health_has_the_version_and_every_pool(http: Any) -> None:
    async with http() as client:
        health = (await client.get("/healthz")).json()

    assert (health["status"], health["version"]) == ("ok", VERSION)
    assert health["pools"].keys() == set(Pool)


async def test_health_is_degraded_if_a_pool_has_no_available_endpoint(http: Any, endpoints: InstantEndpoints) -> None:
    async with http() as client:
        endpoints.open_circuits = 1
        assert (await client.get("/healthz")).json()["status"] == "degraded"


async def test_metrics_count_requests_stages_and_pictures_without_texts(http: Any) -> None:
    async with http() as client:
        await client.post("/v1/imagegen", json=IMAGE)
        await client.post("/v1/imagegen", json={})
        await client.get("/v1/canary-path")
        text = (await client.get("/metrics")).text

    assert 'img_pod_requests_total{code="ok",route="imagegen"} 1.0' in text
    assert 'img_pod_pictures_total{route="imagegen"} 2.0' in text
    assert 'img_pod_stage_seconds_count{stage="generate"} 2.0' in text
    assert 'img_pod_http_requests_total{method="POST",path="/v1/imagegen",status="400"} 1.0' in text
    assert 'img_pod_places_in_use{route="imagegen"} 0.0' in text
    assert "canary" not in text


async def test_unknown_methods_and_paths_add_no_metric_series(http: Any) -> None:
    async with http() as client:
        for number in range(5):
            await client.request(f"METHOD{number}", f"/nothing/{number}")
        text = (await client.get("/metrics")).text

    assert 'img_pod_http_requests_total{method="other",path="unknown",status="404"} 5.0' in text


async def test_dashboard_shows_only_metrics_that_exist(http: Any) -> None:
    dashboard = json.loads((ROOT / "deploy/grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"img_pod_\w+", query)}
    async with http() as client:
        await client.post("/v1/imagegen", json=IMAGE)
        text = (await client.get("/metrics")).text

    described = {re.sub(r"_total$", "", name) for name in re.findall(r"# TYPE (img_pod_\w+)", text)}
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in named} <= described


def test_every_route_has_a_path_of_the_original_system() -> None:
    from http_api.routes import PATHS

    assert PATHS.keys() == set(Route)
    assert PATHS[Route.PROFILE] == "/v1/profile/create"
    assert PATHS[Route.GENERAL] == "/v1/imagegen"
