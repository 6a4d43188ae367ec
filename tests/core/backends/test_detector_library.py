"""The detector's library neither installs packages nor reports usage."""

from __future__ import annotations

import subprocess
import sys

from core.settings import ROOT

_PRINT_LIBRARY_SETTINGS = """
from core.backends.face_detection import _disable_ultralytics_network
_disable_ultralytics_network()
from ultralytics.utils import AUTOINSTALL, SAFE_LOAD
from ultralytics.utils.events import events
print(AUTOINSTALL, SAFE_LOAD, events.enabled)
"""


def test_detector_library_neither_reports_usage_nor_installs_packages() -> None:
    # In a process of its own: the library reads its settings once, when it is first imported.
    answer = subprocess.run(
        [sys.executable, "-c", _PRINT_LIBRARY_SETTINGS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["False", "True", "False"]
