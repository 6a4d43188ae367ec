"""Parse a language model's answer into plain text. Accepts any string and never raises."""

from __future__ import annotations

import json
import re

from core.prompts.chat import (
    MAX_EXPANSION_WORDS,
)

MAX_ANSWER_CHARS = 8_000
"""Characters of an answer that are parsed: far beyond 120 words, and few enough for every step below to be fast."""
MAX_WORD_CHARS = 40
ANSWER_PREFIX = '{"prompt": "'
"""Beginning of an expansion's answer; the model continues inside the string."""
_KEY = re.compile(r'"prompt"\s{0,9}:\s{0,9}"')
_PREAMBLE_CHARS = 300
_STRING = re.compile(r'(?:[^"\\\n]++|\\.)*+', re.DOTALL)
"""Characters and escapes up to a quote, a raw newline or the end."""
_CLOSING = re.compile(r'"\s{0,99}(?:[}\]`]|,\s{0,99}"[^"\\\n]{1,40}"\s{0,9}:)')
_CLOSING_AT_LINE_END = re.compile(r'"[ \t]{0,99},?[ \t]{0,99}\n')
_TRAILING_MARKS = re.compile(r'(?<!\\)["`}\s]{1,9}$')
_ESCAPE_OR_QUOTE = re.compile(r'(\\.)|"|\\$', re.DOTALL)
_FEWEST_WORDS = 5
REFUSALS = ("i'm sorry", "i am sorry", "i cannot", "i can't", "as an ai", "i'm unable", "i am unable")
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from had has have he her here him his how i if in "
        "into is it its just like me my no not of off on one or our out over she so some that the their them then "
        "there they this to too up us very was we were what when where which while who will with would you your",
    )
)
_FOREIGN_WORDS = frozenset(
    re.findall(
        r"\w+",
        # French, Spanish, Portuguese, Italian, German, Dutch, Polish, Turkish
        "le la les des du au aux et un une dans avec sur pour est sous el los las del al y en con por que es para "
        "o os um uma do da dos das em com no na il lo gli di che e per sono nel nella der die das und ein eine mit auf "
        "im ist den dem zu von het een van met op w z na i się jest bir ve ile bu için",
    )
)
"""Function words of other languages in Latin letters. Some are English words too; such a word counts for both."""
REQUEST_WORDS = frozenset(
    re.findall(
        r"\w+",
        "show draw paint picture photo image send see selfie make create imagine generate pic please want wish",
    )
)


def read_prompt(answer: str) -> str:
    """Return the paragraph in a model's JSON answer, which begins after `ANSWER_PREFIX`. Never raises."""
    raw = answer[:MAX_ANSWER_CHARS]
    begin = _begin_of_string(raw)
    end = _end_of_string(raw, begin)
    raw = _TRAILING_MARKS.sub("", raw[begin:]) if end is None else raw[begin:end]
    return cut_to_words(plain_text(_unescaped(raw)), MAX_EXPANSION_WORDS)


def prompt_end(answer: str) -> int | None:
    """`StopRule` of an expansion: the JSON string is closed, or its line has ended."""
    return _end_of_string(answer, _begin_of_string(answer))


def line_end(answer: str) -> int | None:
    """`StopRule` of an answer of one line; empty lines before it don't count."""
    end = answer.find("\n", len(answer) - len(answer.lstrip()))
    return None if end < 0 else end


def _begin_of_string(answer: str) -> int:
    """Start of the JSON string: 0, or after the key if the model started a new object after a fence, text or brace."""
    key = _KEY.search(answer, 0, _PREAMBLE_CHARS)
    return key.end() if key and not _CLOSING.search(answer, 0, key.start()) else 0


def _end_of_string(answer: str, begin: int) -> int | None:
    """Return the end of the string that begins at `begin`; None if it has no end.

    A quote closes the string only if JSON continues after it, because models don't escape quotes inside a string.
    """
    place = begin
    while place < len(answer):
        if run := _STRING.match(answer, place):
            place = run.end()
        if answer.startswith('"', place):
            if _CLOSING.match(answer, place) or _CLOSING_AT_LINE_END.match(answer, place):
                return place
            place += 1
        elif answer.startswith("\n", place):
            if _is_paragraph(answer[begin:place]):
                return place
            place += 1
        else:
            return None
    return None


def _is_paragraph(line: str) -> bool:
    """Whether a line is a prompt, and not a code fence or the preamble to one."""
    return len(line.split()) >= _FEWEST_WORDS and not line.rstrip().endswith((":", "{"))


def _unescaped(raw: str) -> str:
    raw = _ESCAPE_OR_QUOTE.sub(lambda found: found[1] or ('\\"' if found[0] == '"' else ""), raw)
    try:
        text = json.loads(f'"{raw}"', strict=False)
    except ValueError:
        return raw.replace("\\n", " ").replace("\\", " ")
    return text if isinstance(text, str) else raw


def read_line(answer: str) -> str:
    """The first line of an answer, without the quotes and labels that models put around it."""
    first = next((line for line in answer[:MAX_ANSWER_CHARS].splitlines() if line.strip()), "")
    return plain_text(re.sub(r"^\s*(caption|answer|sentence|message|short\w*)\s*:\s*", "", first, flags=re.IGNORECASE))


def plain_text(text: str) -> str:
    """`text` as one paragraph without control characters, markup, brackets, quotes around it, or lone surrogates."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    text = re.sub(r"[\x00-\x1f\x7f-\x9f*_`~<>{}\[\]|\\]+", " ", text)
    text = " ".join(text.split())
    bare = text.strip("\"'“” ")
    if bare.count('"') % 2 == 1:  # a quotation at one end of the text, with its other mark inside
        return f'{bare}"' if text.endswith('"') else f'"{bare}' if text.startswith('"') else bare
    return bare


def cut_to_words(text: str, limit: int) -> str:
    """At most `limit` words, ending with a whole sentence if there is one in the second half."""
    words = text.split()
    kept = " ".join(words[:limit])
    if len(words) <= limit and kept.endswith((".", "!", "?")):
        return kept
    end = max(kept.rfind(mark) for mark in (". ", "! ", "? "))
    if end >= len(kept) // 2:
        return kept[: end + 1]
    return kept.rstrip(",;:- ") + "." if kept and not kept.endswith((".", "!", "?")) else kept


def count_words(text: str) -> int:
    return len(text.split())


def count_message_words(message: str) -> int:
    """Number of words in a message; a run of letters without spaces, as in Chinese, counts as one for every ten."""
    return sum(1 + len(word) // 10 if len(word) > MAX_WORD_CHARS else 1 for word in message.split())


def is_english(text: str) -> bool:
    """Whether a text may be English: Latin letters, and not more function words of other languages than of English."""
    letters = [char for char in text if char.isalpha()]
    if not letters or sum(char.isascii() for char in letters) < 0.9 * len(letters):
        return False
    english, foreign = count_function_words(text)
    return foreign <= english


def count_function_words(text: str) -> tuple[int, int]:
    """Return the numbers of function words of English and of other languages in a text."""
    words = re.findall(r"\w+", text.lower())
    return sum(word in FUNCTION_WORDS for word in words), sum(word in _FOREIGN_WORDS for word in words)


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens of a text for a byte-level tokenizer, rather too high than too low.

    Four ASCII letters count as one token, and a letter of another alphabet as one. A character that no vocabulary has
    as a whole, such as an emoji or an Ethiopic letter, counts as one token per byte.
    """
    return sum(len(word) // 4 + 1 if word.isascii() else sum(map(_tokens_of, word)) for word in text.split())


def _tokens_of(char: str) -> int:
    code = char.encode("utf-8", "replace")
    return 1 if char < "\u0700" or "\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3" else len(code)


def content_stems(text: str) -> set[str]:
    """Words that carry meaning, cut to five letters so that `walk`, `walks` and `walking` are one."""
    words = re.findall(r"[^\W\d_]{3,}", text.lower())
    return {word[:5] for word in words if word not in FUNCTION_WORDS and word not in REQUEST_WORDS}
