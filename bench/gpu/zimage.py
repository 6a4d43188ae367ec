"""Z-Image Turbo: memory and time of each part, and of each option alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from bench.gpu import configs
from bench.gpu.measure import Meter, Row, outcome_of, released
from bench.gpu.plan import Plan
from core.backends import ImageRequest, NoCallbacks
from core.backends.image import STEPS, ImageOptions, LoadedImage
from core.backends.image.backend import ImageBatch
from core.backends.image.decoding import LATENT_PX
from core.backends.image.options import apply_options
from core.errors import Misconfigured
from core.weights import Facts, Located, Model, locate

PROMPT = "A photograph of a woman with red hair who reads a letter by a window, soft morning light, film grain."
Load = Callable[[ImageOptions], LoadedImage]
_CHANNELS = 16
PLAIN = ImageOptions(fused_norms=False)
SWITCHES = {
    "fused norms": ImageOptions(),
    "encoder int8": dataclasses.replace(PLAIN, encoder="int8"),
    "encoder fp8": dataclasses.replace(PLAIN, encoder="fp8"),
    "transformer int8": dataclasses.replace(PLAIN, transformer="int8"),
    "transformer fp8": dataclasses.replace(PLAIN, transformer="fp8"),
    "channels last": dataclasses.replace(PLAIN, channels_last=True),
    "compiled": dataclasses.replace(PLAIN, compiled=True),
}


def random_backend(options: ImageOptions, device: torch.device, *, shrink: bool) -> LoadedImage:
    """The product's backend with the full configuration and the same random weights each time."""
    torch.manual_seed(0)
    with configs.built_in(configs.dtype_on(device), device):
        transformer = configs.transformer(shrink=shrink).eval()
        encoder = configs.text_encoder(shrink=shrink).eval()
        vae = configs.vae(shrink=shrink).eval()
    facts = Facts(sides=(64, 256), default_side=128) if shrink else Facts()
    backend = backend_of(transformer, encoder, vae, device, facts)
    apply_options(backend, options)
    return backend


def backend_of(transformer: Any, text_encoder: Any, vae: Any, device: torch.device, facts: Facts) -> LoadedImage:
    """The product's backend with these models and the embedded tokenizer."""
    from diffusers import ZImagePipeline
    from transformers import AutoTokenizer

    where = locate("embedded", Model.IMAGE).path
    pipeline = ZImagePipeline(
        scheduler=configs.scheduler(),
        tokenizer=AutoTokenizer.from_pretrained(where / "tokenizer"),
        transformer=transformer,
        text_encoder=text_encoder,
        vae=vae,
    )
    pipeline.set_progress_bar_config(disable=True)
    return LoadedImage(Located(where, "random", "0", "random", facts), pipeline, device)


def rows(load: Load, meter: Meter, plan: Plan) -> Iterator[Row]:
    with released(meter):
        backend = load(ImageOptions())
        yield Row("zimage", "weights loaded", meter.allocated())
        yield from _parts(backend, meter, plan)
        for side in plan.sides:
            for batch in plan.batches:
                yield meter.row("zimage", f"picture {side} px, batch {batch}", _pictures(backend, side, batch))
            yield meter.row("zimage", f"VAE {side} px, bf16", _decode(backend, side, exact=False))
            yield meter.row("zimage", f"VAE {side} px, fp32", _decode(backend, side, exact=True))
        del backend
    yield from _switches(load, meter, plan)


def _parts(backend: LoadedImage, meter: Meter, plan: Plan) -> Iterator[Row]:
    side = plan.sides[0]
    batch = _batch(backend, side, 1)
    with torch.inference_mode():
        embedding = backend.prompts.embed(PROMPT)
    latent = torch.zeros(_CHANNELS, 1, side // LATENT_PX, side // LATENT_PX, device=backend.device)
    half = torch.full((1,), 0.5, device=backend.device)
    transformer = backend.pipeline.transformer
    step = _inferring(lambda: transformer([latent.to(transformer.dtype)], half, [embedding], return_dict=False))

    def encode() -> None:
        backend.prompts.embeddings.clear()
        backend.prompts.embed(PROMPT)

    yield meter.row("zimage", "text encoder", _inferring(encode))
    yield meter.row("zimage", f"step {side} px", step)
    yield meter.row("zimage", f"loop of {STEPS} steps {side} px", _inferring(batch.latents))


def _switches(load: Load, meter: Meter, plan: Plan) -> Iterator[Row]:
    """Each option alone compared with plain bf16: time of loop and VAE, difference of latents and pixels."""
    side = plan.sides[0]
    with released(meter):
        plain = load(PLAIN)
        wanted = _result(plain, side)
        yield _switch("plain bf16", plain, meter, side, wanted)
        plain.decoder.whole_up_to_px, plain.decoder.tiles_px = plan.tile_px, (plan.tile_px,)
        yield _switch(f"tiles of {plan.tile_px} px", plain, meter, side, wanted)
        del plain
    for name, options in SWITCHES.items():
        if options.compiled and not plan.compiled:
            continue
        with released(meter):
            try:
                yield _switch(name, load(options), meter, side, wanted)
            except Misconfigured as error:
                yield Row("switch", name, failed=error.message)


def _switch(name: str, backend: LoadedImage, meter: Meter, side: int, wanted: tuple[torch.Tensor, Any]) -> Row:
    def values() -> dict[str, float]:
        loaded = meter.allocated()
        found = _result(backend, side)
        loop = meter.times(_inferring(_batch(backend, side, 1).latents))
        vae = meter.times(_decode(backend, side, exact=False))
        return {
            "loop_ms": loop["median_ms"],
            "vae_ms": vae["median_ms"],
            **loaded,
            **meter.memory(),
            "latents_distance": float((found[0] - wanted[0]).norm() / wanted[0].norm()),
            "pixels_mean_difference": float(np.abs(found[1] - wanted[1]).mean()),
        }

    return meter.guarded("switch", name, values)


def _result(backend: LoadedImage, side: int) -> tuple[torch.Tensor, Any]:
    with torch.inference_mode():
        latents = _batch(backend, side, 1).latents()
        picture = backend.decoder.picture(latents[:1])
    return latents.float().cpu(), np.asarray(picture, dtype=float)


def _batch(backend: LoadedImage, side: int, count: int) -> ImageBatch:
    requests = [ImageRequest(PROMPT, seed, side, side) for seed in range(count)]
    return ImageBatch(backend, requests, list(range(count)), NoCallbacks(), STEPS)


def _pictures(backend: LoadedImage, side: int, batch: int) -> Callable[[], Any]:
    """Complete pictures as in a job. A batch that doesn't fit is reported, although the product would split it."""
    return _inferring(lambda: outcome_of(_batch(backend, side, batch).run()))


def _decode(backend: LoadedImage, side: int, *, exact: bool) -> Callable[[], Any]:
    noise = torch.randn(1, _CHANNELS, side // LATENT_PX, side // LATENT_PX, device=backend.device)
    return _inferring(lambda: backend.decoder.picture(noise, exact=exact))


def _inferring(run: Callable[[], Any]) -> Callable[[], Any]:
    def inferring() -> Any:
        with torch.inference_mode():
            return run()

    return inferring
