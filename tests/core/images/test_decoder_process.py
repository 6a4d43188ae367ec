"""Decoding in a child process with limits of time and memory; a crash affects one picture only."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from core.errors import BadPicture, DeadlineExceeded, ImgPodError, TooLarge
from core.images import IntakeLimits, OpenedPicture, decoder_process, open_picture, open_selfie
from core.images.decoder_process import DecoderProcess, executor, prestart
from core.images.limits import DEFAULT_LIMITS
from tests.core.images.test_decoding import assert_corners, corners, png, saved


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    process = DecoderProcess()
    yield process
    process.end()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_decoder_process_returns_the_same_pixels(process: DecoderProcess, image_format: str) -> None:
    data = saved(corners(), image_format)
    seen = process.decode(data, DEFAULT_LIMITS)
    assert seen.image.tobytes() == open_picture(data).image.tobytes()
    assert (seen.scale, seen.kept) == (1, 1)


def test_decoder_process_decodes_many_pictures_with_separate_errors(process: DecoderProcess) -> None:
    for _ in range(2):
        assert_corners(process.decode(saved(corners(), "PNG"), DEFAULT_LIMITS).image)
        with pytest.raises(BadPicture, match="not a picture"):
            process.decode(b"%PDF", DEFAULT_LIMITS)
        with pytest.raises(TooLarge, match="megapixels"):
            process.decode(png(20_000, 20_000, b""), DEFAULT_LIMITS)
    assert process.alive


def test_decoder_over_its_time_limit_is_killed(process: DecoderProcess) -> None:
    busy = saved(Image.effect_noise((3_000, 2_000), 90), "PNG")
    with pytest.raises(BadPicture, match="too long to decode"):
        process.decode(busy, IntakeLimits(decode_cpu_s=0.005))
    assert not process.alive


def test_decoder_crash_fails_one_picture_only() -> None:
    process = DecoderProcess()
    os.kill(process.pid, signal.SIGSEGV)
    with pytest.raises(BadPicture, match="decoder failed"):
        process.decode(saved(corners(), "PNG"), DEFAULT_LIMITS)


def test_decoding_delayed_by_a_busy_machine_is_a_retryable_error() -> None:
    process = DecoderProcess()
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded) as caught:
        process.decode(saved(corners(), "PNG"), IntakeLimits(decode_wall_s=0.2))
    assert caught.value.retryable


def test_decoder_over_its_memory_limit_is_an_error(process: DecoderProcess) -> None:
    limits = IntakeLimits(max_pixels=2_000_000_000, max_decoded_pixels=2_000_000_000)
    with pytest.raises(ImgPodError) as caught:
        process.decode(png(25_000, 25_000, zlib.compress(b"\x00" * 1_000)), limits)
    assert isinstance(caught.value, TooLarge | BadPicture)


def test_decoder_processes_can_be_started_before_the_first_picture() -> None:
    prestart()
    pids = [executor().submit(lambda: decoder_process._own_child().pid).result() for _ in range(4)]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(set(pids)) <= decoder_process.PARALLEL_DECODES


def test_decoder_process_has_no_secrets_in_its_environment(process: DecoderProcess) -> None:
    names = {entry.split(b"=")[0] for entry in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0") if entry}
    assert names <= {b"PATH", b"LANG", b"LD_LIBRARY_PATH", b"COVERAGE_PROCESS_CONFIG", b"COVERAGE_PROCESS_START"}


async def test_a_selfie_opens_from_base64_and_from_a_data_uri() -> None:
    text = base64.b64encode(saved(corners(), "PNG")).decode()
    assert_corners((await open_selfie(text)).image)
    assert_corners((await open_selfie(f"data:image/png;base64,{text}")).image)


async def test_selfie_from_a_url_uses_the_given_fetch_function() -> None:
    asked: list[str] = []

    async def fetch(url: str, limits: IntakeLimits) -> bytes:
        asked.append(url)
        assert limits.redirects == 3
        return saved(corners(), "PNG")

    assert_corners((await open_selfie(" https://example.com/me.png\n", fetch=fetch)).image)
    assert asked == ["https://example.com/me.png"]


async def test_pictures_are_decoded_concurrently_after_one_process_was_killed() -> None:
    busy = base64.b64encode(saved(Image.effect_noise((3_000, 2_000), 90), "PNG")).decode()
    good = base64.b64encode(saved(corners(), "PNG")).decode()
    short = IntakeLimits(decode_cpu_s=0.005)
    ends = await asyncio.gather(
        open_selfie(busy, limits=short), *(open_selfie(good) for _ in range(4)), return_exceptions=True
    )
    assert isinstance(ends[0], BadPicture)
    for end in ends[1:]:
        assert isinstance(end, OpenedPicture)
        assert_corners(end.image)


def test_bytes_in_the_form_of_a_message_are_read_as_a_file(process: DecoderProcess) -> None:
    with pytest.raises(BadPicture), io.BytesIO(b'{"bytes": 5}\n{"code": "x"}\n' * 100) as file:
        process.decode(file.getvalue(), DEFAULT_LIMITS)
    assert_corners(process.decode(saved(corners(), "PNG"), DEFAULT_LIMITS).image)
