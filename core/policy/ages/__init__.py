"""Ages stated in a text: `AgeReader.read` returns each statement as a range of years with its span of tokens.

Figures, number words, ordinals, units, birth years (against a date that is passed in), school years and arithmetic are
read with the forms in `core/policy/lexicons/languages/*.toml`; `punctuated` reads the forms that need punctuation
(`(13)`, `f14`, `12/f/uk`). A statement is `certain`, or one that only sexual context makes likely.

May import: core.errors, core.policy.normalization.
"""

from __future__ import annotations

from core.policy.ages.numbers import NumberWords
from core.policy.ages.punctuated import punctuated_ages
from core.policy.ages.reader import AgeReader, Statement

__all__ = ["AgeReader", "NumberWords", "Statement", "punctuated_ages"]
