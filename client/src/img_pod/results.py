"""Results: the service's own messages, with methods to save and open their pictures."""

from __future__ import annotations

import base64
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from img_pod import contracts
from img_pod.errors import ImgPodError, UnexpectedAnswer, from_problem

if TYPE_CHECKING:
    from PIL.Image import Image

_DOWNLOAD_S = 60.0


class PictureFile:
    """The file of a picture, which the result contains or links to."""

    image_base64: str | None
    image_url: str | None

    @property
    def bytes(self) -> bytes:
        """The file's content, downloaded if the result has a URL. Raises `UnexpectedAnswer` without a picture."""
        if self.image_base64 is not None:
            return base64.b64decode(self.image_base64)
        if self.image_url is None:
            raise UnexpectedAnswer("This result has no picture.")
        response = httpx.get(self.image_url, timeout=_DOWNLOAD_S, follow_redirects=True)
        if response.status_code != httpx.codes.OK:
            raise UnexpectedAnswer(f"The picture's URL answered {response.status_code}; it may have expired.")
        return response.content

    @property
    def image(self) -> Image:
        """The picture as a Pillow image. Needs Pillow."""
        import io

        from PIL import Image as Pictures

        return Pictures.open(io.BytesIO(self.bytes))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the file as it is, marks included; return its path."""
        target = Path(path)
        target.write_bytes(self.bytes)
        return target


class Picture(contracts.ImageItem, PictureFile):
    """One picture of a request with several; `error` is set if it failed."""

    def raise_for_error(self) -> None:
        if self.error is not None:
            raise from_problem({"code": self.error.code, "message": self.error.message}, 0)


class Result(contracts.Result, PictureFile):
    """The answer to a request: the first picture, with its seed, prompt, policy report and timeline."""

    images: tuple[Picture, ...] = ()

    @property
    def pictures(self) -> tuple[Result | Picture, ...]:
        """All pictures that succeeded; the result itself if one was requested."""
        return tuple(picture for picture in self.images if picture.error is None) or (self,)


def read_result(data: Any) -> Result:
    """Parse a result; fields of a newer service are ignored. Raises `UnexpectedAnswer`."""
    from pydantic import ValidationError

    try:
        return Result.model_validate(data, extra="ignore")
    except ValidationError:
        raise UnexpectedAnswer("This version of the client can't read the result; upgrade it.") from None


def read_error(data: Any) -> ImgPodError:
    return from_problem(data if isinstance(data, dict) else {}, 0)
