"""Train the tiny Z-Image's autoencoder: 16 channels, one eighth of the picture's sides.

    python -m embedded.training.vae DATA RUNS --minutes 25
    python -m embedded.training.vae DATA RUNS --minutes 15 --decoder-only      encoder and latents unchanged

Loss: squared and absolute error of the pixels, and absolute error of their differences to their neighbours. The last
term keeps edges sharp; alone it would give flat pictures at first. Noise on the latents makes the decoder tolerate
small errors of the transformer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from embedded.drawing import dataset
from embedded.training.loop import Averaged, Clock, Run, to_signed

SIDE = 128
"""px of the pictures that the image model generates."""
LATENT_NOISE = 0.06
WINDOW, SMALL_UNTIL = 48, 0.9
"""Small windows for most of the run: four times as many steps in the same time, and edges are local."""


def new_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=16,
        block_out_channels=(16, 16, 48, 96),
        layers_per_block=1,
        norm_num_groups=1,  # with more groups, normalisation of so few channels would remove a picture's colours
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        sample_size=SIDE,
        force_upcast=False,
    )


def _batch(pictures: NDArray[np.uint8], rng: np.random.Generator, count: int, window: int) -> torch.Tensor:
    """Random square windows of pictures, more often at the face than at the edges; half of them mirrored."""
    room = pictures.shape[1] - window
    chosen = []
    for index in rng.integers(len(pictures), size=count):
        x, y = (rng.beta(1.6, 1.6, 2) * (room + 1)).astype(int).clip(0, room)
        cut = pictures[index, y : y + window, x : x + window]
        chosen.append(cut[:, ::-1] if rng.random() < 0.5 else cut)
    return to_signed(np.stack(chosen))


def _loss(out: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    wrong = out - wanted
    across, down = wrong[..., 1:] - wrong[..., :-1], wrong[..., 1:, :] - wrong[..., :-1, :]
    edges = across.abs().mean() + down.abs().mean()
    # The green–purple axis has the smallest error; without a higher weight it is learnt last.
    tint = (wrong[:, 1] - (wrong[:, 0] + wrong[:, 2]) / 2).square().mean()
    return 2 * wrong.square().mean() + wrong.abs().mean() + 0.5 * edges + 4 * tint


def _main(
    data: Path,
    runs: Path,
    minutes: float = 25,
    batch: int = 8,
    peak: float = 1.5e-3,
    threads: int = 1,
    *,
    decoder_only: Annotated[bool, typer.Option()] = False,
) -> None:
    """Train, and write `vae/` into RUNS."""
    torch.set_num_threads(threads)
    pictures = dataset.reduced(data, "train", SIDE)
    vae, run = new_vae(), Run(runs, "vae")
    average = Averaged(vae)
    if decoder_only:
        vae.encoder.requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(
        [p for p in vae.parameters() if p.requires_grad], lr=peak, weight_decay=1e-4, betas=(0.9, 0.98)
    )
    first = run.resume(vae=vae, average=average.model, **({} if decoder_only else {"optimizer": optimizer}))
    clock, rng = Clock(minutes, peak), np.random.default_rng(first)
    for step in clock.steps((optimizer,), first):
        wanted = _batch(pictures, rng, batch, WINDOW if clock.share < SMALL_UNTIL else SIDE)
        with torch.autocast("cpu", torch.bfloat16):
            mean = vae.encode(wanted).latent_dist.mean
            noisy = mean + torch.randn_like(mean) * mean.detach().float().std() * LATENT_NOISE
            out = vae.decode(noisy).sample
        loss = _loss(out.float(), wanted)
        (loss + 1e-4 * mean.float().square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(vae, step)
        run.note(step, clock, loss=loss.item(), wrong=(out.float() - wanted).abs().mean().item() * 127.5)
        if run.due():
            run.save(step, vae=vae, average=average.model, optimizer=optimizer)
    run.save(step, vae=vae, average=average.model, optimizer=optimizer)
    average.model.save_pretrained(runs / "vae")


if __name__ == "__main__":
    typer.run(_main)
