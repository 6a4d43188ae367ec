"""Deliver a finished picture: in the answer as base64, or in a bucket as a URL.

With storage (the deployment's own, or the job's) the picture is uploaded. Without, or if the upload fails, it must fit
into the platform's largest answer; a larger picture is encoded again with lower quality.

May import: core.contracts, core.errors, core.images, core.logs, core.settings, core.storage.s3.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.contracts import Degraded, ImageFormat, Picture
from core.errors import DeadlineExceeded, ImgPodError, InvalidRequest, Misconfigured, StageFailed
from core.images import CONTENT_TYPES, Recipe, Signer, encode, shrink_to_fit
from core.logs import logger
from core.settings import StorageSettings
from core.storage.s3 import Store, object_key

if TYPE_CHECKING:
    from PIL.Image import Image

log = logger()

_ROOM_FOR_THE_REST = 100_000
"""Bytes reserved for the rest of the answer: prompt, timeline, policy."""


@dataclass(frozen=True, slots=True)
class PictureDelivery:
    """Delivers pictures. `max_bytes` is the platform's limit for an answer."""

    storage: StorageSettings
    store: Store | None
    max_bytes: int
    signer: Signer | None = None

    @classmethod
    def from_settings(
        cls, storage: StorageSettings, *, max_bytes: int, signer: Signer | None = None
    ) -> PictureDelivery:
        return cls(storage, Store.from_settings(storage), max_bytes, signer)

    def check(self, s3_config: Mapping[str, object] | None) -> None:
        """Check a job's bucket before GPU work begins. Raises `InvalidRequest`."""
        self._store(s3_config)

    async def publish(
        self,
        image: Image,
        image_format: ImageFormat,
        recipe: Recipe,
        s3_config: Mapping[str, object] | None = None,
        *,
        max_bytes: int | None = None,
        may_upload: bool = True,
    ) -> tuple[Picture, tuple[Degraded, ...]]:
        """Mark, encode and deliver a picture; return it and the list of what was degraded.

        `max_bytes` may lower the limit of the answer. With `may_upload` False the picture is always in the answer and
        never in a bucket. Raises `TooLarge` if no encoding fits.
        """
        data = await asyncio.to_thread(encode, image, image_format=image_format, recipe=recipe, signer=self.signer)
        picture = Picture(image_format=image_format, width=image.width, height=image.height, seed=recipe.seed)
        url, degraded = await self._try_upload(data, image_format, s3_config) if may_upload else (None, ())
        if url is not None:
            return picture.model_copy(update={"image_url": url}), degraded
        largest = self.max_bytes if max_bytes is None else min(self.max_bytes, max_bytes)
        room = (largest - _ROOM_FOR_THE_REST) * 3 // 4  # base64 makes four characters of three bytes
        if len(data) > room:
            data, image_format = await asyncio.to_thread(
                shrink_to_fit, image, max_bytes=room, recipe=recipe, signer=self.signer
            )
        inline = {"image_base64": base64.b64encode(data).decode(), "image_format": image_format}
        return picture.model_copy(update=inline), degraded

    async def upload(
        self, picture: Picture, s3_config: Mapping[str, object] | None = None
    ) -> tuple[str | None, tuple[Degraded, ...]]:
        """Upload a picture given as base64 and return its URL; None without storage, or if the upload fails."""
        if picture.image_base64 is None:
            return None, ()
        return await self._try_upload(base64.b64decode(picture.image_base64), picture.image_format, s3_config)

    async def _try_upload(
        self, data: bytes, image_format: ImageFormat, s3_config: Mapping[str, object] | None
    ) -> tuple[str | None, tuple[Degraded, ...]]:
        store = self._store(s3_config)
        if store is None:
            return None, ()
        try:
            return await store.put(data, key=object_key(image_format), content_type=CONTENT_TYPES[image_format]), ()
        except _STORAGE_FAILS as error:
            log.warning("picture not stored", code=error.code, bytes=len(data))
            return None, (Degraded(stage="storage", reason=error.code, fallback="inline"),)

    def _store(self, s3_config: Mapping[str, object] | None) -> Store | None:
        return self.store if s3_config is None else Store.from_job(s3_config, self.storage)


_STORAGE_FAILS: tuple[type[ImgPodError], ...] = (StageFailed, DeadlineExceeded, Misconfigured, InvalidRequest)
"""Errors of an upload that are degraded to an inline picture."""
