"""Detect the language of a text, and whether the rules cover it.

The rules cover English and each language with a file under `lexicons/languages`. A text is *not covered* if one of
these is true: it has words in a script of none of these languages; the n-grams of a clause's unknown words are those of
another language (`eld`, 60 languages, no model library); a clause has many words that are unknown to the detector too;
or it looks encoded and can't be decoded. Names, brands, figures, emoji and a few unknown words in an English prompt are
covered.

May import: core.errors, core.policy.loading, core.policy.normalization, core.policy.spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Literal, Protocol, TypeAlias

from core.errors import LanguageNotSupported
from core.policy.loading import lexicon
from core.policy.normalization import decoded, folded, native, opaque
from core.policy.spelling import english, is_everyday
from core.policy.version import LEXICONS

Reason: TypeAlias = Literal["script", "language", "unknown_words", "encoding"]

_SCRIPTS = {
    "latin": ("en de es fr it nl pl pt cs fi hu id ro sv tr vi", "A-Za-zªºÀ-ÖØ-öø-\u024f\u1e00-\u1eff"),
    "cyrillic": ("ru uk", "\u0400-\u052f"),
    "greek": ("el", "\u0370-\u03ff\u1f00-\u1fff"),
    "hebrew": ("he", "\u0590-\u05ff"),
    "arabic": ("ar fa", "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff"),
    "devanagari": ("hi", "\u0900-\u097f"),
    "thai": ("th", "\u0e00-\u0e7f"),
    "east_asian": ("ja ko zh", "\u3005-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"),
}
"""Scripts with the languages that the rules may cover, and the script's letters."""
_SAME = {"ms": "id"}
"""Languages of the detector that count as another one: Malay and Indonesian share their everyday words."""
_MANY_LANGUAGES = {"latin", "cyrillic", "arabic", "devanagari"}
"""Scripts that are also used by languages without rules, so that the letters alone don't decide."""
_WORD = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f])++")
_CLAUSE_END = re.compile(r"[.!?;:\n,|()\[\]{}\"]++")
_MAX_CLAUSES = 400
"""Maximum number of examined clauses with unknown words; a text with more of them is not covered."""
UNKNOWN = "und"
"""Code of ISO 639-2 for an undetermined language."""
_SHORT = 2
_CHUNK_WORDS = 24


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether the rules cover a text, and if not, why; `language` is the detected one (ISO 639-1), if any."""

    covered: bool
    reason: Reason | None = None
    language: str | None = None


_COVERED = Coverage(covered=True)


class _Detected(Protocol):
    def scores(self) -> dict[str, float]: ...


class _Detector(Protocol):
    def detect(self, text: str) -> _Detected: ...


_LOADING = Lock()


def _detector() -> _Detector:
    """Return the detector, which is loaded for the first text whose words don't determine its language."""
    with _LOADING:
        return _loaded_detector()


@cache
def _loaded_detector() -> _Detector:
    from eld import LanguageDetector

    detector: _Detector = LanguageDetector()
    return detector


@cache
def covered_languages() -> frozenset[str]:
    return frozenset({"en", *(file.stem for file in (LEXICONS / "languages").glob("*.toml"))})


@cache
def _script_patterns() -> dict[str, re.Pattern[str]]:
    """Return the covered scripts with a pattern for a word of the script's letters."""
    marks = "\u0300-\u036f"
    return {
        name: re.compile(f"[{letters}{marks}]+")
        for name, (languages, letters) in _SCRIPTS.items()
        if not covered_languages().isdisjoint(languages.split())
    }


_PROMPT_WORDS = frozenset([
    "aesthetic", "airbrush", "anime", "artstation", "aurorapunk", "bioluminescent", "biomechanical", "bokeh", "cgi",
    "chiaroscuro", "chibi", "cinemascope", "cosplay", "cottagecore", "cyberpunk", "cyborg", "daguerreotype",
    "deviantart", "dieselpunk", "dslr", "emoji", "fisheye", "fujifilm", "fullbody", "gacha", "ghibli", "giger",
    "goth", "gundam", "hasselblad", "hatsune", "hdr", "hdri", "hoodie", "hyperdetailed", "hyperrealism",
    "hyperrealistic", "influencer", "instagram", "isometric", "kawaii", "kodachrome", "kodak", "leica", "lofi",
    "lomography", "lora", "lowpoly", "manga", "manhwa", "masterpiece", "matte", "mecha", "midjourney", "miku",
    "minimalist", "moodboard", "mucha", "neon", "netflix", "nikon", "octane", "olympus", "pastel", "photobash",
    "photogrammetry", "photoreal", "photorealism", "photorealistic", "pinterest", "pixiv", "polaroid", "portra",
    "raytraced", "raytracing", "render", "retrowave", "rutkowski", "sdxl", "selfie", "shiba", "sigma", "solarpunk",
    "steampunk", "subsurface", "synthwave", "tamron", "telephoto", "tiktok", "tokyopunk", "tron", "uhd", "ukiyo",
    "ultradetailed", "ultrawide", "unreal", "vaporwave", "vfx", "vray", "waifu", "webtoon", "wlop", "woodcut",
    "youtube", "zbrush",
])  # fmt: skip
"""Everyday words of picture prompts that are not in the corpus of film subtitles."""


@lru_cache(maxsize=16_384)
def _is_known(word: str) -> bool:
    """Whether a word of Latin letters is English, in the lexicon, or too short to determine its language."""
    plain = folded(word)
    if len(word) <= _SHORT and word.isascii():
        return True
    spelling = lexicon().spelling
    if word in spelling.words or plain in _PROMPT_WORDS or (plain == word and (word in english() or is_everyday(word))):
        return True
    stem = word[:-2] if word.endswith(("'s", "es", "ed")) else word[:-1] if word.endswith("s") else ""
    return len(stem) > _SHORT and stem in english()


@lru_cache(maxsize=16_384)
def _script_of(word: str) -> str | None:
    """Return the covered script of a word, or None. A word of mixed scripts that folds to ASCII is Latin."""
    for name, pattern in _script_patterns().items():
        if pattern.fullmatch(word):
            return name
    return "latin" if folded(word).isascii() else None


def _clauses(text: str) -> Iterator[list[str]]:
    for clause in _CLAUSE_END.split(text):
        words = _WORD.findall(clause)
        for start in range(0, len(words), _CHUNK_WORDS):
            yield words[start : start + _CHUNK_WORDS]


_MIN_SCORE = 0.3
_MIN_LEAD = {"latin": 1.15, "cyrillic": 1.02, "arabic": 1.08, "devanagari": 1.6}
"""Minimum ratio of another language's score to that of the best covered one, by script."""


_FOREIGN_LETTERS = frozenset("æøðþģķļņėįųŀĺľŕŭĝĉŝĵħġċəƙɗɓŋ")
"""Latin letters that no covered language uses."""
_UNEXPLAINED_WORDS = 4
_UNEXPLAINED_SCORE = 0.15
"""With that many words and a lower score for all covered languages, the language is unknown."""


def _uncovered_language(words: list[str], script: str) -> str | None:
    """Return the likeliest language if it is not covered; None if a covered one, or names, are as likely."""
    scores = {_SAME.get(name, name): score for name, score in _detector().detect(" ".join(words)).scores().items()}
    language, best = max(scores.items(), key=lambda entry: entry[1], default=("", 0.0))
    best_covered = max((score for name, score in scores.items() if name in covered_languages()), default=0.0)
    if language not in covered_languages() and best >= _MIN_SCORE and best >= _MIN_LEAD[script] * best_covered:
        return language
    many = sum(len(word) > _SHORT for word in words) >= _UNEXPLAINED_WORDS
    return UNKNOWN if many and best_covered < _UNEXPLAINED_SCORE else None


def _clause_coverage(words: list[str]) -> Coverage:
    by_script: dict[str, list[str]] = {}
    for word in words:
        script = _script_of(word)
        if script is None and len(word) > 1:
            return Coverage(covered=False, reason="script")
        by_script.setdefault(script or "latin", []).append(word)
    for script, found in by_script.items():
        if script in _MANY_LANGUAGES and (language := _other_language(script, found)):
            if language == UNKNOWN:
                return Coverage(covered=False, reason="unknown_words")
            return Coverage(covered=False, reason="language", language=language)
    return _COVERED


def _other_language(script: str, words: list[str]) -> str | None:
    if script != "latin":
        disguised = [word for word in words if folded(word).isascii() and is_everyday(folded(word))]
        return _uncovered_language(words, script) if len(disguised) < len(words) else None
    unknown = [word for word in words if not _is_known(word)]
    if len(unknown) > 1 and not _FOREIGN_LETTERS.isdisjoint("".join(unknown)):
        return UNKNOWN
    if not unknown or (len(unknown) == 1 and len(words) > 2):
        return None
    return _uncovered_language(words if len(unknown) * 2 > len(words) else unknown, script)


def coverage(text: str) -> Coverage:
    """Return whether the rules cover `text`. Linear in its length; the number of examined clauses is limited."""
    plain = decoded(text)
    if opaque(plain, lexicon().spelling):
        return Coverage(covered=False, reason="encoding")
    examined = 0
    for words in _clauses(native(plain)):
        if all(word.isascii() and _is_known(word) for word in words):
            continue
        examined += 1
        if examined > _MAX_CLAUSES:
            return Coverage(covered=False, reason="unknown_words")
        found = _clause_coverage(words)
        if not found.covered:
            return found
    return _COVERED


def uncovered(texts: Iterable[str]) -> Coverage | None:
    """Return the coverage of the first text that the rules don't cover; None if they cover all."""
    return next((found for found in map(coverage, texts) if not found.covered), None)


def reject_uncovered(texts: Iterable[str], *, stage: str | None = None) -> None:
    """Raise `LanguageNotSupported` if the rules don't cover one of the texts."""
    if found := uncovered(texts):
        raise not_supported(found, stage=stage)


_WHY = {
    "script": "is in a script that the content policy has no rules for",
    "language": "is in a language that the content policy has no rules for",
    "unknown_words": "has too many words that the content policy doesn't know",
    "encoding": "looks encoded, and can't be decoded",
}


def not_supported(found: Coverage, *, stage: str | None = None) -> LanguageNotSupported:
    """Return the error for a text that is not covered. Its message names the reason, never words of the text."""
    why = _WHY[found.reason] if found.reason else "can't be judged"
    message = f"A text {why}. Write it in plain English, or in another language of docs/safety.md."
    return LanguageNotSupported(message, stage=stage)
