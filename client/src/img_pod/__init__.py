"""Client for img-pod: avatar pictures over its HTTP API or as jobs on RunPod.

    from img_pod import ImgPod

    with ImgPod() as client:
        avatar = client.profile.create(selfie="me.jpg", style="watercolour")
        avatar.save("avatar.webp")
        picture = client.chat.scenes(
            messages=[{"role": "user", "content": "us two at the beach"}], features=avatar.features
        )

`AsyncImgPod` has the same names. `ImgPod.runpod(endpoint_id)` uses an endpoint's job API instead.
"""

from img_pod import errors
from img_pod._async.client import AsyncImgPod, AsyncJob
from img_pod._sync.client import ImgPod, Job
from img_pod._version import __version__
from img_pod.contracts import ChatMessage, Features, Subject
from img_pod.errors import ImgPodError
from img_pod.events import Event, Progress, Status
from img_pod.results import Picture, Result
from img_pod.webhooks import InvalidSignature, verify_webhook

__all__ = [
    "AsyncImgPod",
    "AsyncJob",
    "ChatMessage",
    "Event",
    "Features",
    "ImgPod",
    "ImgPodError",
    "InvalidSignature",
    "Job",
    "Picture",
    "Progress",
    "Result",
    "Status",
    "Subject",
    "__version__",
    "errors",
    "verify_webhook",
]
