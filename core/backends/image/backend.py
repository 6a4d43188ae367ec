"""Generate pictures with Z-Image Turbo through diffusers: 8 steps, no guidance.

Embeddings are computed here, at the prompt's own length, and cached; the pipeline's own method pads to 512 tokens and
changes the caller's list. Each picture's noise comes from its own generator on the CPU, so a seed gives the same
picture on any device and in any batch. A black picture is decoded again in fp32 before it is reported as black.

May import: torch, core.backends, core.contracts, core.errors, core.weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from core.backends import BatchCallbacks, GeneratedImage, ImageRequest, Outcome
from core.backends.devices import DeviceMemory, device_errors
from core.backends.image.decoding import LATENT_PX, Decoder, is_black
from core.backends.image.prompts import PromptEncoder
from core.contracts import ModelInfo
from core.errors import BlackPicture, Cancelled, ImgPodError, InvalidRequest, TooLarge

if TYPE_CHECKING:
    from core.weights import Located

STEPS = 8
"""Forward passes of the transformer, as distilled (model card)."""
CAPTION_BUCKET_TOKENS = 32
"""The transformer pads prompts to multiples of this; unequal ones in one batch would need an attention mask."""
WORKING_BYTES = 3 * 2**30
"""Device memory needed besides the weights for one picture of any supported size, up to 1536 px.

Computed (`python -m bench.gpu --meta`): the largest of the transformer's activations at 1536 px (1.1 GiB), the VAE's at
1024 px, which larger pictures don't exceed because they are decoded in tiles (1.5 GiB), and a tile in fp32 (1.7 GiB
and a second copy of the VAE, 0.2 GiB); the rest is room for cuDNN's workspace.
"""


class LoadedImage:
    """`ImageBackend` over a `ZImagePipeline` that is on `device`."""

    def __init__(self, located: Located, pipeline: Any, device: torch.device) -> None:
        self.info = ModelInfo(name=located.name, revision=located.revision, profile=located.profile)
        self.sides, self.default_side = located.facts.sides, located.facts.default_side
        self.pipeline, self.device = pipeline, device
        self.memory = DeviceMemory(device, WORKING_BYTES)
        self.prompts = PromptEncoder(pipeline, device)
        self.decoder = Decoder(pipeline, self.memory)

    def bucket(self, request: ImageRequest) -> tuple[int, ...]:
        tokens = len(self.prompts.tokens(request.prompt).ids)
        return (request.width, request.height, math.ceil(tokens / CAPTION_BUCKET_TOKENS))

    def generate(
        self, requests: Sequence[ImageRequest], watch: BatchCallbacks, *, steps: int = STEPS
    ) -> list[Outcome[GeneratedImage]]:
        """Generate pictures; requests of several buckets run one bucket after another."""
        outcomes: list[Outcome[GeneratedImage] | None] = [self._refusal(request) for request in requests]
        buckets: dict[tuple[int, ...], list[int]] = {}
        for index, request in enumerate(requests):
            if outcomes[index] is None:
                buckets.setdefault(self.bucket(request), []).append(index)
        for members in buckets.values():
            generated = self._run(ImageBatch(self, [requests[index] for index in members], members, watch, steps))
            for index, outcome in zip(members, generated, strict=True):
                outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _run(self, batch: ImageBatch) -> list[Outcome[GeneratedImage]]:
        """Run a batch; if it doesn't fit into memory, run its requests one by one, with `TooLarge` as an outcome."""
        try:
            with device_errors("generating a picture", self.memory), torch.inference_mode():
                return batch.run()
        except TooLarge as error:
            if len(batch.requests) == 1:
                return [error]
        return [outcome for single in batch.singles() for outcome in self._run(single)]

    def _refusal(self, request: ImageRequest) -> ImgPodError | None:
        low, high = self.sides
        if all(low <= side <= high and side % 16 == 0 for side in (request.width, request.height)):
            return None
        return InvalidRequest(
            f"`width` and `height` must be multiples of 16 from {low} to {high} px with these weights."
        )


class ImageBatch:
    """Pictures of one bucket; `members[i]` is the index of `requests[i]` in the call that `watch` belongs to."""

    def __init__(
        self,
        backend: LoadedImage,
        requests: list[ImageRequest],
        members: list[int],
        watch: BatchCallbacks,
        steps: int,
    ) -> None:
        self.backend, self.requests, self.members, self.watch, self.steps = backend, requests, members, watch, steps
        self.cancelled: set[int] = set()

    def run(self) -> list[Outcome[GeneratedImage]]:
        latents = None if self._all_cancelled() else self.latents()
        if self._all_cancelled():
            latents = None
        return [self._outcome(place, None if latents is None else latents[place]) for place in range(len(self.members))]

    def singles(self) -> list[ImageBatch]:
        return [
            ImageBatch(self.backend, [request], [member], self.watch, self.steps)
            for request, member in zip(self.requests, self.members, strict=True)
        ]

    def latents(self) -> torch.Tensor:
        """`(B, 16, H/8, W/8)` in fp32."""
        first = self.requests[0]
        latents: torch.Tensor = self.backend.pipeline(
            prompt_embeds=[self.backend.prompts.embed(request.prompt) for request in self.requests],
            width=first.width,
            height=first.height,
            latents=self._noise(),
            num_inference_steps=self.steps,
            guidance_scale=0.0,
            output_type="latent",
            callback_on_step_end=lambda _, step, __, state: self._after(step, state),
        ).images
        return latents

    def _outcome(self, place: int, latent: torch.Tensor | None) -> Outcome[GeneratedImage]:
        if latent is None or place in self.cancelled:
            return Cancelled("The job was cancelled.")
        try:
            with device_errors("decoding a picture", self.backend.memory):
                return self._picture(self.requests[place], latent[None])
        except TooLarge as error:
            return error

    def _picture(self, request: ImageRequest, latent: torch.Tensor) -> Outcome[GeneratedImage]:
        image = self.backend.decoder.picture(latent)
        if is_black(image):
            # bf16 overflows for some prompts (Z-Image #43); if that happened in the VAE, decoding in fp32 avoids it.
            image = self.backend.decoder.picture(latent, exact=True)
        if is_black(image):
            return BlackPicture("The model generated a black picture; ask again with another seed or prompt.")
        truncated = self.backend.prompts.tokens(request.prompt).truncated
        return GeneratedImage(image, request.seed, self.steps, prompt_truncated=truncated)

    def _noise(self) -> torch.Tensor:
        """`(B, 16, H/8, W/8)` in fp32."""
        first, channels = self.requests[0], self.backend.pipeline.transformer.config.in_channels
        shape = (channels, first.height // LATENT_PX, first.width // LATENT_PX)
        draws = [torch.Generator().manual_seed(request.seed) for request in self.requests]
        return torch.stack([torch.randn(shape, generator=draw) for draw in draws])

    def _after(self, step: int, state: dict[str, Any]) -> dict[str, Any]:
        for member in self.members:
            self.watch.step(member, step + 1, self.steps)
        if self._all_cancelled():
            # Private, but the only way for a callback to end the pipeline's loop.
            self.backend.pipeline._interrupt = True  # noqa: SLF001  (see above)
        return state

    def _all_cancelled(self) -> bool:
        self.cancelled |= {place for place, member in enumerate(self.members) if self.watch.cancelled(member)}
        return len(self.cancelled) == len(self.members)
