"""Face detection: a YOLOv8-face checkpoint, run at several scales.

A single face that fills a selfie is found at the detector's own input size, or in a small blurred copy, in which drawn
faces resemble photographs. If the faces found are small, there may be more of them: then other scales are run as well
and their boxes are merged.

May import: torch, ultralytics, onnx, onnxruntime, core.backends, core.errors.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.backends.devices import cpu_quota
from core.backends.face_quality import Box
from core.errors import Misconfigured

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from core.weights import Located

FACE_FLOOR = 0.35
"""Least confidence of a face."""
_SMALL_COPIES = ((0.4, 1.4 / 320), (0.6, 1.4 / 320), (0.2, 0.5 / 320))
_SOFT_COPIES = ((1.0, 1.4 / 320), (1.0, 0.5 / 320))
"""The picture's longer side and the radius of the blur, as shares of the detector's input side."""
_TILE = 0.6
"""Side of a tile as a share of the picture's, so that neighbouring tiles overlap by a fifth of the picture."""
_ALONE = 0.4
"""Height of a face as a share of the picture's, above which no smaller faces are searched for."""
_SAME_FACE = 0.4
"""Intersection over union above which two boxes are the same face."""
_WITHIN = 0.7
"""Share of the smaller box within the larger one above which they are the same face."""


class FaceDetector:
    """Any YOLO detector that ultralytics opens, with one class of faces or several among others."""

    def __init__(self, located: Located, device: torch.device) -> None:
        _disable_ultralytics_network()
        from ultralytics import YOLO

        self.device = device
        self.side = located.facts.input_side
        self.fixed = fixed_input_side(located.path)
        if self.fixed not in {None, self.side}:
            raise Misconfigured(
                f"The face detector's input is {self.fixed} px instead of {self.side}; export it again."
            )
        self.model = YOLO(located.path, task=None if located.path.suffix == ".pt" else "detect", verbose=False)
        self.classes = _face_classes(self.model.names)
        with _session_threads(cpu_quota()):
            # ultralytics creates its session at the first picture.
            self._detect(_gray(self.side), self.side)

    def find(self, image: Image) -> list[Box]:
        """Faces in order of prominence: large, near the centre, and certain ones first."""
        faces = next((faces for faces in self._scales(image) if faces), [])
        if faces and max(face.bottom - face.top for face in faces) < _ALONE * image.height:
            faces = merged([*faces, *self._more(image)])
        return sorted(faces, key=lambda face: prominence(face, image.size), reverse=True)

    def _scales(self, image: Image) -> Iterator[list[Box]]:
        yield self._detect(image, self.side)
        yield self._detect_closer(image)
        for share, blur in _SMALL_COPIES:
            yield self._detect_in_copy(image, share, blur)

    def _more(self, image: Image) -> Iterator[Box]:
        yield from self._detect_closer(image)
        for share, blur in _SOFT_COPIES:
            yield from self._detect_in_copy(image, share, blur)

    def _detect_closer(self, image: Image) -> list[Box]:
        """Faces at twice the detector's resolution: of the whole picture, or in tiles if its input is fixed."""
        if self.fixed is None:
            return self._detect(image, 2 * self.side)
        return merged(
            box.moved(left, top)
            for left, top, right, bottom in tiles(image.size)
            for box in self._detect(image.crop((left, top, right, bottom)), self.side)
        )

    def _detect_in_copy(self, image: Image, share: float, blur: float) -> list[Box]:
        """Faces in a blurred copy of the picture of another size, on gray.

        With the small copies the packaged detector finds 87 % of `embedded.drawing.faces`, without them 11 %.
        """
        from PIL import ImageFilter

        scale = self.side * share / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        left, top = (self.side - width) // 2, (self.side - height) // 2
        ground = _gray(self.side)
        ground.paste(image.resize((width, height)), (left, top))
        boxes = self._detect(ground.filter(ImageFilter.GaussianBlur(self.side * blur)), self.side)
        return [
            Box(
                max((box.left - left) / scale, 0),
                max((box.top - top) / scale, 0),
                min((box.right - left) / scale, image.width),
                min((box.bottom - top) / scale, image.height),
                box.confidence,
            )
            for box in boxes
        ]

    def _detect(self, image: Image, side: int) -> list[Box]:
        # NMS across classes, because one face may be detected as two classes.
        [seen] = self.model.predict(
            image,
            imgsz=side,
            conf=FACE_FLOOR,
            classes=self.classes,
            agnostic_nms=True,
            device=str(self.device),
            verbose=False,
        )
        corners, shares = seen.boxes.xyxy.tolist(), seen.boxes.conf.tolist()
        return [
            Box(left, top, right, bottom, share)
            for (left, top, right, bottom), share in zip(corners, shares, strict=True)
        ]


def tiles(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Four overlapping corners of a picture of `size`, each `_TILE` of its width and height."""
    width, height = size
    across, down = math.ceil(_TILE * width), math.ceil(_TILE * height)
    for top in (0, height - down):
        for left in (0, width - across):
            yield left, top, left + across, top + down


def fixed_input_side(path: Path) -> int | None:
    """Side of an ONNX file's input in px; None if any size is allowed, or the file is not ONNX.

    ultralytics uses the size of a fixed input and ignores the requested one.
    """
    if path.suffix != ".onnx":
        return None
    import onnx

    shape = onnx.load(str(path), load_external_data=False).graph.input[0].type.tensor_type.shape
    return int(shape.dim[-1].dim_value) or None


@contextmanager
def _session_threads(threads: int) -> Iterator[None]:
    """Bound the threads of ONNX sessions created in this context; the default is one per core of the host."""
    import onnxruntime  # type: ignore[import-untyped]  # it ships no types

    original = onnxruntime.InferenceSession

    def bounded(path: str, sess_options: Any = None, *more: Any, **named: Any) -> Any:
        options = sess_options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return original(path, options, *more, **named)

    onnxruntime.InferenceSession = bounded
    try:
        yield
    finally:
        onnxruntime.InferenceSession = original


def _gray(side: int) -> Image:
    from PIL import Image as Pictures

    return Pictures.new("RGB", (side, side), (128, 128, 128))


def prominence(face: Box, size: tuple[int, int]) -> float:
    """Area times confidence, halved towards the corners of a picture of `size`."""
    width, height = size
    off_x = (face.left + face.right) / width - 1
    off_y = (face.top + face.bottom) / height - 1
    return face.area * face.confidence * (1 - math.hypot(off_x, off_y) / math.sqrt(8))


def merged(boxes: Iterable[Box]) -> list[Box]:
    """Merge `boxes` of several scales: keep the most certain box of each face."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: box.confidence, reverse=True):
        if not any(_same_face(box, other) for other in kept):
            kept.append(box)
    return kept


def _same_face(one: Box, other: Box) -> bool:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    common = max(0.0, width) * max(0.0, height)
    smaller = min(one.area, other.area)
    return common > _SAME_FACE * (one.area + other.area - common) or common > _WITHIN * smaller > 0


def _disable_ultralytics_network() -> None:
    """Disable ultralytics' installation of packages, usage reports and unpickling."""
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "true"
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "ultralytics"))


def _face_classes(names: dict[int, str]) -> list[int]:
    faces = [number for number, name in names.items() if "face" in name.lower()]
    if not faces and len(names) == 1:
        return list(names)
    if not faces:
        raise Misconfigured("The face detector's weights have no class for faces; use a YOLOv8-face checkpoint.")
    return faces
