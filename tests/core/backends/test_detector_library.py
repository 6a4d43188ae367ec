"""The detector's library neither installs packages nor reports usage."""

from __future__ import annotations

import subprocess
import sys

from core.settings import ROOT

_ASK_THE_LIBRARY = """
from core.backends.vision import _keep_to_itself
_keep_to_itself()
from ultralytics.utils import AUTOINSTALL, SAFE_LOAD
from ultralytics.utils.events import events
print(AUTOINSTALL, SAFE_LOAD, events.enabled)
"""


def test_the_detectors_library_sends_nothing_and_installs_nothing() -> None:
    # In a process of its own: the library reads its settings once, when it is first imported.
    said = subprocess.run(
        [sys.executable, "-c", _ASK_THE_LIBRARY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["False", "True", "False"]
