"""Load the rules of the policy, once per process. `python -m core.policy` compiles them beforehand.

May import: core.errors, core.policy.compiled, core.policy.rules, core.policy.spelling, core.policy.version.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from threading import Lock

from core.errors import Misconfigured
from core.policy.compiled import kept
from core.policy.rules import Lexicon
from core.policy.spelling import english
from core.policy.version import rule_files

HARD_CATEGORIES = {"sexual_minors", "non_consent", "animals", "real_person"}
"""A process does not start without rules for each of these."""


_LOADING = Lock()


def lexicon() -> Lexicon:
    """Return the rules, loaded once per process; other threads wait for them. Raises `Misconfigured`."""
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> Lexicon:
    english()
    return kept(compiled_rules)


def compiled_rules() -> Lexicon:
    """Compile the rules and the indexes of hard words. Raises `Misconfigured`."""
    compiled = load_lexicon(rule_files())
    _ = compiled.spelling.doubtful_words
    return compiled


def load_lexicon(files: Iterable[Path]) -> Lexicon:
    """Compile the rules of the files. Raises `Misconfigured` if they can't be read or lack a hard category."""
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
