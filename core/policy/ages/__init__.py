"""Ages stated in a text: `AgeReader.read` returns each statement as a range of years with its span of tokens.

Digits, number words, ordinals, units, birth years (relative to a given date), school years and arithmetic are read with
the patterns in `core/policy/lexicons/languages/*.toml`. `dates` reads dates of birth, and `relations` computes an age
from another person's. `punctuated` and `bare` read numbers that only punctuation or neighbouring words identify as ages
(`(13)`, `f14`, `at 11 she …`). A statement is `certain`, or counts only with sexual content.

May import: core.errors, core.policy.normalization, core.policy.spelling.
"""

from __future__ import annotations

from core.policy.ages.numbers import Number, NumberWords
from core.policy.ages.punctuated import punctuated_ages
from core.policy.ages.reader import AgeReader, Statement

__all__ = ["AgeReader", "Number", "NumberWords", "Statement", "punctuated_ages"]
