"""Interfaces of loaded models for the handlers: one `Protocol` for each kind of model, and its values.

A backend works on batches: one call takes requests that can run together and returns one outcome for each, in order,
either its result or the `ImgPodError` of that request alone. It is called in the one thread that owns the device and
may block. Between steps it checks `cancelled` of each member, and may take new members from `more`. It raises only what
ends the whole batch: `OutOfDeviceMemory` and `DeviceLost`; a request that is too large for the device is an outcome,
`TooLarge`.

May import: core.contracts and core.errors. The classes that load real weights are in the modules beside this one, each
of which imports torch for itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from core.contracts import ApparentAge, FaceMeta, Features, ModelInfo
from core.errors import ImgPodError

if TYPE_CHECKING:
    from PIL.Image import Image

# The OpenMP runtime reads this when torch loads it, which the modules beside this one do after this line. Its threads
# would wait by spinning; where several workers share a machine, they spin on each other's cores: decoding was then
# measured ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

R = TypeVar("R")
Outcome: TypeAlias = R | ImgPodError


class BatchCallbacks(Protocol):
    """Callbacks of a running batch to its jobs; `index` is a request's place in the batch."""

    def step(self, index: int, step: int, of: int) -> None: ...

    def cancelled(self, index: int) -> bool: ...

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        """May be called as soon as a member has its outcome, which is also the one that the backend returns for it."""
        ...

    def more(self) -> Sequence[Any]:
        """Requests that join the running batch, numbered after its last one; unused by closed batches."""
        ...


class NoCallbacks:
    """A `BatchCallbacks` for a caller that reports nothing and cancels nothing: warm-ups, training, benchmarks."""

    def step(self, index: int, step: int, of: int) -> None:
        del index, step, of

    def cancelled(self, index: int) -> bool:
        del index
        return False

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        del index, outcome

    def more(self) -> Sequence[Any]:
        return ()


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    content: str


StopRule: TypeAlias = Callable[[str], int | None]
"""The length of the finished answer within the text so far; None while the answer goes on."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One request to a language model.

    `prefix` is how the answer begins; it is not part of the text that is returned. `stop` may end the answer before the
    model does. `temperature` 0 is greedy; above 0, `seed` makes the draw repeatable.
    """

    turns: tuple[Turn, ...]
    max_tokens: int
    prefix: str = ""
    stop: StopRule | None = None
    temperature: float = 0.0
    seed: int = 0


class TextBackend(Protocol):
    info: ModelInfo

    def generate(self, requests: Sequence[Completion], watch: BatchCallbacks) -> list[Outcome[str]]: ...


@dataclass(frozen=True, slots=True)
class Classified:
    """A classifier's label and categories of one text, by its own names."""

    label: Literal["safe", "controversial", "unsafe"]
    categories: tuple[str, ...] = ()


class TextClassifier(Protocol):
    """A text classifier in addition to the policy's rules. A failure is an outcome, which the policy evaluates."""

    info: ModelInfo

    def classify(self, texts: Sequence[str], watch: BatchCallbacks) -> list[Outcome[Classified]]: ...


# ── vision ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SelfieRequest:
    """An upright RGB picture of any size, and which of its faces to read; None is the main one."""

    image: Image
    face: int | None = None


@dataclass(frozen=True, slots=True)
class SelfieAnalysis:
    features: Features
    face: FaceMeta


@dataclass(frozen=True, slots=True)
class PictureAges:
    """Apparent ages in one picture: of the faces that were read, largest first, and of the whole picture."""

    faces: tuple[ApparentAge, ...]
    whole: ApparentAge
    faces_not_read: int


class VisionBackend(Protocol):
    info: ModelInfo

    def generate(self, requests: Sequence[SelfieRequest], watch: BatchCallbacks) -> list[Outcome[SelfieAnalysis]]:
        """The person in each picture."""
        ...

    def read_ages(self, requests: Sequence[Image], watch: BatchCallbacks) -> list[Outcome[PictureAges]]:
        """The apparent age of everybody in each picture."""
        ...


# ── image ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request for one picture; sides in px."""

    prompt: str
    seed: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """`image` is RGB and not black: a black one is the outcome `BlackPicture`, and the caller tries again.

    `prompt_truncated`: the prompt was longer than the model takes, and its end was cut.
    """

    image: Image
    seed: int
    steps: int
    prompt_truncated: bool = False


class ImageBackend(Protocol):
    info: ModelInfo
    sides: tuple[int, int]
    """Smallest and largest side it takes, px; sides are multiples of 16."""
    default_side: int

    def bucket(self, request: ImageRequest) -> tuple[int, ...]:
        """Requests of one bucket can run as one batch: same size, captions padded to the same length."""
        ...

    def generate(self, requests: Sequence[ImageRequest], watch: BatchCallbacks) -> list[Outcome[GeneratedImage]]: ...


# ── output check ─────────────────────────────────────────────────────────────────────────────────────────────────────


class PictureChecker(Protocol):
    """Checker of finished pictures. It may raise any exception; the caller decides how to treat a failed check."""

    name: str

    def score(self, image: Image) -> float:
        """Probability, 0–1, that `image` (RGB) is not safe for work."""
        ...
