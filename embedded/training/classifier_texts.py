"""Training texts of the text classifier, labelled by construction.

A text consists of parts from `classifier_words.toml` and `classifier_phrases.toml`: sexual or not, with or without a
statement of a person's age, and everyday words between them. Each part decides only one label, so that the classifier's
two heads learn independently; only their combination refuses a text. Three texts in ten are disguised: other letters,
symbols, spaces, typing errors. The module shares no code with `core.policy`, so that classifier and rules fail in
different ways.

May import: the standard library.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

THIS_YEAR = 2026
ADULT_FROM = 18
_FOLDER = Path(__file__).parent
_WITHOUT_SPACES = {"ja", "zh", "th"}
Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A labelled text; `minor`: it states that a person is under 18."""

    text: str
    sexual: bool
    minor: bool


@cache
def lexicons() -> dict[str, dict[str, list[str]]]:
    """Language → `sexual`, `minor`, `adult` or `age` → words."""
    return tomllib.loads((_FOLDER / "classifier_words.toml").read_text(encoding="utf-8"))


@cache
def phrases() -> dict[str, dict[str, Any]]:
    """Sentence frames, harmless look-alikes, English ages, numbers and disguises."""
    return tomllib.loads((_FOLDER / "classifier_phrases.toml").read_text(encoding="utf-8"))


# ── ages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_words(value: int, language: str) -> str | None:
    """`value` as a number word; None if the language's word isn't known."""
    words = phrases()["numbers"].get(language, ())
    if value < len(words):
        return str(words[value])
    if language != "en" or value > 99:
        return None
    tens, units = divmod(value, 10)
    names = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
    return names[tens - 2] + (f"-{words[units]}" if units else "")


def written(value: int, language: str, rng: random.Random) -> str:
    """`value` in figures, in words, or in the digits of the language's script."""
    chance = rng.random()
    if chance < 0.35 and (words := in_words(value, language)):
        return words
    digits = phrases()["disguises"]["digits"].get(language)
    return "".join(digits[int(digit)] for digit in str(value)) if digits and chance > 0.6 else str(value)


def age_statement(language: str, years: int, rng: random.Random) -> str:
    if language == "en" and rng.random() < 0.3:
        return rng.choice(_ENGLISH_AGES)(years, rng)
    pattern = rng.choice(lexicons()[language]["age"])
    other = min(years + rng.randint(1, 2), 17) if years < ADULT_FROM else years + rng.randint(1, 5)
    return pattern.format(n=written(years, language, rng), m=written(other, language, rng))


def _months(years: int, rng: random.Random) -> str:
    return f"{years * 12 + rng.randint(0, 11)} {rng.choice(['months', 'months old', 'month-old'])}"


def _birth(years: int, rng: random.Random) -> str:
    year = THIS_YEAR - years - 1
    separator = rng.choice("/.-")
    day = separator.join([f"{rng.randint(1, 28):02}", f"{rng.randint(1, 12):02}", str(year)])
    text = str(rng.choice(phrases()["ages"]["birth"]))
    return text.format(year + ADULT_FROM if text.startswith("class") else rng.choice([str(year), day]))


def _distance(years: int, rng: random.Random) -> str:
    """The distance to 18, such as `two years short of 18`."""
    apart = abs(ADULT_FROM - years) or 1
    text = str(rng.choice(phrases()["ages"]["before_18" if years < ADULT_FROM else "after_18"]))
    return text.format(written(apart, "en", rng), "year" if apart == 1 else "years")


def _sum(years: int, rng: random.Random) -> str:
    if years % 2 == 0 and rng.random() < 0.5:
        halves = [f"half of {2 * years}", f"twice {years // 2}", f"{years // 2}x2"]
        return f"{rng.choice(halves)} years old"
    part = rng.randint(1, max(1, years - 1))
    return rng.choice(["{} plus {} years old", "{}+{} years old", "{} and {} more years old"]).format(
        years - part, part
    )


_ORDINALS = (
    *("", "first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)


def _school(years: int, rng: random.Random) -> str:
    if years >= ADULT_FROM:
        return _idiom(years, rng)
    grade = max(1, min(12, years - 5))
    ordinal = _ORDINALS[grade]
    figure = f"{grade}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(grade, 'th') }"
    text = str(rng.choice(phrases()["ages"]["school"]))
    return rng.choice([text.format(ordinal), text.format(figure), f"grade {grade}", f"year {grade} pupil"])


def _idiom(years: int, rng: random.Random) -> str:
    return str(rng.choice(phrases()["ages"]["minor_idioms" if years < ADULT_FROM else "adult_idioms"]))


_ENGLISH_AGES: list[Callable[[int, random.Random], str]] = [_months, _birth, _distance, _sum, _school, _idiom]

# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def phrase_of_minor(language: str, rng: random.Random) -> str:
    words = lexicons()[language]
    if rng.random() < 0.45:
        return rng.choice(words["minor"])
    text = age_statement(language, rng.choice([*range(1, 18), *range(5, 18)]), rng)
    people = phrases()["frames"]["person"] if language == "en" else [*words["adult"], *words["minor"]]
    return text if rng.random() < 0.5 else _joined(text, rng.choice(people), rng)


def phrase_of_adult(language: str, rng: random.Random) -> str:
    words = lexicons()[language]
    people = [*words["adult"], *phrases()["frames"]["person"]] if language == "en" else words["adult"]
    if rng.random() < 0.5:
        return rng.choice(people)
    text = age_statement(language, rng.choice([*range(18, 40), *range(18, 90)]), rng)
    return text if rng.random() < 0.3 else _joined(text, rng.choice(people), rng)


def _joined(first: str, second: str, rng: random.Random) -> str:
    first, second = (first, second) if rng.random() < 0.5 else (second, first)
    return f"{first}{rng.choice([' ', ', ', ' ', ' - '])}{second}"


def lookalike(rng: random.Random) -> str:
    """An everyday phrase that shares words with sexual texts or with statements of age."""
    kind = rng.choices(["sexual", "number", "minor"], [4, 3, 3])[0]
    number = rng.randint(1, 40)
    text = in_words(number, "en") if rng.random() < 0.3 else number
    return str(rng.choice(phrases()["lookalikes"][kind])).format(n=text)


# ── disguises ────────────────────────────────────────────────────────────────────────────────────────────────────────

_INVISIBLE = "\u200b\u200c\u200d\u2060\u00ad"


def _exchanged(kind: str) -> Callable[[str, random.Random], str]:
    def disguise(text: str, rng: random.Random) -> str:
        table, share = phrases()["disguises"][kind], rng.uniform(0.3, 1)
        return "".join(rng.choice(table[one]) if one in table and rng.random() < share else one for one in text.lower())

    return disguise


def _spread(text: str, rng: random.Random) -> str:
    return " ".join(rng.choice(" .-_*").join(word) if len(word) > 2 else word for word in text.split())


def _with_invisible(text: str, rng: random.Random) -> str:
    return "".join(letter + (rng.choice(_INVISIBLE) if rng.random() < 0.4 else "") for letter in text)


def _drawn_out(text: str, rng: random.Random) -> str:
    return "".join(letter * (rng.randint(2, 3) if rng.random() < 0.15 else 1) for letter in text)


def _in_capitals(text: str, rng: random.Random) -> str:
    return text.upper() if rng.random() < 0.5 else text.title()


def _interrupted(text: str, rng: random.Random) -> str:
    """Insert a symbol or a control character into the longer words."""
    inserted = rng.choice(["{}", "()", "\x00", "/", "|", "\u3164", "<>", "\\", "'"])
    return " ".join(
        word[: len(word) // 2] + inserted + word[len(word) // 2 :] if len(word) > 3 else word for word in text.split()
    )


def _run_together(text: str, rng: random.Random) -> str:
    return text.replace(" ", "") if len(text) < 20 else _in_capitals(text, rng)


def _with_slips(text: str, rng: random.Random) -> str:
    """Insert one or two typing errors: letters exchanged, omitted, doubled or replaced."""
    letters = list(text)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(1, max(2, len(letters) - 1))
        if at + 1 >= len(letters) or not letters[at].isalpha():
            continue
        pair = letters[at : at + 2]
        letters[at : at + 2] = rng.choice([pair[::-1], pair[1:], [pair[0], *pair], [rng.choice("aeiourstn"), pair[1]]])
    return "".join(letters)


_DISGUISES = [_exchanged("leet"), _exchanged("homoglyphs"), _spread, _with_invisible, _drawn_out, _in_capitals]
_DISGUISES += [_run_together, _interrupted, _with_slips, _with_slips]


def disguised(text: str, rng: random.Random) -> str:
    return rng.choice(_DISGUISES)(text, rng)


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def labelled_text(rng: random.Random, everyday: Words) -> LabelledText:
    """One text. `everyday` has frequent words by language, which are inserted between the parts."""
    language = "en" if rng.random() < 0.45 else rng.choice(list(lexicons()))
    if rng.random() < 0.02:
        text = str(rng.choice(phrases()["frames"]["both"]))
        return LabelledText(_with_filler([text], language, everyday, rng), sexual=True, minor=True)
    sexual, minor = rng.random() < 0.5, rng.random() < 0.5
    person = phrase_of_minor(language, rng) if minor else _nobody_young(language, rng)
    parts = _sexual_parts(person, language, rng) if sexual else _plain_parts(person, language, rng)
    if rng.random() < 0.3:
        parts = [disguised(part, rng) if part and rng.random() < 0.8 else part for part in parts]
    if rng.random() < 0.2:
        parts.append(lookalike(rng))
    if rng.random() < 0.12:
        parts.append(rng.choice(lexicons()[language]["adult"]))
    return LabelledText(_with_filler(parts, language, everyday, rng), sexual, minor)


def everyday_text(rng: random.Random, everyday: Words) -> LabelledText:
    """A text of everyday words of one language, without sexual content or ages."""
    language = rng.choice(list(everyday))
    words = [rng.choice(everyday[language]) for _ in range(rng.randint(3, 25))]
    if rng.random() < 0.4:
        words.insert(rng.randrange(len(words)), lookalike(rng))
    return LabelledText(_between(language).join(words), sexual=False, minor=False)


def _nobody_young(language: str, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.55:
        return phrase_of_adult(language, rng)
    return lookalike(rng) if kind < 0.85 else ""


def _sexual_parts(person: str, language: str, rng: random.Random) -> list[str]:
    """The parts in one sentence frame, or apart with everyday words between them."""
    text = rng.choice(lexicons()["en" if rng.random() < 0.08 else language]["sexual"])
    kind = rng.random()
    if language == "en" and kind < 0.5:
        return [str(rng.choice(phrases()["frames"]["sexual"])).format(s=text, p=person)]
    return [text, person] if kind < 0.75 else [person, text]


def _plain_parts(person: str, language: str, rng: random.Random) -> list[str]:
    framed = language == "en" and person
    plain = str(rng.choice(phrases()["frames"]["plain"])).format(p=person) if framed else person
    return [plain] if rng.random() < 0.8 else [plain, lookalike(rng)]


def _with_filler(parts: list[str], language: str, everyday: Words, rng: random.Random) -> str:
    pool = everyday.get(language) or everyday.get("en") or ()
    filled: list[str] = []
    for part in [*parts, ""]:
        count = rng.choice([0, 0, 0, 1, 2, 3, 8]) if pool else 0
        filled += [_between(language).join(rng.choice(pool) for _ in range(count)), part]
    return rng.choice([" ", " ", ", ", ". ", "\n"]).join(one for one in filled if one)


def _between(language: str) -> str:
    return "" if language in _WITHOUT_SPACES else " "
