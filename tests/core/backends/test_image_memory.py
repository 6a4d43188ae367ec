"""Behaviour of the image model when memory is exhausted, simulated by failures above a given size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from core.backends import GeneratedImage, ImageRequest, NoCallbacks
from core.backends.image import LoadedImage, load_image, warm_up
from core.backends.image.decoding import LATENT_PX, Decoder, decode_in_tiles, tile_starts
from core.errors import Misconfigured, OutOfDeviceMemory, TooLarge
from core.weights import Model, fetch
from core.worker.device import Device
from core.worker.job import Reply


@pytest.fixture
def backend() -> LoadedImage:
    (weights,) = fetch("embedded", [Model.IMAGE])
    return load_image(weights, device="cpu")


@contextmanager
def out_of_memory_above(module: torch.nn.Module, elements: int) -> Iterator[list[int]]:
    """Make `module` fail as a full CUDA device does for latents of more than `elements`; yields the sizes tried."""
    tried: list[int] = []

    def check(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
        latents = torch.stack(args[0]) if isinstance(args[0], list) else args[0]
        tried.append(latents.numel() // latents.shape[1])
        if tried[-1] > elements:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = module.register_forward_pre_hook(check)
    yield tried
    hook.remove()


def latents_of(side: int) -> int:
    return (side // LATENT_PX) ** 2


def request(side: int, seed: int = 1) -> ImageRequest:
    return ImageRequest("A woman by the sea.", seed, side, side)


def psnr(a: Any, b: Any) -> float:
    error = np.mean((np.asarray(a, dtype=float) - np.asarray(b, dtype=float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def test_request_that_does_not_fit_fails_only_itself(backend: LoadedImage) -> None:
    with out_of_memory_above(backend.pipeline.transformer, latents_of(128)):
        too_large, fits = backend.generate([request(256), request(128)], NoCallbacks())
    assert isinstance(too_large, TooLarge)
    assert not too_large.retryable
    assert "smaller sides" in too_large.message
    assert isinstance(fits, GeneratedImage)


def test_batch_that_does_not_fit_runs_one_by_one(backend: LoadedImage) -> None:
    with out_of_memory_above(backend.pipeline.transformer, latents_of(128)):
        outcomes = backend.generate([request(128, seed) for seed in (1, 2)], NoCallbacks())
    assert [outcome.seed for outcome in outcomes if isinstance(outcome, GeneratedImage)] == [1, 2]


async def test_worker_is_kept_and_serves_the_next_job_after_a_request_that_does_not_fit(backend: LoadedImage) -> None:
    device = Device(backend.generate, bucket=backend.bucket)
    with out_of_memory_above(backend.pipeline.transformer, latents_of(128)):
        with pytest.raises(TooLarge) as failed:
            await device.run(request(256))
        assert (await device.run(request(128))).result.image.size == (128, 128)
    device.close()
    reply = Reply.of_error(failed.value)
    assert not reply.refresh
    assert b"stopPod" not in reply.body


async def test_worker_is_replaced_if_memory_stays_exhausted(
    backend: LoadedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend.memory, "free_bytes", lambda: 2**20)
    device = Device(backend.generate, bucket=backend.bucket)
    with out_of_memory_above(backend.pipeline.transformer, 0), pytest.raises(OutOfDeviceMemory) as failed:
        await device.run(request(128))
    device.close()
    assert Reply.of_error(failed.value).refresh


def test_tensors_of_the_failed_call_are_released_before_memory_is_measured(backend: LoadedImage) -> None:
    held: list[Any] = []

    def fail(*_: Any) -> None:
        import weakref

        block = torch.zeros(8)
        held.append(weakref.ref(block))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    measured: list[bool] = []
    backend.memory.free_bytes = lambda: measured.append(held[0]() is None) or 2**40  # type: ignore[method-assign]
    hook = backend.pipeline.transformer.register_forward_pre_hook(fail)
    (outcome,) = backend.generate([request(64)], NoCallbacks())
    hook.remove()
    assert isinstance(outcome, TooLarge)
    assert measured == [True]


def test_decode_that_does_not_fit_is_repeated_in_smaller_tiles(backend: LoadedImage) -> None:
    backend.decoder.tiles_px = (128, 96, 64)
    whole = backend.generate([request(256)], NoCallbacks())[0]
    with out_of_memory_above(backend.pipeline.vae.decoder, latents_of(96)) as tried:
        tiled = backend.generate([request(256)], NoCallbacks())[0]
    assert tried[:3] == [latents_of(256), latents_of(128), latents_of(96)]
    assert isinstance(whole, GeneratedImage)
    assert isinstance(tiled, GeneratedImage)
    assert psnr(whole.image, tiled.image) > 30


def test_decode_that_fits_in_no_tile_fails_the_request(backend: LoadedImage) -> None:
    with out_of_memory_above(backend.pipeline.vae.decoder, 0):
        (outcome,) = backend.generate([request(128)], NoCallbacks())
    assert isinstance(outcome, TooLarge)


def test_pictures_above_1024_px_and_exact_decodes_are_tiled_from_the_start(backend: LoadedImage) -> None:
    decoder = Decoder(backend.pipeline, backend.memory)
    assert decoder.tile_sides(1024, exact=False) == [None, 768, 512]
    assert decoder.tile_sides(1280, exact=False) == [1024, 768, 512]
    assert decoder.tile_sides(1536, exact=True) == [768, 512]
    assert decoder.tile_sides(1024, exact=True) == [768, 512]
    assert decoder.tile_sides(512, exact=True) == [None]
    assert decoder.tile_sides(256, exact=False) == [None]


@pytest.mark.parametrize("shape", [(192, 192), (160, 130), (129, 97), (128, 128), (200, 64)])
def test_tiles_cover_each_pixel_and_blend_to_what_was_decoded(shape: tuple[int, int]) -> None:
    latent = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    shapes = set()

    def enlarge(tile: torch.Tensor) -> torch.Tensor:
        shapes.add(tuple(tile.shape[-2:]))
        return tile.repeat_interleave(LATENT_PX, -1).repeat_interleave(LATENT_PX, -2)

    assert torch.allclose(decode_in_tiles(enlarge, latent, 128), enlarge(latent), atol=1e-5)
    assert len(shapes - {shape}) <= 1, "all tiles have one size"


@pytest.mark.parametrize(("length", "tile"), [(192, 128), (129, 128), (192, 64), (97, 96), (512, 64)])
def test_neighbouring_tiles_overlap_by_a_quarter(length: int, tile: int) -> None:
    starts = tile_starts(length, tile)
    assert (starts[0], starts[-1] + tile) == (0, length)
    assert all(after - before <= tile - tile // 4 for before, after in itertools.pairwise(starts))


def test_warm_up_lowers_the_largest_side_to_what_fits(backend: LoadedImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.backends.image.loading._SIDE_STEP", 64)
    with out_of_memory_above(backend.pipeline.transformer, latents_of(192)):
        warm_up(backend)
    assert backend.sides == (64, 192)


def test_warm_up_runs_the_largest_side_with_the_longest_prompt(backend: LoadedImage) -> None:
    with out_of_memory_above(backend.pipeline.transformer, 10**9) as tried:
        warm_up(backend)
    assert max(tried) == latents_of(256)
    assert any(embedding.shape[0] == 512 for embedding in backend.prompts.embeddings.values())


def test_warm_up_refuses_a_device_on_which_the_default_side_does_not_fit(backend: LoadedImage) -> None:
    with (
        out_of_memory_above(backend.pipeline.transformer, latents_of(64)),
        pytest.raises(Misconfigured, match="128 px"),
    ):
        warm_up(backend)
