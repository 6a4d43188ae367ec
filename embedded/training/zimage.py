"""Train the tiny Z-Image: its transformer by flow matching, together with its text encoder.

    python -m embedded.training.zimage DATA RUNS --minutes 60       resumes the last run
    python -m embedded.training.zimage DATA RUNS --start FOLDER     from a shipped pipeline, if RUNS has no run
    python -m embedded.training.zimage DATA RUNS --only-save        only writes the pipeline of the saved state
    torchrun --nproc-per-node 2 -m embedded.training.zimage …       on two cores

Needs RUNS/vae (`embedded.training.vae`). Pictures of minors are never among the data. Latents have unit variance; the
noise level is drawn from a logit-normal and shifted by 3, as the sampler's is. The transformer predicts picture minus
noise, because the pipeline negates its output. A batch's prompts have one padded length, so attention needs no mask.

The product uses 8 steps without guidance, so guidance is part of the training (`--guidance`): the target moves away
from the model's prediction for an empty prompt (Tang et al. 2025, arXiv 2502.12154: a weight of w corresponds to a
guidance scale of 1 / (1 − w)). One batch in twelve has empty prompts, so that this prediction is trained too.
"""

# ruff: noqa: S311  (random pictures, no secrets)
from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from embedded.drawing import dataset
from embedded.training.loop import Averaged, Clock, Run, TrainingProcesses, to_signed, two_optimizers
from embedded.training.prompts import prompt_of
from embedded.training.tokenizer import load_tokenizer

SIDE = 128
SHIFT = 3.0
CAPTION_MULTIPLE = 32
"""The transformer pads captions to multiples of this."""
UNPROMPTED = 12
"""One batch in this number has empty prompts."""


class ImageModel(nn.Module):
    """Text encoder and transformer, trained together."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = Qwen3Model(
            Qwen3Config(
                vocab_size=vocabulary,
                hidden_size=192,
                intermediate_size=512,
                # The pipeline uses the last layer's input, so the third layer is not run here.
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=4,
                head_dim=48,
                max_position_embeddings=1024,
            )
        )
        self.transformer = ZImageTransformer2DModel(
            dim=192,
            n_layers=6,
            n_refiner_layers=1,
            n_heads=4,
            n_kv_heads=4,
            cap_feat_dim=192,
            axes_dims=[16, 16, 16],
            axes_lens=[1024, 64, 64],
        )
        with torch.no_grad():
            self.transformer.x_pad_token.normal_(std=0.02)
            self.transformer.cap_pad_token.normal_(std=0.02)
            for name, weight in self.transformer.named_parameters():
                if "adaLN_modulation" in name or "all_final_layer.2-1.linear" in name:
                    weight.mul_(0.1)

    def take(self, pipeline: Path) -> None:
        """Load the weights of a saved pipeline in fp32."""
        encoder = Qwen3Model.from_pretrained(pipeline / "text_encoder", dtype=torch.float32)
        transformer = ZImageTransformer2DModel.from_pretrained(pipeline / "transformer", torch_dtype=torch.float32)
        self.encoder.load_state_dict(encoder.state_dict())
        self.transformer.load_state_dict(transformer.state_dict())

    def encode_prompts(self, ids: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
        """Caption features, `(tokens, 192)` each. `ids` is padded on the right, which causal attention ignores."""
        hidden = self.encoder.embed_tokens(ids)
        places = torch.arange(ids.shape[1])[None]
        rotary = self.encoder.rotary_emb(hidden, places)
        for layer in self.encoder.layers[:-1]:
            hidden = layer(hidden, position_embeddings=rotary, position_ids=places, attention_mask=None)
        return [row[:length] for row, length in zip(hidden, lengths, strict=True)]

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, captions: list[torch.Tensor]) -> torch.Tensor:
        """Predict picture − noise. `noisy` is `(B, 16, H/8, W/8)`; `level` is 1 for pure noise."""
        out = self.transformer(list(noisy.unsqueeze(2)), 1 - level, captions, return_dict=False)[0]
        return torch.stack(out).squeeze(2)


BLOCKS = ("layers.", "noise_refiner.", "context_refiner.")


def latents_of(data: Path, runs: Path, at_most: int) -> tuple[torch.Tensor, list[int]]:
    """`(N, 16, H/8, W/8)` half floats of adults' pictures, every other one mirrored, and their places in the split."""
    path = runs / "latents.pt"
    _, records = dataset.load(data, "train")
    adults = [index for index, record in enumerate(records) if dataset.is_adult(record)][:at_most]
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(runs / "vae").eval()
        pictures, kept = dataset.reduced(data, "train", SIDE), []
        for start in range(0, len(adults), 16):
            batch = to_signed(np.stack([pictures[index] for index in adults[start : start + 16]]))
            batch[1::2] = batch[1::2].flip(-1)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                kept.append(vae.encode(batch).latent_dist.mode().half())
            if start % 1600 == 0:
                typer.echo(f"latents: {start} of {len(adults)}")
        torch.save(torch.cat(kept), path)
    return torch.load(path, weights_only=True), adults


class Batches:
    """Latents with prompts, in batches whose captions have the same padded length."""

    def __init__(self, data: Path, runs: Path, tokenizer: Qwen2Tokenizer, size: int, seed: int, at_most: int) -> None:
        self.latents, adults = latents_of(data, runs, at_most)
        _, records = dataset.load(data, "train")
        self.records = [records[index] for index in adults]
        self.tokenizer, self.size, self.rng = tokenizer, size, random.Random(seed)
        spread = self.latents[:2000].float()
        self.shift, self.scale = spread.mean().item(), 1 / spread.std().item()
        nothing = self._tokens("")
        self.unprompted = torch.tensor([nothing] * size), [len(nothing)] * size
        """Token ids and lengths of a batch of empty prompts."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[int]]]:
        waiting: dict[int, list[tuple[int, list[int]]]] = {}
        while True:
            for index in self.rng.sample(range(len(self.records)), len(self.records)):
                tokens = self._tokens(prompt_of(self.records[index], self.rng))
                group = waiting.setdefault(-(-len(tokens) // CAPTION_MULTIPLE), [])
                group.append((index, tokens))
                if len(group) == self.size:
                    yield self._batch(group)
                    group.clear()

    def _tokens(self, prompt: str) -> list[int]:
        chat = [{"role": "user", "content": prompt}]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        tokens: list[int] = self.tokenizer(text)["input_ids"]
        return tokens

    def _batch(self, group: list[tuple[int, list[int]]]) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        lengths = [len(tokens) for _, tokens in group]
        ids = torch.zeros(len(group), max(lengths), dtype=torch.long)
        for row, (_, tokens) in enumerate(group):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        clean = torch.stack([self.latents[index] for index, _ in group]).float()
        return (clean - self.shift) * self.scale, ids, lengths


def noise_levels(count: int) -> torch.Tensor:
    drawn = torch.randn(count).sigmoid()
    return SHIFT * drawn / (1 + (SHIFT - 1) * drawn)


def _weights_of_places() -> torch.Tensor:
    """Loss weights `(H/8, W/8)`, 1 on average: four times as high at the head, twelve times from eyes to chin."""
    weights = torch.ones(SIDE // 8, SIDE // 8)
    weights[1:14, 3:13] = 4
    weights[6:12, 5:11] = 12
    return weights / weights.mean()


def _main(  # noqa: PLR0913, PLR0917  # a command's options
    data: Path,
    runs: Path,
    minutes: float = 60,
    batch: int = 32,
    peak: float = 1.5e-3,
    pictures: int = 100_000,
    threads: int = 1,
    guidance: Annotated[float, typer.Option(min=0, max=0.9)] = 0.5,
    start: Path | None = None,
    *,
    only_save: Annotated[bool, typer.Option()] = False,
) -> None:
    """Train, and write `zimage/` into RUNS."""
    torch.set_num_threads(threads)
    tokenizer = load_tokenizer(runs / "tokenizer")
    image_model, run = ImageModel(len(tokenizer)).train(), Run(runs, "zimage")
    if start is not None:
        image_model.take(start)
    average = Averaged(image_model, keep=0.998)
    muon, adam = two_optimizers(image_model, BLOCKS, peak)
    parts: dict[str, Any] = {"image_model": image_model, "average": average.model, "muon": muon, "adam": adam}
    first, processes = run.resume(**parts), TrainingProcesses()
    batches = Batches(data, runs, tokenizer, batch, seed=first * processes.count + processes.place, at_most=pictures)
    torch.manual_seed(first * processes.count + processes.place)
    if not only_save:
        _train(image_model, average, (muon, adam), batches, Clock(minutes, peak), run, first, processes, guidance)
    if processes.place == 0:
        save(average.model, runs, tokenizer, batches)


def _train(  # noqa: PLR0913, PLR0917  # the parts of a training loop
    image_model: ImageModel,
    average: Averaged[ImageModel],
    both: tuple[torch.optim.Muon, torch.optim.AdamW],
    batches: Batches,
    clock: Clock,
    run: Run,
    first: int,
    processes: TrainingProcesses,
    guidance: float,
) -> None:
    muon, adam = both
    source, step, weights = iter(batches), first, _weights_of_places()
    for block in image_model.transformer.layers:
        block.compile(dynamic=False)
    for step in clock.steps(both, first, processes):
        clean, ids, lengths = next(source)
        is_prompted = step % UNPROMPTED != 0
        if not is_prompted:
            ids, lengths = batches.unprompted
        noise, level = torch.randn_like(clean), noise_levels(len(clean))
        at = level[:, None, None, None]
        # On a CPU the backward pass of the plain kernel takes two thirds of the time of the fused one.
        with sdpa_kernel(SDPBackend.MATH):
            with torch.autocast("cpu", torch.bfloat16):
                noisy = (1 - at) * clean + at * noise
                out = image_model(noisy, level, image_model.encode_prompts(ids, lengths))
                wanted = clean - noise
                if guidance and is_prompted:
                    with torch.no_grad():
                        unprompted = image_model(noisy, level, image_model.encode_prompts(*batches.unprompted))
                    wanted = wanted + guidance * (out.detach() - unprompted).float()
            loss = (weights * (out.float() - wanted).square()).mean()
            loss.backward()
        processes.average_gradients(image_model)
        torch.nn.utils.clip_grad_norm_(image_model.parameters(), 1.0)
        for optimizer in both:
            optimizer.step()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.zero_grad()
        average.update(image_model, step)
        if processes.place == 0:
            run.note(step, clock, loss=loss.item())
            if run.due():
                run.save(step, image_model=image_model, average=average.model, muon=muon, adam=adam)
    if processes.place == 0:
        run.save(step, image_model=image_model, average=average.model, muon=muon, adam=adam)


def save(image_model: ImageModel, runs: Path, tokenizer: Qwen2Tokenizer, batches: Batches) -> None:
    """Write the pipeline's folder, its weights in bf16."""
    vae = AutoencoderKL.from_pretrained(runs / "vae")
    vae.register_to_config(scaling_factor=batches.scale, shift_factor=batches.shift, sample_size=SIDE)
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=vae,
        text_encoder=image_model.encoder,
        tokenizer=tokenizer,
        transformer=image_model.transformer,
    )
    pipeline.to(torch.bfloat16).save_pretrained(runs / "zimage")


if __name__ == "__main__":
    typer.run(_main)
