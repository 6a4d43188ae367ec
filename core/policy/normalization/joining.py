"""Restore disguised words: leet, masked letters, separate letters, words in pieces or run together, misspellings.

May import: core.policy.normalization.tokens, core.policy.spelling.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from operator import is_

from core.policy.normalization.tokens import (
    ADULT_AGE,
    MAX_JOINED,
    MINOR_NUMBER,
    NUMBER,
    SPELT_WITH_MARKS,
    UNSPACED,
    Spelling,
    Stream,
    Token,
    readings,
)
from core.policy.spelling import CONTEXT, HardWords, english, is_everyday

_SYMBOLS = "@$!|€£¢+¡*#§"
_AT_THE_START = "@$€£¢|!*#"
_AT_THE_END = "@$€£|!"
_CHUNK = re.compile(
    rf"[{UNSPACED}]|{NUMBER}(?![^\W_{UNSPACED}]|[{_SYMBOLS}][^\W\d_])"
    rf"|[{re.escape(_AT_THE_START)}]{{0,3}}+(?:[^\W_{UNSPACED}]|[{SPELT_WITH_MARKS}])++"
    rf"(?:[{re.escape(_SYMBOLS)}]{{1,6}}+(?:[^\W_{UNSPACED}]|[{SPELT_WITH_MARKS}])++)*[{re.escape(_AT_THE_END)}]*+"
)
LETTERS_OF = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "gb", "7": "tl", "8": "b", "9": "gq", "@": "a",
    "$": "s", "!": "il", "|": "il", "€": "e", "£": "l", "¢": "c", "+": "t", "¡": "i", "§": "s", "(": "c", ")": "d",
    "<": "c", "^": "a",
}  # fmt: skip
"""Letters that a digit or a symbol may represent in a word."""
_LEET = {ord(sign): letters[0] for sign, letters in LETTERS_OF.items() if sign not in "()<^"}
_LEET_L = _LEET | {ord("1"): "l", ord("!"): "l", ord("|"): "l"}
_LETTERED_DIGIT = str.maketrans("liozs", "11025")
_DIGITS_THEN_LETTERS = re.compile(r"(?<!\d)(\d++)([^\W\d_]++)")
_ORDINAL_ENDINGS = {"st", "nd", "rd", "th"}
_MASKS = "*#"


_DRAWN = (
    ("/\\/\\", "m"), ("|\\/|", "m"), ("|\\|", "n"), ("|_|", "u"), ("|-|", "h"), ("\\/", "v"), ("/\\", "a"), ("()", "o"),
    ("[]", "o"), ("{}", ""), ("|)", "d"), ("|]", "d"), ("|>", "p"), ("|<", "k"), ("|{", "k"), ("}{", "h"), ("><", "x"),
    ("|=", "f"), ("|_", "l"), ("cl|", "d"),
)  # fmt: skip
"""Letters that are drawn with several symbols."""
_BRACKETS = str.maketrans("", "", "[](){}")
_INSIDE_A_WORD = re.compile(r"[^\W_][\[\](){}]{1,4}+[^\W_]")


def replace_drawn_letters(text: str) -> str:
    """Replace letters drawn with symbols, and remove brackets inside words: `k1|)` → `k1d`, `n[u]d[e]` → `nude`."""
    if _INSIDE_A_WORD.search(text):
        text = text.translate(_BRACKETS)
    if "|" in text or "\\" in text or "><" in text:
        for drawn, letter in _DRAWN:
            text = text.replace(drawn, letter)
    return text


def _leet_readings(chunk: str, spelling: Spelling, known: HardWords) -> Iterator[Token]:
    """Yield the tokens of a chunk that mixes letters with digits or symbols: `15yo`, `l5`, `n4ked`, `s*x`."""
    if (split := _DIGITS_THEN_LETTERS.fullmatch(chunk)) and (
        split[2] in spelling.words or split[2] in _ORDINAL_ENDINGS
    ):
        yield readings(split[1], spelling)
        yield readings(split[2], spelling)
        return
    letters = [chunk.translate(_LEET), chunk.translate(_LEET_L), *_found_in_lattice(chunk, spelling)]
    if any(mask in chunk for mask in _MASKS):
        letters = [word for plain in letters for word in _unmasked(plain, known)]
    found = [reading for word in letters if word for reading in readings(word, spelling)]
    digits = chunk.translate(_LETTERED_DIGIT)
    if digits.isdecimal() and int(digits[:9]) < ADULT_AGE:
        found.append(MINOR_NUMBER)
    yield tuple(dict.fromkeys(found or [chunk]))


def _found_in_lattice(chunk: str, spelling: Spelling) -> Iterator[str]:
    """Yield the lexicon's words that a chunk can spell, with each symbol read as any of its letters."""
    ways = {""}
    for sign in chunk[:MAX_JOINED]:
        ways = {way + letter for way in ways for letter in LETTERS_OF.get(sign, sign)} & spelling.beginnings
        if not ways:
            return
    yield from sorted(way for way in ways if way in spelling.words)


_MASK_SIGNS = re.compile(f"[{_MASKS}]")


def _unmasked(word: str, known: HardWords) -> Iterator[str]:
    """Yield a word without its masks, and the hard word that fits: `nde` and `nude` for `n*de`."""
    yield _MASK_SIGNS.sub("", word)
    if hidden := known.masked.get(_MASK_SIGNS.sub("?", word)):
        yield hidden


_MASKED_FIELD = re.compile(r"(?<![^\W_])[^\W\d_]{1,12}+(?:[*#_.?~•-][^\W\d_]{1,12}+|[*#]){1,2}(?![^\W_])")
_MASK = re.compile(r"[*#_.?~•-]")


def fill_masked_letters(text: str, known: HardWords) -> str:
    """Replace masked forms of hard words, in which each symbol hides one letter: `n_de`, `ch?ld`."""

    def unmasked(found: re.Match[str]) -> str:
        return known.masked.get(_MASK.sub("?", found[0]), found[0])

    return _MASKED_FIELD.sub(unmasked, text)


def folded_tokens(text: str, spelling: Spelling, known: HardWords) -> Iterator[Token]:
    for chunk in _CHUNK.findall(text):
        if chunk.isalpha():
            yield readings(chunk, spelling)
            continue
        word = chunk.lstrip(_AT_THE_START).rstrip(_AT_THE_END)
        if not any(letter.isalpha() for letter in chunk):
            yield readings(word, spelling)
            continue
        mixed = list(_leet_readings(chunk, spelling, known))
        yield (*readings(word, spelling), *mixed[0]) if word.isalpha() else mixed[0]
        yield from mixed[1:]


_SPELT_OUT = re.compile(r"(?<![^\W_])[^\W_]([\W_]{1,3}+)[^\W_](?![^\W_])(?:\1[^\W_](?![^\W_]))+")
_SPELT_WITH_SIGNS = re.compile(r"(?<![^\W_])[^\W_](_|[^\w\s])[^\W_](?![^\W_])(?:\1[^\W_](?![^\W_]))+")
_AGE_APART = re.compile(r"(?<![\w.,])(1)[\W_]{1,3}([0-7])(?=[\W_]{0,3}y(?:o|rs?|ears?)?(?![^\W_]))")

_YEAR_OLD_APART = re.compile(
    r"y[\W_]{0,2}[e3][\W_]{0,2}[a4][\W_]{0,2}r[\W_]{0,3}(?:[s5][\W_]{0,3})?[o0][\W_]{0,2}[l1][\W_]{0,2}d"
)
_YEAR_OLD = re.compile(r"(?<![^\W_])years?[\W_]{1,3}old")
_YR_OLD = re.compile(r"(?<=[^\W_])yrs?[\W_]?old")
_YEARS_OF_AGE = re.compile(r"(?<=[^\W_])years?ofage(?![^\W_])")
_AGED_RUN_TOGETHER = re.compile(
    r"(?<![^\W_])(girl|boy|child|kid|teen|twins|student|)(aged?)(?=(?:\d{1,2}|two|three|four|five|six|seven|eight|nine|"
    r"ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)(?![^\W_]))"
)
_YO_WITH_ZERO = re.compile(r"(?<![^\W\d_])y[./]{1,2}0(?![^\W_])")
_YO_RUN_TOGETHER = re.compile(
    r"(?<![^\W_])(\d{1,2})y/?o(?=(?:girl|boy|kid|child|teen|twin|male|female|student|daughter|son|lad|lass)s?(?![^\W_]))"
)


def split_ages(text: str) -> str:
    """Restore the spaces of an age: `thirteenyearoldgirl` → `thirteen year old girl`, `1 2-yea r-old` → `1 2-year old`.

    `y.0.` and `y/0` become `yo`.
    """

    def year_old(found: re.Match[str]) -> str:
        start, end = found.span()
        if _YEAR_OLD.match(text, start):
            return found[0]
        return " " * text[start - 1 : start].isalnum() + "year old" + " " * text[end : end + 1].isalnum()

    text = _AGED_RUN_TOGETHER.sub(r"\1 \2 ", text) if "age" in text else text
    if "y" not in text:
        return text
    apart = _YO_RUN_TOGETHER.sub(r"\1 yo ", _YO_WITH_ZERO.sub(" yo ", _YEAR_OLD_APART.sub(year_old, text)))
    return _YEARS_OF_AGE.sub(" years of age", _YR_OLD.sub(" yr old ", apart))


def join_separated_letters(text: str) -> str:
    """Join letters separated by a symbol other than a space: `n.u.d.e  g.i.r.l` → `nude  girl`."""
    return _SPELT_WITH_SIGNS.sub(_without_separator, text)


def join_spaced_letters(text: str) -> str:
    """Join single letters with the same separator of up to three characters: `n u d e` → `nude`, `1 3 yo` → `13 yo`."""
    return _SPELT_OUT.sub(_without_separator, _AGE_APART.sub(r"\1\2", text))


def _without_separator(found: re.Match[str]) -> str:
    return found[0].replace(found[1], "")


_FREQUENT = 2_000
"""Minimum count in the corpus of subtitles of a piece that is itself a word."""
_SHORTEST_OF_TWO = 4
_SHORTEST_OF_TWO_WORDS = 6
_MAX_PIECES_OF_LETTERS = 4


def _extend_prefixes(ways: Collection[str], piece: str, prefixes: frozenset[str]) -> set[str]:
    """Return each prefix continued by each reading of `piece`, as far as the results are prefixes of words."""
    if piece.isalpha():
        return {way + piece for way in ways if way + piece in prefixes}
    for sign in piece:
        ways = {way + letter for way in ways for letter in LETTERS_OF.get(sign, sign)} & prefixes
        if not ways:
            break
    return set(ways)


@lru_cache(maxsize=32_768)
def _prefix_readings(piece: str, spelling: Spelling) -> frozenset[str]:
    """Return the readings of a piece that are prefixes of words."""
    return frozenset(_extend_prefixes({""}, piece, spelling.beginnings))


def _join_pieces(stream: Stream, start: int, spelling: Spelling, known: HardWords) -> tuple[str, int] | None:
    """Return the longest word joined from the token `start` and later ones, and the index of the next token.

    Single letters may form any word. Longer pieces form only the words that the lexicon marks, because `lol i` is
    ordinary chat, and hard words of which one piece is not a word.
    """
    first = stream[start][0]
    ways: Collection[str] = _prefix_readings(first, spelling)
    best, single = None, len(first) == 1
    for end in range(start + 1, min(start + MAX_JOINED, len(stream))):
        piece = stream[end][0]
        ways = _extend_prefixes(ways, piece, spelling.beginnings)
        if not ways:
            break
        single = single and len(piece) == 1
        if not any(way in words for way in ways for words in (spelling.words, spelling.in_pieces, known.words)):
            continue
        if not any(map(_has_letter, stream[start : end + 1])):
            continue  # a date such as `10/11` is not leet
        if word := _known_word(ways, stream[start : end + 1], spelling, known, single=single):
            best = (word, end + 1)
    return best


def _has_letter(piece: Token) -> bool:
    return any(map(str.isalpha, piece[0]))


def _known_word(
    ways: Collection[str], pieces: Stream, spelling: Spelling, known: HardWords, *, single: bool
) -> str | None:
    written = [token[0] for token in pieces]
    if single and len(written) > 2:
        return next((way for way in sorted(ways) if way in spelling.words), None)
    if _are_whole_words(written, spelling):
        return None
    if marked := next((way for way in sorted(ways) if way in spelling.in_pieces), None):
        return marked
    if len(written) > _MAX_PIECES_OF_LETTERS or not _has_partial_word(written):
        return None
    return next((way for way in sorted(ways) if way in known.words and len(way) >= _SHORTEST_OF_TWO), None)


def _are_whole_words(written: Sequence[str], spelling: Spelling) -> bool:
    """Whether the pieces are words, as in `child s` (for `child's`), or are listed as `whole_pieces`."""
    return " ".join(written) in spelling.whole_pieces or any(len(p) > 1 and p in spelling.words for p in written)


def _has_partial_word(written: Sequence[str]) -> bool:
    """Whether one of the pieces is not a word: true for `na ked`, false for `pen is`."""
    return any(len(piece) > 1 and english().get(piece, 0) < _FREQUENT for piece in written)


@lru_cache(maxsize=32_768)
def _split_compound(word: str, spelling: Spelling) -> Stream:
    """Split a word that consists of two hard words; empty for other words."""
    if not _SHORTEST_OF_TWO_WORDS <= len(word) <= MAX_JOINED or word in spelling.words or not word.isascii():
        return ()
    cuts = ((word[:at], word[at:]) for at in range(3, len(word) - 2))
    found = next((cut for cut in cuts if cut[0] in spelling.compounds and cut[1] in spelling.compounds), ())
    return tuple((half,) for half in found)


def joined_stream(stream: Stream, spelling: Spelling, known: HardWords) -> Stream:
    tokens: list[Token] = []
    skipped_to = 0
    for at, token in enumerate(stream):
        if at < skipped_to:
            continue
        if _prefix_readings(token[0], spelling) and (whole := _join_pieces(stream, at, spelling, known)):
            tokens.append(readings(whole[0], spelling))
            skipped_to = whole[1]
        else:
            tokens += (len(token[0]) >= _SHORTEST_OF_TWO_WORDS and _split_compound(token[0], spelling)) or (token,)
    return tuple(tokens)


_LONG_WORD = 8


def guessed_stream(stream: Stream, known: HardWords, *, doubtful: bool = False) -> Stream:
    """Return the stream with guesses at hard words added to the readings of tokens that are not words.

    Unless `doubtful`, a single guess of a short word in an otherwise plain text is dropped, because names of places and
    people are similar to short words.
    """
    tokens = [_guessed(token, known) for token in stream]
    if all(map(is_, tokens, stream)):
        return stream
    for at, token in enumerate(stream):
        hidden = known.two_consonants(token[0])
        if hidden and any(_was_guessed(tokens, stream, near) for near in (at - 1, at + 1)):
            tokens[at] = (*token, hidden)
    return tuple(tokens) if doubtful or sum(_weight(token, known) for token in tokens) > 1 else stream


def _weight(token: Token, known: HardWords) -> int:
    """Return 0 for a plain word, 1 for a hard word, and 2 for a long hard word."""
    found = [reading for reading in token if reading in known.words and reading not in CONTEXT]
    return 1 + any(len(reading) >= _LONG_WORD for reading in found) if found else 0


@lru_cache(maxsize=32_768)
def _guessed(token: Token, known: HardWords) -> Token:
    guesses = [
        guess for reading in token[:3] if reading.isascii() and reading.isalpha() for guess in known.guesses(reading)
    ]
    return tuple(dict.fromkeys((*token, *guesses))) if guesses else token


def _was_guessed(tokens: Sequence[Token], stream: Stream, at: int) -> bool:
    return 0 <= at < len(stream) and len(tokens[at]) > len(stream[at]) and not is_everyday(stream[at][0])
