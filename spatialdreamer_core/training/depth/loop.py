"""Train the depth network on CPU cores: frozen early layers, averaged weights, resume from a checkpoint.

More than one worker share the weights in memory and update them without locks (Hogwild, arXiv 1106.5730); with one
worker a resumed run repeats the run that was not stopped, as long as the shards are the same.
"""

import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from spatialdreamer_core.models.depth_net import DepthNet, create_depth_net
from spatialdreamer_core.training.depth.data import Points, Shards, whole
from spatialdreamer_core.training.depth.figures import still_figures
from spatialdreamer_core.training.depth.losses import depth_loss, points_loss
from spatialdreamer_core.training.depth.ship import load_shipped

logger = logging.getLogger(__name__)

FROZEN_BLOCKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What a run depends on.

    Attributes:
        minutes: Wall time over which the rates fall to nothing, summed over resumes.
        steps: Steps of each worker over which they fall, instead of wall time; for machines that are busy otherwise.
        rate: Share of the usual learning rates; less to go on gently from trained weights.
        batch: Pictures a step.
        points_batch: Hand-labelled pictures a step, where there are any.
        real_batch: Pictures with measured depth a step, where there are any.
        half: Compute in bfloat16 where the numbers allow it: half as much time again on cores that know it.
        decoder_rate: Peak learning rate of the decoder.
        encoder_rate: Peak learning rate of the encoder.
        ema: Decay of the averaged weights a step.
        save_every: Steps between checkpoints.
        seed: For everything.
    """

    minutes: float = 60
    steps: int | None = None
    rate: float = 1.0
    batch: int = 8
    points_batch: int = 2
    real_batch: int = 2
    half: bool = False
    decoder_rate: float = 1.2e-3
    encoder_rate: float = 2.5e-4
    ema: float = 0.997
    save_every: int = 50
    seed: int = 0


def freeze_early(net: DepthNet) -> None:
    """Fix the stem, the first blocks and every depthwise filter: their gradients are most of the time on CPU."""
    for name, parameter in net.named_parameters():
        early = name.startswith("encoder.stem") or any(
            name.startswith(f"encoder.blocks.{i}.") for i in range(FROZEN_BLOCKS)
        )
        if early or ".depthwise." in name:
            parameter.requires_grad = False


def rate_at(progress: float) -> float:
    """Share of the peak rate: a short rise, then half a cosine."""
    if progress < 0.02:
        return 0.1 + 0.9 * progress / 0.02
    return max(0.5 + 0.5 * math.cos(math.pi * min((progress - 0.02) / 0.98, 1)), 0.003)


def make_optimiser(net: DepthNet, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with a lower rate for the encoder."""
    encoder = [p for n, p in net.named_parameters() if p.requires_grad and n.startswith("encoder.")]
    decoder = [p for n, p in net.named_parameters() if p.requires_grad and not n.startswith("encoder.")]
    return torch.optim.AdamW(
        [
            {"params": encoder, "lr": config.encoder_rate, "peak": config.encoder_rate},
            {"params": decoder, "lr": config.decoder_rate, "peak": config.decoder_rate},
        ],
        weight_decay=1e-3, betas=(0.9, 0.99),
    )  # fmt: skip


@torch.no_grad()
def dev_figures(net: DepthNet, dev: Shards, limit: int = 48) -> dict[str, float]:
    """Mean NRMSE and Spearman on pictures that are not trained on."""
    rows = []
    for i, (picture, truth) in enumerate(whole(dev)):
        if i % max(1, len(dev) // limit):
            continue
        estimate = net(picture)[0, 0].numpy()
        small = cv2.resize(truth, estimate.shape[::-1], interpolation=cv2.INTER_NEAREST)
        known = np.isfinite(small)
        top = np.percentile(small[known], 97)
        got = still_figures(estimate, np.minimum(small, 1.3 * top).astype(np.float32), known)
        rows.append((got.nrmse, got.spearman))
    mean = np.mean(rows, axis=0)
    return {"dev_nrmse": round(float(mean[0]), 4), "dev_spearman": round(float(mean[1]), 4)}


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint that appears whole."""
    scratch = path.with_suffix(".part")
    torch.save(state, scratch)
    scratch.replace(path)


def train(
    net: DepthNet, data: Path, output: Path, config: TrainConfig, *, worker: int = 0, points: Path | None = None,
    real: Path | None = None, dev: Path | None = None, real_dev: Path | None = None,
    resume: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Run one worker until the minutes are up; worker 0 averages, measures and saves."""
    torch.set_num_threads(1)
    shards = Shards(data)
    labelled = Points(points) if points is not None else None
    measured = Shards(real) if real is not None else None
    dev_shards = Shards(dev) if dev is not None and worker == 0 else None
    real_dev_shards = Shards(real_dev) if real_dev is not None and worker == 0 else None

    def look(pictures: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.half):
            out: Tensor = net(pictures.contiguous(memory_format=torch.channels_last))
        return out.float()

    freeze_early(net)
    optimiser = make_optimiser(net, config)
    step, spent = 0, 0.0
    average: dict[str, Tensor] = {k: v.detach().clone() for k, v in net.state_dict().items()}
    if resume is not None:
        step, spent = int(resume["step"]), float(resume["spent_s"])
        average = {k: v.clone() for k, v in resume["average"].items()}
        if worker == 0:
            optimiser.load_state_dict(resume["optimiser"])
    started = time.monotonic() - spent
    log = output / "curve.jsonl"
    running: list[tuple[float, float]] = []
    shadow = DepthNet().eval()
    while True:
        elapsed = time.monotonic() - started
        progress = step / config.steps if config.steps is not None else elapsed / (config.minutes * 60)
        rng = np.random.default_rng([config.seed, worker, step])
        chance = torch.Generator().manual_seed(config.seed * 1_000_003 + worker * 500_009 + step)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * config.rate * rate_at(progress)
        batch = shards.batch(config.batch, rng, progress)
        loss = depth_loss(look(batch.pictures), batch.inverse_depth, chance)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        other = torch.zeros(())
        if labelled is not None:
            labelled_pictures, places, values = labelled.batch(config.points_batch, rng, progress)
            other = 0.5 * points_loss(look(labelled_pictures), places, values)
            torch.autograd.backward(other)
        if measured is not None:
            batch = measured.batch(config.real_batch, rng, progress)
            torch.autograd.backward(0.5 * depth_loss(look(batch.pictures), batch.inverse_depth, chance))
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 2.0)
        optimiser.step()
        step += 1
        running.append((float(loss.detach()), float(other.detach())))
        if worker == 0:
            decay = min(config.ema, (1 + step) / (10 + step))
            for k, v in net.state_dict().items():
                average[k].lerp_(v, 1 - decay)
        done = progress >= 1 if config.steps is None else step >= config.steps
        if worker == 0 and (step % config.save_every == 0 or done):
            shards.refresh()
            if measured is not None:
                measured.refresh()
            row: dict[str, Any] = {
                "step": step, "minutes": round(elapsed / 60, 2), "pictures": len(shards),
                "loss": round(float(np.mean([r[0] for r in running])), 4),
                "points": round(float(np.mean([r[1] for r in running])), 4),
            }  # fmt: skip
            running = []
            if dev_shards is not None and (step % (config.save_every * 3) == 0 or done):
                shadow.load_state_dict(average)
                row |= dev_figures(shadow, dev_shards)
                if real_dev_shards is not None:
                    row |= {f"real_{k}": v for k, v in dev_figures(shadow, real_dev_shards).items()}
            with log.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
            logger.info("%s", row)
            save(output / "last.pt", {
                "net": net.state_dict(), "average": average, "optimiser": optimiser.state_dict(), "step": step,
                "spent_s": time.monotonic() - started, "config": asdict(config),
            })  # fmt: skip
        if step % 400 == 0 and worker != 0:
            shards.refresh()
        if done:
            return


def start(
    imagenet: Path | None, resume: Path | None, weights: Path | None = None
) -> tuple[DepthNet, dict[str, Any] | None]:
    """A network from a checkpoint, else from an exported file, else from ImageNet weights, else from chance."""
    if resume is not None:
        state: dict[str, Any] = torch.load(resume, weights_only=True, map_location="cpu")
        net = create_depth_net()
        net.load_state_dict(state["net"])
        return net.to(memory_format=torch.channels_last), state  # type: ignore[call-overload]
    if weights is not None:
        return load_shipped(weights).train().to(memory_format=torch.channels_last), None  # type: ignore[call-overload]
    torch.manual_seed(0)
    pretrained = torch.load(imagenet, weights_only=True, map_location="cpu") if imagenet is not None else None
    return create_depth_net(pretrained).to(memory_format=torch.channels_last), None  # type: ignore[call-overload]
