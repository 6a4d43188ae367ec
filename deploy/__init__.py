"""Deployment: create and update RunPod endpoints from `endpoints.yaml`, and check them.

May import: core.settings, httpx, rich, typer.
"""
