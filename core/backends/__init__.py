"""Interfaces of loaded models for the handlers: one `Protocol` for each kind of model, and its values.

A backend works on batches: one call takes requests that can run together and returns one outcome for each, in order:
its result, or the `ImgPodError` of that request. It is called in the one thread that owns the device and may block.
Between steps it checks `cancelled` of each request, and may take new requests from `more`. It raises only errors of the
whole batch, `OutOfDeviceMemory` and `DeviceLost`; for a request that is too large for the device, the outcome is
`TooLarge`.

May import: core.contracts and core.errors. The classes that load real weights are in the other modules of this folder,
which import torch themselves.
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

# The OpenMP runtime reads this when torch loads it, which the other modules do after this line. By default its threads
# wait by spinning. Where several workers share a machine, they take each other's cores: decoding was then ten times
# slower (measured).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

R = TypeVar("R")
Outcome: TypeAlias = R | ImgPodError


class BatchCallbacks(Protocol):
    """Callbacks of a running batch to its jobs; `index` is a request's place in the batch."""

    def step(self, index: int, step: int, of: int) -> None: ...

    def cancelled(self, index: int) -> bool: ...

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        """Report an outcome as soon as it is known. Optional, because the backend also returns the outcome."""
        ...

    def more(self) -> Sequence[Any]:
        """Requests that join the running batch, numbered after its last one. Not called for fixed batches."""
        ...


class NoCallbacks:
    """`BatchCallbacks` that do nothing, for warm-ups, training and benchmarks."""

    def step(self, index: int, step: int, of: int) -> None:
        del index, step, of

    def cancelled(self, index: int) -> bool:
        del index
        return False

    def finished(self, index: int, outcome: Outcome[Any]) -> None:
        del index, outcome

    def more(self) -> Sequence[Any]:
        return ()


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    content: str


StopRule: TypeAlias = Callable[[str], int | None]
"""Returns the length of the finished answer within the text so far; None while the answer continues."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One request to a language model.

    `prefix` is the beginning of the answer and not part of the returned text. `stop` may end the answer before the
    model does. `temperature` 0 is greedy; above 0, `seed` makes sampling reproducible.
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
        """Analyse the person in each picture."""
        ...

    def read_ages(self, requests: Sequence[Image], watch: BatchCallbacks) -> list[Outcome[PictureAges]]:
        """Estimate the apparent age of everybody in each picture."""
        ...


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request for one picture; sides in px."""

    prompt: str
    seed: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A generated picture. `image` is RGB; instead of a black picture the outcome is `BlackPicture`.

    `prompt_truncated`: the prompt was longer than the model's limit, and its end was cut.
    """

    image: Image
    seed: int
    steps: int
    prompt_truncated: bool = False


class ImageBackend(Protocol):
    info: ModelInfo
    sides: tuple[int, int]
    """Smallest and largest supported side, px; sides are multiples of 16."""
    default_side: int

    def bucket(self, request: ImageRequest) -> tuple[int, ...]:
        """Key of requests that can run as one batch: same size, prompts padded to the same length."""
        ...

    def generate(self, requests: Sequence[ImageRequest], watch: BatchCallbacks) -> list[Outcome[GeneratedImage]]: ...


class PictureChecker(Protocol):
    """Checker of finished pictures. It may raise any exception; the caller decides how to treat a failed check."""

    name: str

    def score(self, image: Image) -> float:
        """Probability, 0–1, that `image` (RGB) is not safe for work."""
        ...
