"""Make avatars from all pictures in a folder, eight at a time: python examples/batch_selfies.py FOLDER"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from img_pod import AsyncImgPod, ImgPodError

IN_FLIGHT = 8
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".heic"}


async def main(folder: str) -> None:
    selfies = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES)
    places = asyncio.Semaphore(IN_FLIGHT)

    async with AsyncImgPod() as client:

        async def one(selfie: Path) -> str:
            async with places:
                try:
                    avatar = await client.profile.create(selfie=selfie)
                except ImgPodError as error:
                    return f"{selfie.name}: {error.code}: {error.message}"
                return f"{selfie.name}: {avatar.save(selfie.with_suffix(f'.avatar.{avatar.image_format}'))}"

        for done in asyncio.as_completed([one(selfie) for selfie in selfies]):
            print(await done)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
