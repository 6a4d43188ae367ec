"""Run the commands of docs/http.md."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from core.settings import ROOT
from tests.http_api.conftest import PNG

COMMANDS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/http.md").read_text(), flags=re.DOTALL)


def test_http_documentation_has_a_command_for_every_kind_of_request() -> None:
    everything = "\n".join(COMMANDS)

    for part in ("-F selfie", "--data-binary", "text/event-stream", "image/png", "respond-async", "DELETE", '"n": 2'):
        assert part in everything


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
async def test_documented_command_succeeds(command: str, serve: Any, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(PNG)
    env = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    async with serve() as served:
        script = command.replace("http://127.0.0.1:8000", served.url)
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script, cwd=tmp_path, env=env,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    for name in ("result.json", "profile.json"):
        if (found := tmp_path / name).exists():
            assert json.loads(found.read_text())["image_base64"]
    if (found := tmp_path / "lighthouse.png").exists():
        assert found.read_bytes() == PNG
    if (found := tmp_path / "job.json").exists():
        assert json.loads(found.read_text())["status"] == "completed"
    if "event-stream" in command:
        assert b"event: result" in output
