"""Made by `python -m tools.hub`; change handlers/zimage.py instead.

What RunPod's Hub looks for: the one handler of the listing. The image starts `python -m handlers.zimage` itself.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    runpy.run_module("handlers.zimage", run_name="__main__")
