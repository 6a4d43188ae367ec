"""Draw a chat with the person of a selfie: python examples/chat_same_person.py me.jpg"""

from __future__ import annotations

import sys

from img_pod import ImgPod

CHAT = ["Shall we go to the sea?", "Show us at the beach at sunset!", "And now by the fire, later that evening."]


def main(selfie: str) -> None:
    with ImgPod() as client:
        person = client.profile.create(selfie=selfie).features
        messages: list[dict[str, str]] = []
        for number, text in enumerate(CHAT):
            messages.append({"role": "user", "content": text})
            picture = client.chat.scenes(messages=messages, features=person)
            print(picture.save(f"chat-{number}.{picture.image_format}"), "–", picture.caption)
            messages.append({"role": "assistant", "content": picture.caption or ""})


if __name__ == "__main__":
    main(*sys.argv[1:])
