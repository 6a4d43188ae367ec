"""Ages stated in a text: `AgeReader.read` returns each statement as a range of years with its span of tokens.

Figures, number words, ordinals, units, birth years (against a date that is passed in), school years and arithmetic are
read with the forms in `core/policy/lexicons/languages/*.toml`; `dates` compares dates of birth with today, `relations`
computes an age from another person's, and `punctuated` and `bare` read what only punctuation and neighbouring words
show (`(13)`, `f14`, `at 11 she …`). A statement is `certain`, or one that only sexual context makes likely.

May import: core.errors, core.policy.normalization, core.policy.spelling.
"""

from __future__ import annotations

from core.policy.ages.numbers import NumberWords
from core.policy.ages.punctuated import punctuated_ages
from core.policy.ages.reader import AgeReader, Statement

__all__ = ["AgeReader", "NumberWords", "Statement", "punctuated_ages"]
