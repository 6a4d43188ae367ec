"""Ids, deletion and expiry of pictures in the deployment's bucket.

A picture's id is its object's name and a code that authenticates its caller, so that a picture's URL is not enough to
delete it, and no state is needed for the check. Expiry is a marker object whose name begins with the time, so that any
process can list the pictures that are due.

    expiring/<seconds since 1970, 12 digits>.<object's name>

May import: core, orchestrator.bucket.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from core.errors import ImgPodError, NotFound
from core.logs import logger
from core.settings import StorageSettings
from orchestrator.bucket import Bucket

log = logger()

_OBJECT = r"[0-9a-f]{48}\.(?:webp|png|jpeg)"
_URL_PATH = re.compile(rf"(?:^|.*/)({_OBJECT})")
_PICTURE_ID = re.compile(rf"({_OBJECT})\.([0-9a-f]{{32}})")
_MARKER = re.compile(rf"expiring/(\d{{12}})\.({_OBJECT})")
_SWEEP_EVERY_S = 60.0


class StoredPictures:
    """The pictures of one bucket. `close` when done."""

    def __init__(self, bucket: Bucket, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._bucket = bucket
        self._secret = secret
        self._clock = clock

    @classmethod
    def from_settings(cls, storage: StorageSettings) -> StoredPictures | None:
        """The deployment's bucket; None if none is set. Every process with the bucket's key creates the same ids."""
        if storage.endpoint_url is None or storage.access_key_id is None or storage.secret_access_key is None:
            return None
        return cls(Bucket(storage), storage.secret_access_key.get_secret_value().encode())

    async def close(self) -> None:
        await self._bucket.close()

    def picture_id(self, url: str, caller: str) -> str | None:
        """Id of a picture; None if the URL is not an object in this bucket."""
        name = object_name(url)
        return None if name is None else f"{name}.{self._code(name, caller)}"

    async def delete(self, picture_id: str, caller: str) -> None:
        """Delete a picture. Raises `NotFound` for an id that is not this caller's, and the bucket's errors."""
        found = _PICTURE_ID.fullmatch(picture_id)
        if found is None or not hmac.compare_digest(found[2], self._code(found[1], caller)):
            raise NotFound("There is no such picture; its id is the `picture_id` of the result.")
        await self._bucket.delete(found[1])

    async def expire(self, url: str, after_s: float) -> None:
        """Schedule the deletion of a picture in `after_s` seconds."""
        if (name := object_name(url)) is not None:
            await self._bucket.write(f"expiring/{int(self._clock() + after_s):012d}.{name}", b"")

    async def sweep(self) -> int:
        """Delete the pictures that are due; return how many."""
        deleted = 0
        for marker in await self._bucket.names("expiring"):
            found = _MARKER.fullmatch(marker)
            if found is None:
                continue
            if int(found[1]) > self._clock():
                break
            await self._bucket.delete(found[2])
            await self._bucket.delete(marker)
            deleted += 1
        return deleted

    async def sweep_forever(self) -> None:
        while True:
            try:
                if deleted := await self.sweep():
                    log.info("expired pictures deleted", pictures=deleted)
            except ImgPodError as error:
                log.warning("expired pictures not deleted", code=error.code)
            await asyncio.sleep(_SWEEP_EVERY_S)

    def _code(self, name: str, caller: str) -> str:
        text = f"picture\n{caller}\n{name}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:32]


def object_name(url: str) -> str | None:
    """The name of the object at `url`."""
    found = _URL_PATH.fullmatch(urlsplit(url).path)
    return found[1] if found else None
