"""Train the depth network: averaged weights, resume from a checkpoint; on CPU cores with frozen early layers.

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

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.models.depth_net import DepthNet, create_depth_net
from spatialdreamer_core.training.ahead import made_ahead, moved
from spatialdreamer_core.training.depth.data import Shards, whole
from spatialdreamer_core.training.depth.figures import still_figures
from spatialdreamer_core.training.depth.losses import agreement_loss, depth_loss, points_loss
from spatialdreamer_core.training.depth.material import Material, Seen, Sizes, orders
from spatialdreamer_core.training.depth.ship import load_shipped

logger = logging.getLogger(__name__)

FROZEN_BLOCKS = 3
LOSSES = ("loss", "points", "measured", "agreement")
TAUGHT_FROM, TAUGHT = 0.15, 0.3
"""Share of the training after which pictures without depth teach, and the weight of what they teach."""


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
        frames_batch: Pictures without depth a step, where there are any.
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
    frames_batch: int = 4
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
    rows, device = [], next(net.parameters()).device
    for i, (picture, truth) in enumerate(whole(dev)):
        if i % max(1, len(dev) // limit):
            continue
        estimate = net(picture.to(device))[0, 0].cpu().numpy()
        small = cv2.resize(truth, estimate.shape[::-1], interpolation=cv2.INTER_NEAREST)
        known = np.isfinite(small)
        top = np.percentile(small[known], 97)
        got = still_figures(estimate, np.minimum(small, 1.3 * top).astype(np.float32), known)
        rows.append((got.nrmse, got.spearman))
    mean = np.mean(rows, axis=0)
    return {"dev_nrmse": round(float(mean[0]), 4), "dev_spearman": round(float(mean[1]), 4)}


def layout(device: str) -> torch.memory_format:
    """Channels last are quicker on CPUs; on GPUs depthwise filters have kernels of their own for channels first."""
    return torch.channels_last if device == "cpu" else torch.contiguous_format


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint that appears whole."""
    scratch = path.with_suffix(".part")
    torch.save(state, scratch)
    scratch.replace(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where the pictures of a training lie; None for what there is none of.

    Attributes:
        data: Shards with exact depth.
        points: Hand-labelled pictures.
        real: Shards with measured depth.
        frames: Pictures without depth, of the kind that the network is for.
        dev: Shards to develop with.
        real_dev: Measured shards to develop with.
    """

    data: Path
    points: Path | None = None
    real: Path | None = None
    frames: Path | None = None
    dev: Path | None = None
    real_dev: Path | None = None


def train(
    net: DepthNet, folders: Folders, output: Path, config: TrainConfig, *, worker: int = 0,
    resume: dict[str, Any] | None = None, device: str = "cpu", loaders: int = 0,
) -> None:  # fmt: skip
    """Run one worker until the steps or minutes are up; worker 0 averages, measures and saves.

    Args:
        net: From ``start``.
        folders: Of pictures.
        output: Folder for ``last.pt`` and ``curve.jsonl``.
        config: What the result depends on, but for the pictures.
        worker: Number of this process among those that share the weights.
        resume: A checkpoint's content.
        device: Where to compute; on a GPU every layer is trained, on CPU the early ones stay.
        loaders: Processes that make what steps see, beside this one. With them, shards that appear later are left out.
    """
    if device == "cpu":
        torch.set_num_threads(1)
        freeze_early(net)
    net.to(device=device, memory_format=layout(device))  # type: ignore[call-overload]
    sizes = Sizes(config.batch, config.points_batch, config.real_batch, config.frames_batch)
    material = Material(folders.data, folders.points, folders.real, folders.frames, sizes, config.seed, worker)
    dev, real_dev = (None if path is None or worker else Shards(path) for path in (folders.dev, folders.real_dev))
    optimiser = make_optimiser(net, config)
    average = create_depth_net().eval().requires_grad_(False).to(device)
    average.load_state_dict(net.state_dict() if resume is None else resume["average"])
    first, spent = (0, 0.0) if resume is None else (int(resume["step"]), float(resume["spent_s"]))
    if resume is not None and worker == 0:
        try:
            optimiser.load_state_dict(resume["optimiser"])
        except ValueError as error:
            raise ConfigError(
                f"training in {output}: was begun on another kind of device, which trains other layers; give the "
                "--device of before, or another output"
            ) from error
    started = time.monotonic() - spent

    def progress_at(step: int) -> float:
        return step / config.steps if config.steps else (time.monotonic() - started) / (config.minutes * 60)

    running: list[Tensor] = []
    made = made_ahead(material.seen, orders(first, progress_at), loaders, pinned=device != "cpu")
    for step, seen in enumerate(made, first + 1):
        progress = progress_at(step - 1)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * config.rate * rate_at(progress)
        optimiser.zero_grad(set_to_none=True)
        chance = torch.Generator().manual_seed(config.seed * 1_000_003 + worker * 500_009 + step - 1)
        running.append(backward(net, average, moved(seen, torch.device(device)), config.half, progress, chance))
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 2.0)
        optimiser.step()
        if worker == 0:
            follow(average, net, min(config.ema, step / (9 + step)))
        done = progress >= 1 if config.steps is None else step >= config.steps
        if worker == 0 and (step % config.save_every == 0 or done):
            if not loaders:
                material.refresh()
            elapsed = time.monotonic() - started
            means = torch.stack(running).mean(0).tolist()
            running = []
            row: dict[str, Any] = {"step": step, "minutes": round(elapsed / 60, 2), "pictures": len(material.drawn)}
            row |= {name: round(mean, 4) for name, mean in zip(LOSSES, means, strict=True)}
            if step % (config.save_every * 3) == 0 or done:
                row |= {} if dev is None else dev_figures(average, dev)
                row |= {} if real_dev is None else {f"real_{k}": v for k, v in dev_figures(average, real_dev).items()}
            with (output / "curve.jsonl").open("a") as lines:
                lines.write(json.dumps(row) + "\n")
            logger.info("%s", row)
            save(output / "last.pt", {
                "net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
                "step": step, "spent_s": elapsed, "config": asdict(config),
            })  # fmt: skip
        if step % 400 == 0 and worker != 0:
            material.refresh()
        if done:
            return


def backward(
    net: DepthNet, average: DepthNet, seen: Seen, half: bool, progress: float, chance: torch.Generator
) -> Tensor:
    """Add the gradients of all that a step sees.

    Args:
        net: What is trained.
        average: Its averaged weights, which say what pictures without depth show.
        seen: On the network's device.
        half: Whether to compute in bfloat16 where numbers allow it.
        progress: The share of the training that is done: an average that knows little teaches nothing.
        chance: Where random pairs of pixels come from.

    Returns:
        [4] the terms of ``LOSSES``.
    """

    def look(one: DepthNet, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=half):
            out: Tensor = one(pictures.contiguous(memory_format=layout(pictures.device.type)))
        return out.float()

    nothing = seen.drawn.pictures.new_zeros(())
    terms = [depth_loss(look(net, seen.drawn.pictures), seen.drawn.inverse_depth, chance), nothing, nothing, nothing]
    torch.autograd.backward(terms[0])
    if seen.labelled is not None:
        pictures, places, values = seen.labelled
        terms[1] = 0.5 * points_loss(look(net, pictures), places, values)
        torch.autograd.backward(terms[1])
    if seen.measured is not None:
        terms[2] = 0.5 * depth_loss(look(net, seen.measured.pictures), seen.measured.inverse_depth, chance)
        torch.autograd.backward(terms[2])
    if seen.twice is not None and progress > TAUGHT_FROM:
        with torch.no_grad():
            both = look(average, torch.cat([seen.twice.plain, seen.twice.plain.flip(3)]))
        target = both[: len(both) // 2] + both[len(both) // 2 :].flip(3)
        terms[3] = TAUGHT * agreement_loss(look(net, seen.twice.changed), target)
        torch.autograd.backward(terms[3])
    return torch.stack([term.detach() for term in terms])


@torch.no_grad()
def follow(average: DepthNet, net: DepthNet, decay: float) -> None:
    """Move the averaged weights towards the trained ones."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - decay)


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
