"""Prompt → picture: Z-Image Turbo through diffusers, 8 steps, no guidance.

The prompt's embeddings are made here, at the prompt's own length, and kept: the pipeline pads to 512 tokens and writes
into the caller's list. Each picture draws its noise from its own generator on the CPU, so a seed means the same
picture on any device and in any batch. A black picture is decoded again in fp32 before it is given up.

May import: torch, diffusers, transformers, core.contracts, core.errors, core.weights.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.backends import BatchCallbacks, GeneratedImage, ImageRequest, NoCallbacks, Outcome
from core.backends.devices import choose_device, device_errors, without_progress_bars
from core.contracts import ModelInfo
from core.errors import BlackPicture, Cancelled, ImgPodError, InvalidRequest, Misconfigured

if TYPE_CHECKING:
    from PIL.Image import Image

    from core.weights import Located

STEPS = 8
"""Forwards of the transformer; the distilled model's own number (model card)."""
MAX_PROMPT_TOKENS = 512
CAPTION_BUCKET_TOKENS = 32
"""The transformer pads captions to multiples of this; unequal ones in one batch would need an attention mask."""
BLACK_BELOW = 8
"""A picture whose brightest channel value (0–255) is below this, or that is all one value, holds nothing."""
WORKING_BYTES = 3 * 2**30
"""Device memory wanted beyond the weights for one picture of 1024 px: activations, and the VAE at the end."""
_KEPT_EMBEDDINGS = 64
_LATENT_PX = 8


class LoadedImage:
    """`ImageBackend` over a `ZImagePipeline`."""

    def __init__(self, located: Located, pipeline: Any, device: torch.device) -> None:
        self.info = ModelInfo(name=located.name, revision=located.revision, profile=located.profile)
        self.sides, self.default_side = located.facts.sides, located.facts.default_side
        self.pipeline, self.device = pipeline, device
        self.encoder = _without_last_layer(pipeline.text_encoder)
        self.embeddings: OrderedDict[str, torch.Tensor] = OrderedDict()

    def bucket(self, request: ImageRequest) -> tuple[int, ...]:
        tokens = len(self._tokens(request.prompt))
        return (request.width, request.height, math.ceil(tokens / CAPTION_BUCKET_TOKENS))

    def generate(self, requests: Sequence[ImageRequest], watch: BatchCallbacks) -> list[Outcome[GeneratedImage]]:
        """Requests of several buckets are painted bucket by bucket."""
        outcomes: list[Outcome[GeneratedImage] | None] = [self._refusal(request) for request in requests]
        buckets: dict[tuple[int, ...], list[int]] = {}
        for index, request in enumerate(requests):
            if outcomes[index] is None:
                buckets.setdefault(self.bucket(request), []).append(index)
        for members in buckets.values():
            with device_errors("painting"), torch.inference_mode():
                painted = _Batch(self, [requests[index] for index in members], members, watch).paint()
            for index, outcome in zip(members, painted, strict=True):
                outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def embed(self, prompt: str) -> torch.Tensor:
        """`(tokens, features)`: what the text encoder makes of `prompt` before its last layer."""
        if prompt in self.embeddings:
            self.embeddings.move_to_end(prompt)
            return self.embeddings[prompt]
        ids = torch.tensor([self._tokens(prompt)], device=self.device)
        self.embeddings[prompt] = self.encoder(input_ids=ids, use_cache=False).last_hidden_state[0]
        if len(self.embeddings) > _KEPT_EMBEDDINGS:
            self.embeddings.popitem(last=False)
        return self.embeddings[prompt]

    def _tokens(self, prompt: str) -> list[int]:
        """The chat template around `prompt` as the pipeline writes it, cut where the pipeline cuts."""
        tokenizer = self.pipeline.tokenizer
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": _clean(prompt)}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        tokens: list[int] = tokenizer(text, truncation=True, max_length=MAX_PROMPT_TOKENS)["input_ids"]
        return tokens

    def _refusal(self, request: ImageRequest) -> ImgPodError | None:
        low, high = self.sides
        if all(low <= side <= high and side % 16 == 0 for side in (request.width, request.height)):
            return None
        return InvalidRequest(
            f"`width` and `height` must be multiples of 16 from {low} to {high} px with these weights."
        )


class _Batch:
    """Pictures of one bucket; `members[i]` is where `requests[i]` stands in the call that `watch` looks at."""

    def __init__(
        self, backend: LoadedImage, requests: list[ImageRequest], members: list[int], watch: BatchCallbacks
    ) -> None:
        self.backend, self.requests, self.members, self.watch = backend, requests, members, watch
        self.cancelled: set[int] = set()

    def paint(self) -> list[Outcome[GeneratedImage]]:
        if self._all_cancelled():
            return [self._outcome(place, None) for place in range(len(self.requests))]
        pipeline, first = self.backend.pipeline, self.requests[0]
        latents = pipeline(
            prompt_embeds=[self.backend.embed(request.prompt) for request in self.requests],
            width=first.width,
            height=first.height,
            latents=self._noise(),
            num_inference_steps=STEPS,
            guidance_scale=0.0,
            output_type="latent",
            callback_on_step_end=lambda _, step, __, state: self._after(step, state),
        ).images
        cancelled = self._all_cancelled()
        return [self._outcome(place, None if cancelled else latents[place]) for place in range(len(self.requests))]

    def _outcome(self, place: int, latent: torch.Tensor | None) -> Outcome[GeneratedImage]:
        if latent is None or place in self.cancelled:
            return Cancelled("The job was cancelled.")
        image = decode(self.backend.pipeline, latent[None])
        if is_black(image):
            # bf16 overflows for some prompts (Z-Image #43); where that happened in the VAE, fp32 saves the picture.
            image = decode(self.backend.pipeline, latent[None], exact=True)
        if is_black(image):
            return BlackPicture("The model painted a black picture; ask again with another seed or prompt.")
        return GeneratedImage(image, self.requests[place].seed, STEPS)

    def _noise(self) -> torch.Tensor:
        """`(B, 16, H/8, W/8)` in fp32."""
        first, channels = self.requests[0], self.backend.pipeline.transformer.config.in_channels
        shape = (channels, first.height // _LATENT_PX, first.width // _LATENT_PX)
        draws = [torch.Generator().manual_seed(request.seed) for request in self.requests]
        return torch.stack([torch.randn(shape, generator=draw) for draw in draws])

    def _after(self, step: int, state: dict[str, Any]) -> dict[str, Any]:
        for member in self.members:
            self.watch.step(member, step + 1, STEPS)
        if self._all_cancelled():
            # Private, but it is the one way in which the pipeline lets a callback end its loop.
            self.backend.pipeline._interrupt = True  # noqa: SLF001  (see above)
        return state

    def _all_cancelled(self) -> bool:
        self.cancelled |= {place for place, member in enumerate(self.members) if self.watch.cancelled(member)}
        return len(self.cancelled) == len(self.members)


def decode(pipeline: Any, latent: torch.Tensor, *, exact: bool = False) -> Image:
    """One picture's latent `(1, 16, H/8, W/8)` → RGB. One at a time: a batch would multiply the VAE's peak memory."""
    vae = pipeline.vae
    usual = vae.dtype
    if exact:
        vae.to(torch.float32)
    try:
        scaled = latent.to(vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(scaled, return_dict=False)[0]
    finally:
        if exact:
            vae.to(usual)
    [image] = pipeline.image_processor.postprocess(pixels, output_type="pil")
    picture: Image = image
    return picture


def is_black(image: Image) -> bool:
    """Whether nothing was painted: near black all over, or one value everywhere (which NaN becomes)."""
    low, high = np.asarray(image).min(), np.asarray(image).max()
    return bool(high < BLACK_BELOW or low == high)


def _without_last_layer(encoder: Any) -> Any:
    """The text encoder as far as its features are read: `hidden_states[-2]`, so neither last layer, norm nor head."""
    inner = getattr(encoder, "model", encoder)
    inner.layers = inner.layers[:-1]
    inner.norm = torch.nn.Identity()
    inner.config.num_hidden_layers -= 1
    return inner


def _clean(text: str) -> str:
    """Without lone surrogates, which can't be tokenized."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load_image(located: Located, *, device: str | None = None) -> LoadedImage:
    """bf16 on a GPU (never fp16, which overflows), fp32 on a CPU.

    Raises `Misconfigured` where the device isn't there or can't hold the model.
    """
    from diffusers import ZImagePipeline
    from diffusers.utils import logging as diffusers_logging

    on = choose_device(device)
    without_progress_bars()
    diffusers_logging.disable_progress_bar()
    pipeline = ZImagePipeline.from_pretrained(
        located.path, dtype=torch.bfloat16 if on.type == "cuda" else torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    backend = LoadedImage(located, pipeline, on)
    _check_fit(pipeline, on)
    with device_errors("loading the image model"):
        pipeline.to(on)
    return backend


def _check_fit(pipeline: Any, device: torch.device) -> None:
    if device.type != "cuda":
        return
    parts = (pipeline.transformer, pipeline.text_encoder, pipeline.vae)
    weights = sum(p.numel() * p.element_size() for part in parts for p in part.parameters())
    free, _ = torch.cuda.mem_get_info(device)
    if weights + WORKING_BYTES > free:
        raise Misconfigured(
            f"The image model needs {(weights + WORKING_BYTES) / 2**30:.0f} GiB of device memory and "
            f"{free / 2**30:.0f} GiB are free; use a GPU of 24 GB or more with nothing else on it."
        )


def warm_up(backend: LoadedImage) -> None:
    """One picture of the default size, so that the first job finds kernels chosen and memory reserved."""
    side = backend.default_side
    [outcome] = backend.generate([ImageRequest("A plain portrait.", 0, side, side)], NoCallbacks())
    if isinstance(outcome, ImgPodError) and not isinstance(outcome, BlackPicture):
        raise outcome
