"""Made by `python -m tools.hub`; change handlers/zimage.py instead.

The handler of the listing, which RunPod's Hub requires. The image itself starts `python -m handlers.zimage`.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    runpy.run_module("handlers.zimage", run_name="__main__")
