"""A small text classifier: hashed character n-grams, one convolution, two heads.

One head scores sexual content, the other a statement that somebody is under 18. Each position of a text is scored with
its neighbours and the highest score counts, so that a long text does not dilute a finding. The text is unsafe if both
heads are over the threshold, at any two positions, so there are no exceptions for an age or a noun in a sexual text. It
is trained by `embedded/training/classifier.py` and needs only numpy to run.

May import: core.backends, core.contracts, core.errors, numpy, safetensors.
"""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from core.backends import BatchCallbacks, Classified, Outcome
from core.contracts import ModelInfo
from core.errors import Cancelled, Misconfigured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from core.weights import Located

MODEL_TYPE = "hashed-ngrams"
WEIGHTS_FILE = "model.safetensors"
CATEGORY = "Sexual Content Involving Minors"
BUCKETS = 2**17
WIDTH = 7
"""Width of the convolution in positions."""
_SEPARATORS = frozenset(".,-*_·~+'")
_LONGEST_TOKEN = 24
"""Longest token in characters; a longer run is split into pieces of this length."""
_CHUNK = 512
"""Positions that are computed at once, which bounds the memory of a long text."""


_LEET = tuple(str.maketrans("0134578@$!|", f"o{one}eastb" + f"as{one}l") for one in "il")
"""`1` and `!` stand for two letters each."""
_LATIN = re.compile("[a-z]")
_LEET_RUN = re.compile(r"[\w@$!|]+")
_LOOKALIKES = str.maketrans("абвгдеѕіјкмнорстухћԁɡһӏԛԝαβεικνορτυχѡ", "abvrdesijkmhopctyxhdghlqwabeiknoptuxw")
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters of the Hangul blocks that are invisible."""
_LETTER_IN_NAME = re.compile(r"LETTER ([A-Z])$")
"""Unicode name of a symbol that shows a letter: `NEGATIVE SQUARED LATIN CAPITAL LETTER N`."""
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
"""Scripts that are written without spaces: each character, with the next one, is a position."""


def tokens_of(text: str) -> list[str]:
    """Split `text` into positions: words, numbers and symbols, with simple disguises undone.

    A word with digits or symbols inside gives its parts and its reading as letters. Three or more single letters also
    give the word that they spell. Cyrillic and Greek look-alikes inside a Latin word are read as Latin.
    """
    plain = "".join(_stripped(unicodedata.normalize("NFKC", text).casefold()))
    tokens: list[str] = []
    for word in plain.split():
        tokens += _parts(word)
    return _with_spelt_words(tokens)


def _stripped(text: str) -> Iterator[str]:
    """`text` without invisible characters and without marks over Latin, Greek and Cyrillic letters; digits as ASCII."""
    for letter in text:
        if letter.isascii():
            yield from letter if letter.isprintable() or letter.isspace() else ""
            continue
        category = unicodedata.category(letter)
        if letter in _FILLERS or category == "Cc":
            continue
        if category == "So" and (drawn := _LETTER_IN_NAME.search(unicodedata.name(letter, ""))):
            yield drawn[1].lower()
        elif category == "Nd":
            yield str(unicodedata.digit(letter))
        elif letter < "\u0530" or "\u1e00" <= letter < "\u2000":
            yield "".join(one for one in unicodedata.normalize("NFD", letter) if unicodedata.category(one) != "Mn")
        elif category not in {"Cf", "Mn"} or "\u0900" <= letter < "\u0e00":
            yield letter


def _parts(word: str) -> Iterator[str]:
    if not word.isascii() and _LATIN.search(word):
        word = word.translate(_LOOKALIKES)
    for kind, group in groupby(word, _kind_of_letter):
        letters = "".join(group)
        if kind == "single":
            yield from (letters[at : at + 2] for at in range(max(1, len(letters) - 1)))
        else:
            yield from letters if kind == "symbol" else [letters]
    for run in _LEET_RUN.findall(word):
        disguised = run.rstrip("!|")
        if not disguised.isalpha() and _LATIN.search(disguised):
            yield from dict.fromkeys(read for table in _LEET if (read := disguised.translate(table)).isalpha())
    bare = "".join(filter(str.isalpha, word))
    if 3 < len(bare) <= _LONGEST_TOKEN and bare not in word and "-" not in word:
        yield bare


def _kind_of_letter(letter: str) -> str:
    if letter.isdigit():
        return "digit"
    if _NO_SPACES.match(letter):
        return "single"
    return "word" if unicodedata.category(letter)[0] in "LM" else "symbol"


def _with_spelt_words(tokens: list[str]) -> list[str]:
    """The tokens without separators; after each run of three or more single letters, the word that it spells."""
    found: list[str] = []
    run: list[str] = []
    for token in [*tokens, ""]:
        if token in _SEPARATORS:
            continue
        if len(token) == 1 and "a" <= token <= "z":
            run.append(token)
            continue
        found += [*run, "".join(run)[:_LONGEST_TOKEN]] if len(run) > 2 else run
        run.clear()
        found += [token[at : at + _LONGEST_TOKEN] for at in range(0, len(token), _LONGEST_TOKEN)]
    return found


@lru_cache(maxsize=20_000)
def features_of(token: str) -> tuple[int, ...]:
    """Hash buckets of one token: of itself, its n-grams of 2 to 5 characters, and the kind of a number."""
    if token.isdigit():
        return tuple(_bucket(name) for name in _kinds_of(int(token[:6])))
    spelt = f"<{token}>"
    named = [f"w:{token}"]
    named += [spelt[at : at + size] for size in (2, 3, 4, 5) for at in range(len(spelt) - size + 1)]
    return tuple(dict.fromkeys(_bucket(name) for name in named))


def _kinds_of(number: int) -> tuple[str, ...]:
    """Return the features of a number: an age below 18 or from 18 on, a minor's or an adult's birth year, or larger."""
    if number < 100:
        return (f"w:{number}", "n:minor" if number < 18 else "n:adult")
    if not 1900 <= number < 2100:
        return ("n:large",)
    since = datetime.now(UTC).year - number
    return ("n:year", "n:future" if since < 0 else "n:young" if since < 18 else "n:old")


def _bucket(name: str) -> int:
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % BUCKETS


@dataclass(frozen=True, slots=True)
class Parameters:
    """`table` `(BUCKETS, d)`, `convolution` `(WIDTH, d, h)`, `bias` `(h)`, `heads` `(h, 2)`, `head_bias` `(2)`."""

    table: NDArray[np.float32]
    convolution: NDArray[np.float32]
    bias: NDArray[np.float32]
    heads: NDArray[np.float32]
    head_bias: NDArray[np.float32]

    def logits(self, tokens: Sequence[str]) -> NDArray[np.float32]:
        """`(2)`: the highest logit of each head over all positions."""
        embedded = self._embedded(tokens or [""])
        padded = np.pad(embedded, ((WIDTH // 2, WIDTH // 2), (0, 0)))
        hidden = self.bias + sum(padded[at : at + len(embedded)] @ self.convolution[at] for at in range(WIDTH))
        scored: NDArray[np.float32] = np.maximum(hidden, 0) @ self.heads + self.head_bias
        return cast("NDArray[np.float32]", scored.max(axis=0))

    def _embedded(self, tokens: Sequence[str]) -> NDArray[np.float32]:
        """`(positions, d)`: the sum of each position's feature vectors, divided by the root of their number."""
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(tokens), _CHUNK):
            features = [features_of(token) for token in tokens[start : start + _CHUNK]]
            counts = np.array([len(one) for one in features])
            gathered = self.table[np.fromiter((i for one in features for i in one), np.int64, int(counts.sum()))]
            sums = np.add.reduceat(gathered, np.concatenate(([0], counts.cumsum()[:-1])))
            rows.append((sums / np.sqrt(counts)[:, None]).astype(np.float32))
        return np.concatenate(rows)


class NgramClassifier:
    """`TextClassifier` with `Parameters`: `unsafe` if both heads' probabilities reach the threshold."""

    def __init__(self, info: ModelInfo, parameters: Parameters, threshold: float) -> None:
        self.info, self._parameters, self.threshold = info, parameters, threshold

    def classify(self, texts: Sequence[str], watch: BatchCallbacks) -> list[Outcome[Classified]]:
        return [
            Cancelled("The job was cancelled.") if watch.cancelled(index) else self._classify_one(text)
            for index, text in enumerate(texts)
        ]

    def score(self, text: str) -> float:
        """The lower of the two heads' probabilities, 0–1: high only if the text has sexual content and a minor."""
        return float(1 / (1 + np.exp(-self._parameters.logits(tokens_of(text)).min())))

    def _classify_one(self, text: str) -> Classified:
        return Classified("unsafe", (CATEGORY,)) if self.score(text) >= self.threshold else Classified("safe")


def load_ngrams(located: Located) -> NgramClassifier:
    """Load the classifier in `folder`. Raises `Misconfigured` if it contains none."""
    from safetensors.numpy import load_file

    config = json.loads((Path(located.path) / "config.json").read_text(encoding="utf-8"))
    stored = load_file(Path(located.path) / WEIGHTS_FILE)
    try:
        parameters = Parameters(**{name: value.astype(np.float32) for name, value in stored.items()})
    except TypeError:
        raise Misconfigured(
            f"{WEIGHTS_FILE} of {located.name} doesn't have the tensors of a {MODEL_TYPE} model."
        ) from None
    if parameters.table.shape[0] != BUCKETS or parameters.convolution.shape[0] != WIDTH:
        raise Misconfigured(f"The weights of {located.name} have a size that this release does not support.")
    info = ModelInfo(name=located.name, revision=located.revision, profile=located.profile)
    return NgramClassifier(info, parameters, float(config["threshold"]))
