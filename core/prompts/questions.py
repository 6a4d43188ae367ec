"""Multiple-choice questions that the vision model answers about a person's attributes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from core.contracts import (
    ATTRIBUTES,
)

_QUESTION = {
    "gender_presentation": "How does the person's look present?",
    "age_band": "How old does the person look?",
    "skin_tone": "What is the person's skin tone?",
    "hair_color": "What colour is the person's hair?",
    "hair_length": "How long is the person's hair?",
    "hair_style": "How is the person's hair worn?",
    "eye_color": "What colour are the person's eyes?",
    "facial_hair": "What facial hair does the person have?",
    "glasses": "What glasses does the person wear?",
    "expression": "What is the person's expression?",
    "face_shape": "What shape is the person's face?",
    "headwear": "What does the person wear on the head?",
    "earrings": "Does the person wear earrings?",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question: the answer `letters[i]` means `values[i]`."""

    text: str
    letters: tuple[str, ...]
    values: tuple[StrEnum, ...]


def _question(attribute: str, *, reverse: bool = False) -> Question:
    values = tuple(ATTRIBUTES[attribute])[:: -1 if reverse else 1]
    letters = tuple("ABCDEFGHIJ"[: len(values)])
    options = "\n".join(f"{letter}. {_spoken(value)}" for letter, value in zip(letters, values, strict=True))
    return Question(f"{_QUESTION[attribute]}\n{options}\nAnswer with the letter only.", letters, values)


def _spoken(value: str) -> str:
    if value == "unknown":
        return "cannot be seen"
    return re.sub(r"(?<=\d)_(?=\d)", " to ", value).replace("_", " ")


QUESTIONS: dict[str, Question] = {attribute: _question(attribute) for attribute in ATTRIBUTES}
"""One question per attribute, answered by one letter, whose probability among the letters is the confidence."""
REVERSED_QUESTIONS: dict[str, Question] = {attribute: _question(attribute, reverse=True) for attribute in ATTRIBUTES}
"""The same questions with the options in reverse. Models prefer certain letters; averaging both orders cancels that."""
