"""Endpoints on RunPod: plan, apply and examine what `endpoints.yaml` lists.

May import: core.settings, httpx, rich, typer.
"""
