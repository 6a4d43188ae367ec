"""Endpoints on RunPod: what `endpoints.yaml` asks for, made so.

May import: core.contracts, core.errors, core.settings, httpx, stamina; typer and rich in `__main__`.
"""
