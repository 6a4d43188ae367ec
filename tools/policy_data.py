"""Generate the policy's data files: `pip install confusable-homoglyphs wordfreq`, `python -m tools.policy_data`.

core/policy/data/confusables.tsv    letters that Unicode lists as confusable with an ASCII letter or digit
core/policy/data/near-words.txt     everyday words and names close to a word of the lexicon
"""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files

from core.policy.loading import lexicon
from core.policy.spelling import CONFUSABLES, NEAR_WORDS

MIN_FREQUENCY = {"en": 2.4} | dict.fromkeys(("de", "es", "fr", "it", "nl", "pl", "pt"), 3.2)
"""Zipf frequency above which a word or name counts as an everyday one; 3.0 is once in a million words."""
DISGUISES = frozenset(
    [
        "babys",
        "blowjobs",
        "boyz",
        "childrens",
        "comming",
        "cuck",
        "erotik",
        "fick",
        "fuk",
        "highschool",
        "infact",
        "kiddos",
        "kidz",
        "kock",
        "nuda",
        "nudi",
        "nudne",
        "nudo",
        "paedophile",
        "paedophiles",
        "prostitutas",
        "prostitutie",
        "seks",
        "seksie",
        "sexe",
        "sexo",
        "sexuales",
        "sexuel",
        "thang",
        "nood",
        "fook",
        "fck",
        "nudos",
        "nudy",
        "pedofil",
        "pedo",
        "genitali",
        "yung",
    ]
)
"""Words of the word lists that are meant as the word that they resemble."""
_ONE_OR_L = {"1", "l"}


def _library_file(package: str, *parts: str) -> bytes:
    return files(package).joinpath(*parts).read_bytes()


def confusables() -> dict[str, str]:
    """ASCII letter or digit → the letters that look like it. `1` stands for both `i` and `l`, as in leet."""
    table = json.loads(_library_file("confusable_homoglyphs", "confusables.json"))
    found: dict[str, list[str]] = defaultdict(list)
    for letter, entries in table.items():
        plain = {entry["c"].lower() for entry in entries if len(entry["c"]) == 1 and entry["c"].isalnum()}
        plain = {one for one in plain if one.isascii()}
        written = unicodedata.normalize("NFKC", letter).casefold()
        if plain and len(written) == 1 and not written.isascii() and not written.isdecimal():
            found["1" if plain & _ONE_OR_L else min(plain)].append(written)
    return {plain: "".join(sorted(set(letters))) for plain, letters in sorted(found.items())}


def near_words() -> Iterator[str]:
    import wordfreq  # type: ignore[import-not-found]  # only for this command

    known = lexicon().spelling.hard_words
    for language, least in MIN_FREQUENCY.items():
        for word in wordfreq.iter_wordlist(language):
            if wordfreq.zipf_frequency(word, language) < least:
                break
            if word.isascii() and word.isalpha() and word not in known.words | DISGUISES and known.guesses(word):
                yield word


def main() -> None:
    lines = [f"{plain}\t{letters}" for plain, letters in confusables().items()]
    CONFUSABLES.write_text("\n".join(lines) + "\n", encoding="utf-8")
    NEAR_WORDS.write_text("\n".join(sorted(set(near_words()))) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
