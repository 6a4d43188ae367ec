"""Version of the policy: the engine's number and a hash of the rules, computed without compiling them.

May import: nothing of core.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

LEXICONS = Path(__file__).resolve().parent / "lexicons"
ENGINE = 1
"""Increased when the same rules give different verdicts."""


def rule_files() -> list[Path]:
    return sorted(LEXICONS.rglob("*.toml"))


def _version() -> str:
    content = hashlib.sha256()
    for file in rule_files():
        content.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"{ENGINE}-{content.hexdigest()[:12]}"


POLICY_VERSION = _version()
"""Included in every result and log, so that a verdict can be reproduced."""
