"""Command `python -m core.images inspect FILE…`: print the marks in each picture, one JSON object per file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from core.errors import BadPicture
from core.images.marks import inspect


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m core.images", description="Read the marks in pictures.")
    commands = parser.add_subparsers(required=True)
    reading = commands.add_parser("inspect", help="print a picture's marks as JSON")
    reading.add_argument("files", nargs="+", type=Path, metavar="FILE")
    failed = False
    for path in parser.parse_args(arguments).files:
        try:
            marks = {"file": path.name, **inspect(path.read_bytes())}
        except (OSError, BadPicture) as error:
            failed = True
            sys.stderr.write(f"{path}: {error.strerror if isinstance(error, OSError) else error.message}\n")
        else:
            sys.stdout.write(json.dumps(marks, indent=2, ensure_ascii=False) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
