"""Deliver a finished result: upload its pictures, and set their ids and expiry.

May import: core, orchestrator.stored_pictures.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from core.contracts import Degraded, ImageItem, Picture, PictureRequest, Result
from core.errors import ImgPodError, InvalidRequest
from core.logs import logger
from core.settings import Settings
from core.storage.delivery import PictureDelivery
from core.worker.job import Job
from orchestrator.stored_pictures import StoredPictures

log = logger()


@dataclass(frozen=True, slots=True)
class Publication:
    """Delivers results. `stored` is None if the deployment has no bucket."""

    delivery: PictureDelivery
    stored: StoredPictures | None

    @classmethod
    def from_settings(cls, settings: Settings) -> Publication:
        delivery = PictureDelivery.from_settings(settings.storage, max_bytes=settings.worker.max_result_bytes)
        return cls(delivery, StoredPictures.from_settings(settings.storage))

    def check(self, request: PictureRequest, job: Job) -> None:
        """Raise `InvalidRequest` for an invalid bucket, and for an expiry that the deployment can't enforce."""
        self.delivery.check(job.s3_config)
        if request.expires_after_s is not None and (self.stored is None or job.s3_config is not None):
            raise InvalidRequest("`expires_after_s` needs the deployment's own bucket (BUCKET_…); omit the field.")

    async def publish(self, result: Result, request: PictureRequest, job: Job) -> Result:
        """The result with uploaded pictures. If an upload fails, the pictures remain in the result."""
        items = result.images or (_as_item(result),)
        published = await asyncio.gather(*(self._publish_one(item, request, job) for item in items))
        uploads = [degraded for _, degraded in published]
        first = next(item for item, _ in published if item.error is None)
        return result.model_copy(
            update={
                "image_base64": first.image_base64,
                "image_url": first.image_url,
                "picture_id": first.picture_id,
                "images": tuple(item for item, _ in published) if result.images else (),
                "degraded": _merged(result.degraded, uploads, [item for item, _ in published]),
            }
        )

    async def _publish_one(
        self, item: ImageItem, request: PictureRequest, job: Job
    ) -> tuple[ImageItem, tuple[Degraded, ...]]:
        if item.error is not None or item.image_format is None:
            return item, ()
        degraded: tuple[Degraded, ...] = ()
        if item.image_base64 is not None:
            picture = Picture(
                image_base64=item.image_base64, image_format=item.image_format, width=0, height=0, seed=item.seed
            )
            url, degraded = await self.delivery.upload(picture, job.s3_config)
            if url is None:
                return item, degraded
            item = item.model_copy(update={"image_base64": None, "image_url": url})
        more = await self._tracked(item, request, job)
        return item.model_copy(update=more), degraded

    async def _tracked(self, item: ImageItem, request: PictureRequest, job: Job) -> dict[str, str | None]:
        """Store a picture's expiry and return its id. If the expiry can't be stored, the picture is deleted."""
        if self.stored is None or job.s3_config is not None or item.image_url is None:
            return {}
        picture_id = self.stored.picture_id(item.image_url, job.caller)
        if request.expires_after_s is not None and picture_id is not None:
            try:
                await self.stored.expire(item.image_url, request.expires_after_s)
            except ImgPodError as error:
                log.warning("picture's expiry not stored", code=error.code)
                await self.stored.delete(picture_id, job.caller)
                raise
        return {"picture_id": picture_id}


def _as_item(result: Result) -> ImageItem:
    return ImageItem(
        image_base64=result.image_base64,
        image_url=result.image_url,
        image_format=result.image_format,
        seed=result.seed,
    )


def _merged(
    known: tuple[Degraded, ...], uploads: list[tuple[Degraded, ...]], items: list[ImageItem]
) -> tuple[Degraded, ...]:
    """Fallbacks without the worker's failed upload, if the orchestrator has uploaded every picture."""
    if all(item.image_url is not None for item in items if item.error is None):
        return tuple(one for one in known if one.stage != "storage")
    stages = {one.stage for one in known}
    more = dict.fromkeys(one for upload in uploads for one in upload if one.stage not in stages)
    return (*known, *more)
