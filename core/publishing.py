"""How a finished picture reaches its caller: in the answer as base64, or in a bucket as a URL.

With storage (the deployment's own, or the one that the job brings) it is uploaded. Without, it must fit into what the
platform carries: a picture that does not is encoded anew, smaller, rather than lost.

May import: core.contracts, core.images, core.settings, core.storage.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.contracts import ImageFormat, Picture
from core.images import CONTENT_TYPES, Recipe, Signer, encode, shrink_to_fit
from core.settings import StorageSettings
from core.storage import Store, object_key

if TYPE_CHECKING:
    from PIL.Image import Image

_ROOM_FOR_THE_REST = 100_000
"""Bytes of an answer that are not the picture: prompt, timeline, policy."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """`max_bytes` is the largest answer that the platform carries."""

    storage: StorageSettings
    store: Store | None
    max_bytes: int
    signer: Signer | None = None

    @classmethod
    def from_settings(cls, storage: StorageSettings, *, max_bytes: int, signer: Signer | None = None) -> Publisher:
        return cls(storage, Store.from_settings(storage), max_bytes, signer)

    async def publish(
        self,
        image: Image,
        image_format: ImageFormat,
        recipe: Recipe,
        s3_config: Mapping[str, object] | None = None,
    ) -> Picture:
        """Marks, encodes and hands over; raises what storage raises, and `TooLarge` where no encoding fits."""
        data = await asyncio.to_thread(encode, image, image_format=image_format, recipe=recipe, signer=self.signer)
        store = self._store(s3_config)
        room = (self.max_bytes - _ROOM_FOR_THE_REST) * 3 // 4  # base64 makes four characters of three bytes
        if store is None and len(data) > room:
            data, image_format = await asyncio.to_thread(
                shrink_to_fit, image, max_bytes=room, recipe=recipe, signer=self.signer
            )
        picture = Picture(image_format=image_format, width=image.width, height=image.height, seed=recipe.seed)
        if store is None:
            return picture.model_copy(update={"image_base64": base64.b64encode(data).decode()})
        return picture.model_copy(update={"image_url": await _upload(store, data, image_format)})

    async def upload(self, picture: Picture, s3_config: Mapping[str, object] | None = None) -> Picture:
        """A picture that came as base64, put into storage where there is one; else as it is."""
        store = self._store(s3_config)
        if store is None or picture.image_base64 is None:
            return picture
        url = await _upload(store, base64.b64decode(picture.image_base64), picture.image_format)
        return picture.model_copy(update={"image_base64": None, "image_url": url})

    def _store(self, s3_config: Mapping[str, object] | None) -> Store | None:
        return self.store if s3_config is None else Store.from_job(s3_config, self.storage)


async def _upload(store: Store, data: bytes, image_format: ImageFormat) -> str:
    return await store.put(data, key=object_key(image_format), content_type=CONTENT_TYPES[image_format])
