"""Make an avatar from a selfie: python examples/avatar.py me.jpg"""

from __future__ import annotations

import sys

from img_pod import ImgPod


def main(selfie: str) -> None:
    with ImgPod() as client:
        avatar = client.profile.create(selfie=selfie, style="watercolour")
    path = avatar.save(f"avatar.{avatar.image_format}")
    print(f"{path}: {avatar.prompt_used}")
    if avatar.features is not None:
        known = avatar.features.model_dump(mode="json", exclude={"confidence", "signature"})
        print(", ".join(f"{name} {value}" for name, value in known.items() if value != "unknown"))


if __name__ == "__main__":
    main(*sys.argv[1:])
