"""The image backend on the embedded weights: seeds, batches, cancels, black pictures, memory, long prompts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from core.backends import GeneratedImage, ImageRequest, NoCallbacks
from core.backends.image import STEPS, LoadedImage, load_image, warm_up
from core.backends.image.backend import CAPTION_BUCKET_TOKENS
from core.backends.image.decoding import is_black
from core.errors import BlackPicture, Cancelled, InvalidRequest
from core.weights import Located, Model, fetch
from tests.core.backends.watching import Watching


@pytest.fixture(scope="module")
def weights() -> Located:
    (weights,) = fetch("embedded", [Model.IMAGE])
    return weights


@pytest.fixture(scope="module")
def backend(weights: Located) -> LoadedImage:
    backend = load_image(weights, device="cpu")
    warm_up(backend)
    return backend


def picture(seed: int, prompt: str = "A young woman with red hair by the sea.", side: int = 128) -> ImageRequest:
    return ImageRequest(prompt, seed, side, side)


def generate(backend: LoadedImage, request: ImageRequest) -> GeneratedImage:
    (outcome,) = backend.generate([request], NoCallbacks())
    assert isinstance(outcome, GeneratedImage)
    return outcome


def psnr(a: Image.Image, b: Image.Image) -> float:
    error = np.mean((np.asarray(a, dtype=float) - np.asarray(b, dtype=float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def test_same_seed_gives_the_same_bytes(backend: LoadedImage) -> None:
    assert generate(backend, picture(5)).image.tobytes() == generate(backend, picture(5)).image.tobytes()


def test_another_seed_or_prompt_gives_another_picture(backend: LoadedImage) -> None:
    first = generate(backend, picture(5)).image.tobytes()
    assert generate(backend, picture(6)).image.tobytes() != first
    assert generate(backend, picture(5, "An old man in a dark forest.")).image.tobytes() != first


def test_picture_in_a_batch_equals_a_single_one_within_numerical_noise(backend: LoadedImage) -> None:
    requests = [picture(seed, f"A person with {colour} hair.") for seed, colour in enumerate(("red", "black", "gray"))]
    together = backend.generate(requests, NoCallbacks())
    for request, outcome in zip(requests, together, strict=True):
        assert isinstance(outcome, GeneratedImage)
        assert (outcome.seed, outcome.steps) == (request.seed, STEPS)
        assert psnr(outcome.image, generate(backend, request).image) >= 40


def test_one_batch_may_mix_sizes_and_prompt_lengths(backend: LoadedImage) -> None:
    requests = [picture(1), picture(2, side=64), picture(3, "word " * 60), picture(4, side=64)]
    for request, outcome in zip(requests, backend.generate(requests, NoCallbacks()), strict=True):
        assert isinstance(outcome, GeneratedImage)
        assert outcome.image.size == (request.width, request.height)
        assert psnr(outcome.image, generate(backend, request).image) >= 40


def test_scheduler_keeps_no_state_between_calls(backend: LoadedImage) -> None:
    before = generate(backend, picture(5)).image.tobytes()
    generate(backend, picture(9, side=256))
    assert generate(backend, picture(5)).image.tobytes() == before


def test_embeddings_equal_those_of_the_pipeline(backend: LoadedImage, weights: Located) -> None:
    from diffusers import ZImagePipeline

    whole = ZImagePipeline.from_pretrained(weights.path, dtype=torch.float32)
    prompts = ["A young woman with red hair by the sea."]
    with torch.inference_mode():
        (own,), _ = whole.encode_prompt(list(prompts), device="cpu", do_classifier_free_guidance=False)
    ours = backend.prompts.embed(prompts[0])
    assert ours.shape == own.shape
    assert torch.allclose(ours, own, atol=1e-5)


def test_picture_from_our_embeddings_equals_the_pipelines(backend: LoadedImage, weights: Located) -> None:
    from diffusers import ZImagePipeline

    whole = ZImagePipeline.from_pretrained(weights.path, dtype=torch.float32)
    whole.set_progress_bar_config(disable=True)
    request = picture(11)
    (own,) = whole(
        prompt=[request.prompt],
        width=128,
        height=128,
        num_inference_steps=STEPS,
        guidance_scale=0.0,
        generator=[torch.Generator().manual_seed(11)],
    ).images
    assert psnr(own, generate(backend, request).image) >= 40


def test_at_most_64_embeddings_are_cached(backend: LoadedImage) -> None:
    for number in range(70):
        backend.prompts.embed(f"prompt {number}")
    assert len(backend.prompts.embeddings) == 64


def test_prompts_padded_to_the_same_length_share_a_bucket(backend: LoadedImage) -> None:
    assert backend.bucket(picture(1, "a")) == backend.bucket(picture(2, "a b c"))
    assert backend.bucket(picture(1, "a")) != backend.bucket(picture(1, "word " * CAPTION_BUCKET_TOKENS))
    assert backend.bucket(picture(1)) != backend.bucket(picture(1, side=64))


def test_long_prompt_is_cut_to_512_tokens_and_keeps_the_templates_end(backend: LoadedImage) -> None:
    encoder = backend.prompts
    long = "".join(f"word{number} " for number in range(900))
    tokens, short = encoder.tokens(long), encoder.tokens("a cat")
    assert (len(tokens.ids), tokens.truncated, short.truncated) == (512, True, False)
    assert len(encoder.ending) >= 3
    assert list(tokens.ids[-len(encoder.ending) :]) == list(short.ids[-len(encoder.ending) :]) == encoder.ending
    assert encoder.tokenizer.decode(tokens.ids).startswith("<|im_start|>user\nword0 word1")
    assert encoder.embed(long).shape[0] == 512


def test_picture_of_a_long_prompt_reports_the_cut(backend: LoadedImage) -> None:
    assert generate(backend, picture(1, "word " * 900)).prompt_truncated
    assert not generate(backend, picture(1)).prompt_truncated


def test_eight_steps_are_eight_forward_passes_of_the_distilled_schedule(backend: LoadedImage) -> None:
    """Other releases of diffusers run one forward more or less for the same argument."""
    seen: list[float] = []
    hook = backend.pipeline.transformer.register_forward_pre_hook(lambda _, args: seen.append(1 - float(args[1][0])))
    generate(backend, picture(1))
    hook.remove()
    expected = [1, 0.9545, 0.9, 0.8333, 0.75, 0.6429, 0.5, 0.3]
    assert seen == pytest.approx(expected, abs=1e-4)
    assert backend.pipeline.scheduler.sigmas.tolist() == pytest.approx([*expected, 0], abs=1e-4)


def test_lone_surrogates_in_a_prompt_are_replaced(backend: LoadedImage) -> None:
    generate(backend, picture(1, "a \ud83d cat"))


@pytest.mark.parametrize(("width", "height"), [(48, 128), (128, 272), (130, 128), (0, 0), (4096, 4096)])
def test_request_with_a_size_out_of_bounds_fails_only_itself(backend: LoadedImage, width: int, height: int) -> None:
    refused, generated = backend.generate([ImageRequest("a", 1, width, height), picture(1)], NoCallbacks())
    assert isinstance(refused, InvalidRequest)
    assert "64 to 256" in refused.message
    assert isinstance(generated, GeneratedImage)


def test_every_step_is_reported_to_every_member(backend: LoadedImage) -> None:
    watch = Watching()
    backend.generate([picture(1), picture(2)], watch)
    assert watch.of(0) == watch.of(1) == list(range(1, STEPS + 1))
    assert {of for _, _, of in watch.steps} == {STEPS}


def test_a_batch_stops_within_a_step_when_its_last_member_is_cancelled(backend: LoadedImage) -> None:
    watch = Watching(cancel={0: 2, 1: 3})
    outcomes = backend.generate([picture(1), picture(2)], watch)
    assert [type(outcome) for outcome in outcomes] == [Cancelled, Cancelled]
    assert max(watch.of(1)) == 3


def test_a_cancelled_member_does_not_end_the_others(backend: LoadedImage) -> None:
    cancelled, generated = backend.generate([picture(1), picture(2)], Watching(cancel={0: 2}))
    assert isinstance(cancelled, Cancelled)
    assert isinstance(generated, GeneratedImage)
    assert psnr(generated.image, generate(backend, picture(2)).image) >= 40


def test_job_cancelled_before_it_began_runs_no_step(backend: LoadedImage) -> None:
    watch = Watching(cancel={0: 0})
    (outcome,) = backend.generate([picture(1)], watch)
    assert isinstance(outcome, Cancelled)
    assert watch.steps == []


def test_cancel_does_not_affect_the_next_call(backend: LoadedImage) -> None:
    backend.generate([picture(1)], Watching(cancel={0: 1}))
    assert generate(backend, picture(1)).image.size == (128, 128)


@contextmanager
def last_layer_gives(backend: LoadedImage, value: float) -> Iterator[None]:
    """Make the VAE's last convolution return `value` everywhere."""
    layer = backend.pipeline.vae.decoder.conv_out
    kept = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(value)
    yield
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(kept[name])


@pytest.mark.parametrize("value", [-5.0, float("nan")])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_black_picture_is_a_separate_outcome(backend: LoadedImage, value: float) -> None:
    with last_layer_gives(backend, value):
        (outcome,) = backend.generate([picture(1)], NoCallbacks())
    assert isinstance(outcome, BlackPicture)
    assert outcome.retryable


def test_exact_decode_runs_in_fp32_and_restores_the_vae(backend: LoadedImage) -> None:
    vae = backend.pipeline.vae
    latent = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    vae.to(torch.bfloat16)
    try:
        with torch.inference_mode():
            exact = backend.decoder.picture(latent, exact=True)
        assert vae.dtype is torch.bfloat16
    finally:
        vae.to(torch.float32)
    # Weights went through bf16 on disk already, so nothing but the arithmetic differs.
    with torch.inference_mode():
        assert psnr(exact, backend.decoder.picture(latent)) >= 60


def test_dark_picture_with_content_is_not_black() -> None:
    dark = Image.new("RGB", (64, 64), (2, 2, 2))
    assert is_black(dark)
    assert is_black(Image.new("RGB", (64, 64), (128, 128, 128)))
    dark.putpixel((5, 5), (40, 30, 30))
    assert not is_black(dark)
