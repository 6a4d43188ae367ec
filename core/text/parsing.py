"""Parse a language model's answer into plain text. Accepts any string and never raises."""

from __future__ import annotations

import json
import re

from core.prompts.chat import (
    MAX_EXPANSION_WORDS,
)

MAX_ANSWER_CHARS = 8_000
"""An answer is read up to here: far beyond 120 words, and short enough that nothing below can be slow."""
MAX_WORD_CHARS = 40
_ANSWER_KEY = re.compile(r'[\s`{\[]{0,20}(?:json)?[\s`{\[]{0,20}"prompt"\s*:\s*"')
REFUSALS = ("i'm sorry", "i am sorry", "i cannot", "i can't", "as an ai", "i'm unable", "i am unable")
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from had has have he her here him his how i if in "
        "into is it its just like me my no not of off on one or our out over she so some that the their them then "
        "there they this to too up us very was we were what when where which while who will with would you your",
    )
)
REQUEST_WORDS = frozenset(
    re.findall(
        r"\w+",
        "show draw paint picture photo image send see selfie make create imagine generate pic please want wish",
    )
)


def read_prompt(answer: str) -> str:
    """The paragraph in a model's JSON answer, whose beginning `{"prompt": "` it was given. Never raises."""
    raw = answer[:MAX_ANSWER_CHARS]
    if again := _ANSWER_KEY.match(raw):
        raw = raw[again.end() :]
    raw = re.split(r'(?<!\\)"\s*[,}\n]', raw, maxsplit=1)[0].rstrip('"')
    return cut_to_words(plain_text(_unescaped(raw)), MAX_EXPANSION_WORDS)


def _unescaped(raw: str) -> str:
    raw = re.sub(r"\\+$", "", raw)
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
    """One paragraph: no control characters, marks of markup or brackets, quotes around it, or lone surrogates."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    text = re.sub(r"[\x00-\x1f\x7f-\x9f*_`~<>{}\[\]|\\]+", " ", text)
    return " ".join(text.split()).strip("\"'“” ")


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
    """Its words; a run of letters without spaces, as in Chinese, counts as one for every ten."""
    return sum(1 + len(word) // 10 if len(word) > MAX_WORD_CHARS else 1 for word in message.split())


def content_stems(text: str) -> set[str]:
    """Words that carry meaning, cut to five letters so that `walk`, `walks` and `walking` are one."""
    words = re.findall(r"[^\W\d_]{3,}", text.lower())
    return {word[:5] for word in words if word not in FUNCTION_WORDS and word not in REQUEST_WORDS}
