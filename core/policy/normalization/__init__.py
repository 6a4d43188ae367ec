"""A text as streams of tokens, with what disguises its words undone layer by layer.

    1  decoded      percent, HTML and backslash escapes, tag characters; base64, hexadecimal, Morse and the like
    2  native       NFKC, format characters and stray marks dropped, casefold; every script keeps its letters
    3  folded       accents and look-alike letters to ASCII, markup dropped, emoji as words, leet read as letters
    4  joined       words spelled out letter by letter, cut in pieces or run together
    5  guessed      hard words misspelt, without vowels, by sound, reversed or enciphered

A token is a tuple of *readings*: the strings it may stand for, `#` among them where it is a number below 18. Rules are
matched against all streams, so that a layer can add a reading but never hide one. A letter of a script without word
breaks (Han, kana, Hangul) is a token of its own. Every pattern here is made of classes that exclude each other, with
possessive repeats, and every search is bounded per token: the time is linear in the text.

May import: core.policy.spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from core.policy.normalization.decoding import Deciphered, decipher, decoded, unshifted
from core.policy.normalization.emoji import spelled_out
from core.policy.normalization.joining import (
    folded_tokens,
    guessed_stream,
    joined_stream,
    spelt_out,
    spelt_with_signs,
    undrawn,
    without_masks,
)
from core.policy.normalization.letters import folded, native, turned_over
from core.policy.normalization.tokens import (
    ADULT_AGE,
    MINOR_NUMBER,
    Spelling,
    Stream,
    Token,
    TokenCache,
    plain_stream,
    without_tails,
)
from core.policy.spelling import doubtful_words, hard_words

__all__ = [
    "ADULT_AGE",
    "MINOR_NUMBER",
    "Spelling",
    "Stream",
    "Token",
    "TokenCache",
    "as_text",
    "decoded",
    "doubtful_streams",
    "folded",
    "native",
    "opaque",
    "streams",
]


@lru_cache(maxsize=4)
def _words(spelling: Spelling) -> frozenset[str]:
    return frozenset(spelling.words)


def _deciphered(text: str, spelling: Spelling) -> Deciphered:
    return decipher(decoded(text), _words(spelling))


def opaque(text: str, spelling: Spelling) -> bool:
    """Whether a passage of the text looks encoded, and decodes to no words."""
    return _deciphered(text, spelling).opaque


def _versions(text: str, spelling: Spelling) -> Iterator[str]:
    """The text as written, decoded, with emoji as words, and turned over: as a whole, or letter by letter."""
    yield text
    plain = _deciphered(text, spelling).text
    yield plain
    yield spelled_out(plain)
    if upright := turned_over(plain):
        yield upright
        yield upright[::-1]


def _flat_versions(letters: str, spelling: Spelling) -> Iterator[str]:
    """ASCII forms of `native` letters: as they are, with drawn, masked and separate letters put right, unshifted."""
    flat = spelt_with_signs(folded(letters))
    yield flat
    yield spelt_out(without_masks(undrawn(flat), hard_words(spelling)))
    if plain := unshifted(flat, _words(spelling)):
        yield plain


_QUOTIENT_OF_YEARS = re.compile(r"(?<![\d./])(\d{2,3}) [/÷] ([2-6])(?=[ -](?:years?|yrs?)\b)")


def _divided(text: str) -> str:
    """`36 / 2 years` as `18 years`, where the quotient is an adult's age: nobody there is two years old."""

    def quotient(found: re.Match[str]) -> str:
        years, rest = divmod(int(found[1]), int(found[2]))
        return str(years) if not rest and years >= ADULT_AGE else found[0]

    return _QUOTIENT_OF_YEARS.sub(quotient, text) if "/" in text or "÷" in text else text


def streams(text: str, spelling: Spelling) -> tuple[Stream, ...]:
    """All different streams of `text`: as written and decoded, each in its own script, folded, joined and guessed."""
    known = hard_words(spelling)
    found: dict[Stream, None] = {}
    for version in dict.fromkeys(_versions(_divided(text), spelling)):
        letters = native(version)
        found[plain_stream(letters, spelling)] = None
        for flat in dict.fromkeys(_flat_versions(letters, spelling)):
            tokens = without_tails(folded_tokens(flat, spelling, known), spelling)
            joined = joined_stream(tokens, spelling, known)
            found |= dict.fromkeys((tokens, joined, guessed_stream(joined, known)))
    return tuple(found)


def doubtful_streams(text: str, spelling: Spelling) -> tuple[Stream, ...]:
    """Streams with every guess at a misspelt word, and with numbers that were disguised; none where there is neither.

    For texts beside sexual content: `infent` and `siksteen` are read as they sound there, and names elsewhere.
    """
    known = doubtful_words(spelling)
    found: dict[Stream, None] = {}
    for version in dict.fromkeys(_versions(_divided(text), spelling)):
        letters = native(version)
        plain = {token[0] for token in plain_stream(letters, spelling)}
        for flat in dict.fromkeys(_flat_versions(letters, spelling)):
            tokens = without_tails(folded_tokens(flat, spelling, known), spelling)
            joined = joined_stream(tokens, spelling, known)
            guessed = guessed_stream(joined, known, doubtful=True)
            if guessed != joined or any(_number_in(token, spelling) not in {"", *plain} for token in joined):
                found[guessed] = None
    return tuple(found)


def _number_in(token: Token, spelling: Spelling) -> str:
    """The number word below 18 that a token may stand for, or ""."""
    return next((reading for reading in token if reading in spelling.numbers), "")


def as_text(stream: Stream, spelling: Spelling) -> str:
    """A stream as words, each number in its undisguised form."""
    return " ".join(_number_in(token, spelling) or token[0] for token in stream)
