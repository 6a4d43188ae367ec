"""Write the files for RunPod's Hub, from `endpoints.yaml`, the zimage image and its test input.

    python -m tools.hub             writes .runpod/
    python -m tools.hub --check     list outdated files; exit status 1 if there are any

A listing has one handler and one Dockerfile, so this repository lists one image, which is useful without the others.
docs/deploy.md describes how the others are deployed. Fields: https://docs.runpod.io/hub/publishing-guide.

May import: core.settings.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from core.settings import ROOT, EndpointSpec, ZimageSettings, load_endpoints

FOLDER = ROOT / ".runpod"
LISTED = "zimage"
CUDA_FROM_12_8 = ("12.8", "12.9", "13.0")
"""The Hub needs a list of versions; the API needs the lowest one."""
TESTED_ON = "NVIDIA GeForce RTX 4090"
TEST_TIMEOUT_MS = 180_000
_MADE = "Made by `python -m tools.hub`; change {source} instead."


def files() -> dict[str, str]:
    """File name in `.runpod/` → text."""
    spec = load_endpoints().endpoints[LISTED]
    dockerfile = (ROOT / f"Dockerfile.{LISTED}").read_text(encoding="utf-8")
    syntax, rest = dockerfile.split("\n", 1)
    return {
        "hub.json": _json(hub(spec)),
        "tests.json": _json(tests(spec)),
        "Dockerfile": f"{syntax}\n# {_MADE.format(source=f'Dockerfile.{LISTED}')}\n{rest}",
        "handler.py": _HANDLER,
    }


def hub(spec: EndpointSpec) -> dict[str, Any]:
    gpu = spec.gpu
    if gpu is None:
        raise ValueError("the listed image needs an endpoint with a GPU")
    return {
        "title": "img-pod: Z-Image Turbo",
        "description": "Pictures from prompts with Z-Image Turbo. A content policy checks prompts and pictures.",
        "type": "serverless",
        "category": "image",
        "iconUrl": "",
        "config": {
            "runsOn": "GPU",
            "containerDiskInGb": spec.container_disk_gb or 20,
            "gpuCount": gpu.count,
            "gpuIds": ",".join([*gpu.pools, *(f"-{name}" for name in gpu.exclude)]),
            "allowedCudaVersions": list(CUDA_FROM_12_8),
            "env": [*({"key": key, "value": value} for key, value in spec.env.items()), *_inputs()],
        },
    }


def _inputs() -> list[dict[str, Any]]:
    """Settings that a user of the listing may change, with their defaults and descriptions."""
    chosen = {"unsafe_threshold": (0, 1), "max_batch": (1, 8)}
    listed = []
    for name, (least, most) in chosen.items():
        field = ZimageSettings.model_fields[name]
        shown = {"name": name.replace("_", " ").capitalize(), "type": "number", "description": field.description}
        bounds = {"default": field.default, "min": least, "max": most, "advanced": True}
        listed.append({"key": f"ZIMAGE_{name.upper()}", "input": {**shown, **bounds}})
    return listed


def tests(spec: EndpointSpec) -> dict[str, Any]:
    given = json.loads((ROOT / "test_inputs" / f"{LISTED}.json").read_text(encoding="utf-8"))
    return {
        "tests": [{"name": "picture", "input": given["input"], "timeout": TEST_TIMEOUT_MS}],
        "config": {
            "gpuTypeId": TESTED_ON,
            "gpuCount": 1,
            "env": [{"key": key, "value": value} for key, value in spec.env.items()],
            "allowedCudaVersions": list(CUDA_FROM_12_8),
        },
    }


_HANDLER = f'''"""{_MADE.format(source=f"handlers/{LISTED}.py")}

The handler of the listing, which RunPod's Hub requires. The image itself starts `python -m handlers.{LISTED}`.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    runpy.run_module("handlers.{LISTED}", run_name="__main__")
'''


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.hub", description="Write the files for RunPod's Hub.")
    parser.add_argument("--check", action="store_true", help="report outdated files and change nothing")
    arguments = parser.parse_args(argv)
    wanted = files()
    if arguments.check:
        old = [name for name, text in wanted.items() if not _is_current(name, text)]
        for name in old:
            print(f".runpod/{name} is out of date: run `python -m tools.hub`.", file=sys.stderr)
        return 1 if old else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


def _is_current(name: str, text: str) -> bool:
    path = FOLDER / name
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
