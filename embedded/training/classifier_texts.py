"""Training texts of the text classifier, labelled by construction.

A text consists of parts from `classifier_words.toml`, `classifier_english.toml` and `classifier_phrases.toml`: sexual
or not, with or without a statement of a person's age, with phrases that decide nothing and everyday words between them.
Each part decides only one label, so that the classifier's two heads learn independently; only their combination refuses
a text. Three texts in ten are disguised: other letters, symbols, spaces, typing errors. The module shares no code with
`core.policy`, so that classifier and rules fail in different ways.

May import: the standard library, embedded.training.classifier_disguises.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from embedded.training.classifier_disguises import disguised

THIS_YEAR = datetime.now(UTC).year
ADULT_FROM = 18
_FOLDER = Path(__file__).parent
_WITHOUT_SPACES = {"ja", "zh", "th"}
_WELL_LISTED = ("de", "fr", "es", "it", "nl", "pl", "pt", "ru", "ar", "hi", "ja", "ko", "zh")
Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A labelled text; `minor`: it states that a person is under 18."""

    text: str
    sexual: bool
    minor: bool


@cache
def lexicons() -> dict[str, dict[str, list[str]]]:
    """Return the word lists of each language: `sexual`, `minor`, `adult`, `age`; in some also `born` and `everyday`."""
    return tomllib.loads((_FOLDER / "classifier_words.toml").read_text(encoding="utf-8"))


@cache
def english() -> dict[str, dict[str, list[str]]]:
    """Return English phrases with slots, by section and kind."""
    return tomllib.loads((_FOLDER / "classifier_english.toml").read_text(encoding="utf-8"))


@cache
def phrases() -> dict[str, dict[str, Any]]:
    """Return sentence frames, harmless look-alikes, English ages, numbers and disguises."""
    return tomllib.loads((_FOLDER / "classifier_phrases.toml").read_text(encoding="utf-8"))


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


def written(value: int, language: str, rng: random.Random, *, figures: bool = False) -> str:
    """Write `value` in ASCII digits, in words (not with `figures`), or in the digits of the language's script."""
    chance = rng.random()
    if chance < 0.35 and not figures and (words := in_words(value, language)):
        return words
    digits = phrases()["disguises"]["digits"].get(language)
    return "".join(digits[int(digit)] for digit in str(value)) if digits and chance > 0.6 else str(value)


def filled(phrase: str, years: Sequence[int], language: str, rng: random.Random) -> str:
    """Fill the slots of `phrase`: `{n}` with one of `years`, `{k}` with any number, others with words of `[slots]`."""

    def word(slot: re.Match[str]) -> str:
        if slot[1] in {"n", "k"}:
            value = rng.choice(years) if slot[1] == "n" else rng.choice([*range(1, 20), *range(1, 100)])
            return written(value, language, rng, figures=_touches_a_letter(slot))
        return filled(rng.choice(english()["slots"][slot[1]]), years, language, rng)

    return re.sub(r"\{(\w+)\}", word, phrase)


def _touches_a_letter(slot: re.Match[str]) -> bool:
    before, after = slot.string[: slot.start()][-1:], slot.string[slot.end() :][:1]
    return any(one.isascii() and (one.isalpha() or one in "=$/%:#") for one in (before, after) if one)


def age_statement(language: str, years: int, rng: random.Random) -> str:
    if language == "en" and rng.random() < 0.6:
        return rng.choice(_ENGLISH_AGES)(years, rng)
    if (born := lexicons()[language].get("born")) and rng.random() < 0.1:
        return rng.choice(born).format(y=_year_of_birth(years, rng))
    pattern = rng.choice(lexicons()[language]["age"])
    other = min(years + rng.randint(1, 2), 17) if years < ADULT_FROM else years + rng.randint(1, 5)
    return pattern.format(n=written(years, language, rng), m=written(other, language, rng))


def _months(years: int, rng: random.Random) -> str:
    return f"{years * 12 + rng.randint(0, 11)} {rng.choice(['months', 'months old', 'month-old'])}"


def _birth(years: int, rng: random.Random) -> str:
    year = _year_of_birth(years, rng)
    separator = rng.choice("/.-")
    day = separator.join([f"{rng.randint(1, 28):02}", f"{rng.randint(1, 12):02}", str(year)])
    text = str(rng.choice(phrases()["ages"]["birth"]))
    return text.format(year + ADULT_FROM if text.startswith("class") else rng.choice([str(year), day]))


def _year_of_birth(years: int, rng: random.Random) -> int:
    """Return a birth year of somebody who is `years` old this year."""
    return THIS_YEAR - years - (rng.randint(0, 1) if years >= ADULT_FROM else 0)


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


def _relation(years: int, rng: random.Random) -> str:
    """An age by another person's, or by another time: `four years younger than her 17-year-old brother`."""
    apart = rng.randint(1, min(12, years)) if years < ADULT_FROM else rng.randint(1, years - 8)
    words = {"d": apart, "older": years + apart, "younger": max(0, years - apart), "twice": 2 * years, "n": years}
    text = str(rng.choice(phrases()["ages"]["relations"]))
    shown = {name: written(value, "en", rng, figures=name not in {"d", "n"}) for name, value in words.items()}
    return filled(text.format_map({**shown, "her": "{her}", "she": "{she}"}), (), "en", rng)


_ENGLISH_AGES: list[Callable[[int, random.Random], str]] = [_months, _birth, _distance, _sum, _school, _idiom]
_ENGLISH_AGES += [_relation, _relation]


_MINOR_YEARS = (*range(1, 18), *range(5, 18))
_ADULT_YEARS = (*range(18, 40), *range(18, 90))


def phrase_of_minor(language: str, rng: random.Random) -> str:
    words = lexicons()[language]
    if language == "en" and rng.random() < 0.7:
        return _of_any_kind("minor", _MINOR_YEARS, rng)
    if rng.random() < (0.45 if language == "en" else 0.6):
        return rng.choice(words["minor"])
    text = age_statement(language, rng.choice(_MINOR_YEARS), rng)
    people = phrases()["frames"]["person"] if language == "en" else [*words["adult"], *words["minor"]]
    return text if rng.random() < 0.5 else _joined(text, rng.choice(people), rng)


def phrase_of_adult(language: str, rng: random.Random) -> str:
    if language == "en" and rng.random() < 0.7:
        return _of_any_kind("adult", _ADULT_YEARS, rng)
    words = lexicons()[language]
    people = [*words["adult"], *phrases()["frames"]["person"]] if language == "en" else words["adult"]
    if rng.random() < 0.5:
        return rng.choice(people)
    text = age_statement(language, rng.choice(_ADULT_YEARS), rng)
    return text if rng.random() < 0.3 else _joined(text, rng.choice(people), rng)


def _of_any_kind(section: str, years: Sequence[int], rng: random.Random) -> str:
    """An English phrase; each kind of the section is as likely as the others."""
    return filled(rng.choice(english()[section][rng.choice(list(english()[section]))]), years, "en", rng)


def neither(language: str, rng: random.Random) -> str:
    """Return an everyday phrase that is neither sexual nor a statement of age, and may share words with both."""
    if (own := lexicons()[language].get("everyday")) and rng.random() < (0.25 if language == "en" else 0.8):
        return filled(rng.choice(own), _ADULT_YEARS, language, rng)
    return _of_any_kind("none", _ADULT_YEARS, rng) if rng.random() < 0.7 else lookalike(rng)


def _joined(first: str, second: str, rng: random.Random) -> str:
    first, second = (first, second) if rng.random() < 0.5 else (second, first)
    return f"{first}{rng.choice([' ', ', ', ' ', ' - '])}{second}"


def lookalike(rng: random.Random) -> str:
    """Return an everyday phrase that shares words with sexual texts or with statements of age."""
    kind = rng.choices(["sexual", "number", "minor"], [4, 3, 3])[0]
    number = rng.randint(1, 40)
    text = in_words(number, "en") if rng.random() < 0.3 else number
    return str(rng.choice(phrases()["lookalikes"][kind])).format(n=text)


def labelled_text(rng: random.Random, everyday: Words) -> LabelledText:
    """Generate a labelled text. `everyday` has frequent words by language, to insert between the parts."""
    language = _language(rng)
    if rng.random() < 0.02:
        text = str(rng.choice(phrases()["frames"]["both"]))
        return LabelledText(_with_filler([text], language, everyday, rng), sexual=True, minor=True)
    sexual, minor = rng.random() < 0.5, rng.random() < 0.5
    person = phrase_of_minor(language, rng) if minor else _nobody_young(language, rng)
    parts = _sexual_parts(person, language, rng) if sexual else _plain_parts(person, language, rng)
    if rng.random() < 0.3:
        parts = [disguised(part, rng) if part and rng.random() < 0.8 else part for part in parts]
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        parts.insert(rng.randint(0, len(parts)), _nobody_young(language, rng))
    if rng.random() < 0.25:
        return LabelledText(_as_scene(parts, rng), sexual, minor)
    return LabelledText(_with_filler(parts, language, everyday, rng), sexual, minor)


def everyday_text(rng: random.Random, everyday: Words) -> LabelledText:
    """Generate a text of everyday words of one language, without sexual content or ages."""
    language = rng.choice(list(everyday))
    words = [rng.choice(everyday[language]) for _ in range(rng.randint(3, 25))]
    for _ in range(rng.choice([0, 0, 1, 2])):
        words.insert(rng.randrange(len(words)), neither(language, rng))
    return LabelledText(_between(language).join(words), sexual=False, minor=False)


def _language(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.4:
        return "en"
    return rng.choice(_WELL_LISTED) if chance < 0.8 else rng.choice(list(lexicons()))


def _nobody_young(language: str, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        return phrase_of_adult(language, rng)
    return neither(language, rng) if kind < 0.92 else ""


def _sexual_parts(person: str, language: str, rng: random.Random) -> list[str]:
    """Return a sexual text and the person in one sentence, or as two parts in either order."""
    text = rng.choice(lexicons()["en" if rng.random() < 0.08 else language]["sexual"])
    kind = rng.random()
    if language == "en" and kind < 0.5:
        return [str(rng.choice(phrases()["frames"]["sexual"])).format(s=text, p=person)]
    return [text, person] if kind < 0.75 else [person, text]


def _plain_parts(person: str, language: str, rng: random.Random) -> list[str]:
    framed = language == "en" and person
    return [str(rng.choice(phrases()["frames"]["plain"])).format(p=person) if framed else person]


def _as_scene(parts: list[str], rng: random.Random) -> str:
    """Insert the parts between sentences about adults, so that the text resembles a prompt of a language model."""
    sentences = list(parts)
    for _ in range(rng.randint(1, 6)):
        text = filled(rng.choice(english()["scene"][rng.choice(list(english()["scene"]))]), _ADULT_YEARS, "en", rng)
        sentences.insert(rng.randint(0, len(sentences)), text)
    return ". ".join(one[:1].upper() + one[1:] for one in sentences if one)


def _with_filler(parts: list[str], language: str, everyday: Words, rng: random.Random) -> str:
    pool = everyday.get(language) or everyday.get("en") or ()
    pieces: list[str] = []
    for part in [*parts, ""]:
        count = rng.choice([0, 0, 1, 2, 4, 8, 16]) if pool else 0
        words = [rng.choice(pool) for _ in range(count)]
        if len(words) > 1 and rng.random() < 0.3:  # a number between everyday words is not an age
            words.insert(rng.randrange(len(words)), written(rng.choice([*range(1, 20), *range(1, 100)]), language, rng))
        pieces += [_between(language).join(words), part]
    return rng.choice([" ", " ", ", ", ". ", "\n"]).join(one for one in pieces if one)


def _between(language: str) -> str:
    return "" if language in _WITHOUT_SPACES else " "
