"""Convert a text to streams of tokens; each layer undoes one kind of disguise.

    1  decoded      percent, HTML and backslash escapes, tag characters; base64, hexadecimal, Morse and the like
    2  native       NFKC, casefold, without format characters and surplus marks; every script keeps its letters
    3  folded       ASCII for accented and look-alike letters, no markup, emoji as words, leet as letters
    4  joined       separate letters and pieces joined to words, words run together split
    5  guessed      hard words that are misspelt, without vowels, written by sound, reversed or enciphered

A token is a tuple of *readings*: the strings that it may mean, with `#` among them for a number below 18. Rules are
matched against all streams, so that a layer can add a reading but not remove one. A letter of a script without word
breaks (Han, kana, Hangul) is a token. The time is linear in the text: the patterns consist of disjoint character
classes with possessive repeats, and every search is bounded per token.

May import: core.policy.spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from core.policy.normalization.decoding import (
    Deciphered,
    decipher,
    decoded,
    restore_reversed,
    restore_shifted,
)
from core.policy.normalization.emoji import emoji_to_words
from core.policy.normalization.joining import (
    fill_masked_letters,
    folded_tokens,
    guessed_stream,
    join_separated_letters,
    join_spaced_letters,
    joined_stream,
    replace_drawn_letters,
    split_ages,
)
from core.policy.normalization.letters import folded, native, turn_upright
from core.policy.normalization.segmentation import split_run_together
from core.policy.normalization.tokens import (
    ADULT_AGE,
    MINOR_NUMBER,
    Spelling,
    Stream,
    Token,
    TokenCache,
    plain_stream,
    without_number_tails,
    word_set,
)
from core.policy.spelling import DOUBTFUL

__all__ = [
    "ADULT_AGE",
    "MINOR_NUMBER",
    "Spelling",
    "Stream",
    "Token",
    "TokenCache",
    "as_text",
    "deciphered",
    "decoded",
    "doubtful_streams",
    "folded",
    "native",
    "opaque",
    "streams",
    "word_set",
]


_DOUBTFUL = frozenset(DOUBTFUL)


@lru_cache(maxsize=4)
def _words(spelling: Spelling) -> frozenset[str]:
    return frozenset(spelling.words)


def _deciphered(text: str, spelling: Spelling) -> Deciphered:
    return decipher(decoded(text), _words(spelling))


def opaque(text: str, spelling: Spelling) -> bool:
    """Whether a passage of the text looks encoded but does not decode to words."""
    return _deciphered(text, spelling).opaque


def deciphered(text: str, spelling: Spelling) -> str:
    """Return the text with its escapes and encoded passages decoded."""
    return _deciphered(text, spelling).text


def _versions(text: str, spelling: Spelling) -> Iterator[str]:
    """Yield the text as written, decoded, with emoji as words, and with turned letters upright, in both directions."""
    yield text
    plain = _deciphered(text, spelling).text
    yield plain
    yield emoji_to_words(plain)
    if upright := turn_upright(plain):
        yield upright
        yield upright[::-1]


def _flat_versions(letters: str, spelling: Spelling) -> Iterator[str]:
    """Yield ASCII forms of `native` letters: plain; with drawn, masked and separate letters restored; shifted back."""
    flat = join_separated_letters(folded(letters))
    yield flat
    shown = fill_masked_letters(replace_drawn_letters(flat), spelling.hard_words)
    yield join_spaced_letters(split_ages(shown))
    if plain := restore_shifted(flat, _words(spelling)):
        yield plain


_TIME_OF_DAY = re.compile(r"(?i)(?<=\bat )((?:[01]\d|2[0-3])):([0-5]\d)(?![\d:])")
_IN_BASE = re.compile(
    r"(?i)(?<!\w)(0x[\da-f]{1,2}|0b[01]{1,7}|0o[0-7]{1,3})(?=\W{0,2}(?:years?|yrs?|yo|y/o)(?!\w))"
    r"|(?<=\bage)(\D{1,4})(0x[\da-f]{1,2}|0b[01]{1,7}|0o[0-7]{1,3})(?!\w|\W{1,2}0)"
)
_QUOTIENT_OF_YEARS = re.compile(r"(?<![\d./])(\d{2,3}) [/÷] ([2-6])(?=[ -](?:years?|yrs?)\b)")


def _resolve_figures(text: str) -> str:
    """Rewrite figures that would be read wrongly: times of day, ages in another base, and quotients.

    `at 16:05` becomes one number, so that its hour is not an age; `0x0f years` becomes `15 years`. `36 / 2 years`
    becomes `18 years`, because the quotient is an adult's age, so that `2 years` is not an age.
    """
    text = _TIME_OF_DAY.sub(r"\1\2", text) if ":" in text else text
    text = _IN_BASE.sub(lambda found: f"{found[2] or ''}{int(found[1] or found[3], 0)}", text) if "0" in text else text

    def quotient(found: re.Match[str]) -> str:
        years, rest = divmod(int(found[1]), int(found[2]))
        return str(years) if not rest and years >= ADULT_AGE else found[0]

    return _QUOTIENT_OF_YEARS.sub(quotient, text) if "/" in text or "÷" in text else text


def streams(text: str, spelling: Spelling) -> tuple[Stream, ...]:
    """Return all distinct streams of `text`: as written and decoded, each native, folded, joined and guessed."""
    known = spelling.hard_words
    found: dict[Stream, None] = {}
    for version in dict.fromkeys(_versions(_resolve_figures(text), spelling)):
        letters = native(version)
        found[plain_stream(letters, spelling)] = None
        for flat in dict.fromkeys(_flat_versions(letters, spelling)):
            tokens = without_number_tails(folded_tokens(flat, spelling, known), spelling)
            joined = joined_stream(tokens, spelling, known)
            found |= dict.fromkeys((tokens, joined, guessed_stream(joined, known)))
    return tuple(found)


def doubtful_streams(text: str, spelling: Spelling) -> tuple[Stream, ...]:
    """Return the streams with all guesses at misspelt words and with disguised numbers; none if there are neither.

    They count only with sexual content: `infent` and `siksteen` are misspellings there, and may be names elsewhere.
    """
    known = spelling.doubtful_words
    found: dict[Stream, None] = {}
    for version in dict.fromkeys(_versions(_resolve_figures(text), spelling)):
        letters = native(version)
        plain = {token[0] for token in plain_stream(letters, spelling)}
        unseen = _DOUBTFUL - plain
        restored = {*restore_reversed(letters, _words(spelling))} - {letters}
        for written in (letters, *sorted(restored)):
            flats = [*_flat_versions(written, spelling)]
            for flat in dict.fromkeys((*flats, *map(split_run_together, flats))):
                tokens = without_number_tails(folded_tokens(flat, spelling, known), spelling)
                joined = joined_stream(tokens, spelling, known)
                guessed = guessed_stream(joined, known, doubtful=True)
                disguised = any(
                    _number_in(token, spelling) not in {"", *plain} or token[0] in unseen for token in joined
                )
                if guessed != joined or disguised or written is not letters or flat not in flats:
                    found[guessed] = None
    return tuple(found)


def _number_in(token: Token, spelling: Spelling) -> str:
    """Return the number word below 18 among a token's readings, or ""."""
    return next((reading for reading in token if reading in spelling.numbers), "")


def as_text(stream: Stream, spelling: Spelling) -> str:
    """Return a stream as text, with undisguised numbers."""
    return " ".join(_number_in(token, spelling) or token[0] for token in stream)
