"""Load and compile the rules of the policy, once per process.

May import: core.errors, core.policy.rules, core.policy.version.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from core.errors import Misconfigured
from core.policy.rules import Lexicon
from core.policy.version import rule_files

HARD_CATEGORIES = {"sexual_minors", "non_consent", "animals", "real_person"}
"""Without rules for each of these a process does not start."""


@cache
def lexicon() -> Lexicon:
    """Compile the rules, once per process. Raises `Misconfigured` where a rule is wrong or missing."""
    return load_lexicon(rule_files())


def load_lexicon(files: Iterable[Path]) -> Lexicon:
    """The compiled rules of the files. Raises `Misconfigured` where they can't be read or lack a hard category."""
    compiled = Lexicon()
    for file in files:
        try:
            compiled.add(tomllib.loads(file.read_text(encoding="utf-8")), file.stem)
        except (tomllib.TOMLDecodeError, KeyError, OSError) as error:
            raise Misconfigured(f"The policy's rules in {file.name} can't be read: {error}.") from None
    missing = HARD_CATEGORIES - {rule.category for rule in compiled.rules}
    if missing:
        raise Misconfigured(
            f"The policy has no rules for {', '.join(sorted(missing))}: files are missing from core/policy/lexicons. "
            "Install the package again."
        )
    return compiled.checked()
