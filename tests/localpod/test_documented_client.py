"""The client that docs/api.md prints."""

import json
import re

from core.errors import BadUrl, from_wire
from core.settings import ROOT

_BLOCK = re.compile(r"```python\n(import json.*?)```", re.DOTALL)
_ASKED = '{"task": "imagegen", "prompt": "a lighthouse at dusk"}'


def run_as_printed(pod, asked=_ASKED):
    """Run the client as printed; return its variables."""
    [source] = _BLOCK.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    for printed, here in {"https://api.runpod.ai/v2/<endpoint id>": f"{pod.base_url}/echo", _ASKED: asked}.items():
        assert source.count(printed) == 1
        source = source.replace(printed, here)
    names = {}
    exec(source, names)
    names["api"].close()
    return names


def test_run_prints_the_result_of_a_completed_job(stock_pod):
    assert run_as_printed(stock_pod)["result"]["echo"] == json.loads(_ASKED)


def test_run_reports_the_error_of_a_failed_job(stock_pod):
    wire = BadUrl("The URL must begin with https://.").to_wire()

    names = run_as_printed(stock_pod, json.dumps({"fail": wire}))

    assert "result" not in names
    assert names["error"]["code"] == "bad_url"
    assert isinstance(from_wire(json.dumps(names["error"])), BadUrl)
