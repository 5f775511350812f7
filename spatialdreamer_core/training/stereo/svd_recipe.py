"""How the full-size network is trained: stage 1 on single frames, stage 2 on clips; both on pairs of make-pairs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.models.svd.checkpoint import write_trained
from spatialdreamer_core.models.svd.examples import PairClip, example_of
from spatialdreamer_core.models.svd.frames import InteractionConfig, Span, meeting
from spatialdreamer_core.models.svd.injection import Interaction, Reach
from spatialdreamer_core.models.svd.load import SvdWeights, load_network
from spatialdreamer_core.models.svd.loss import LossConfig, svd_loss
from spatialdreamer_core.models.svd.memory import free_bytes, gib
from spatialdreamer_core.models.svd.network import SvdNetwork
from spatialdreamer_core.models.svd.sampler import SamplerConfig, Seen, denoise
from spatialdreamer_core.models.svd.stages import stage_weights
from spatialdreamer_core.models.svd.unet import STRENGTH_SCALE, StrengthKind
from spatialdreamer_core.training.data import PairsBatch, PairsData
from spatialdreamer_core.training.stereo.config import TrainConfig
from spatialdreamer_core.training.stereo.recipe import Batches, Validation

VALIDATION_SEED = 20_261_126
VALIDATION_CLIPS = 4
FRAMES = {1: 1, 2: 14}
TRAINED_BYTES = 16
"""Of every trained weight beside itself: its gradient, the two of AdamW, its average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdNetworkConfig:
    """The ``network`` part of a training's settings.

    Attributes:
        weights: ``published``, ``random`` or ``random-tiny``; what ``--start-from`` names wins.
        unet: Folder or hub name of Stable Video Diffusion; None takes the published one.
        reference: Folder or hub name of Stable Diffusion 2.1; None takes the published one.
        allow_network: Whether they may be downloaded.
        image_encoder: Whether CLIP looks at the reference; else a learned vector.
        reach: What of the reference a place sees, ``full`` or its ``rows``.
        strength: Which deviation strength the network is told, ``latent`` (the paper's) or ``geometric``; weights
            that were trained keep theirs, as they do ``reach``.
        save_memory: Whether activations are recomputed instead of kept.
    """

    weights: str = "published"
    unet: str | None = None
    reference: str | None = None
    allow_network: bool = False
    image_encoder: bool = True
    reach: Reach = "full"
    strength: StrengthKind = "latent"
    save_memory: bool = True

    def __post_init__(self) -> None:
        if self.reach not in ("full", "rows") or self.strength not in STRENGTH_SCALE:
            raise ConfigError(
                f"network: reach is full or rows and strength latent or geometric, got {self.reach} and {self.strength}"
            )

    def which(self, start_from: str | None) -> SvdWeights:
        """Where the weights come from."""
        given = {name: value for name in ("unet", "reference") if (value := getattr(self, name)) is not None}
        return SvdWeights(
            name=start_from or self.weights, image_encoder=self.image_encoder, allow_network=self.allow_network, **given
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdDataConfig:
    """The ``data`` part of a training's settings.

    Attributes:
        frames: Of a clip that are seen together; None is 1 in stage 1 and 14 in stage 2.
        strength_weight: The paper's lambda, of the strength loss.
        own_share: The paper's other lambda, of the interaction; stage 2.
        key_step: Every so many frames of a clip one is a key frame.
        review: Whether clips that make-pairs marked for review are used too.
        validation_steps: Of the solver, for the pictures of a validation.
    """

    frames: int | None = None
    strength_weight: float = 1e-3
    own_share: float = 0.7
    key_step: int = 8
    review: bool = True
    validation_steps: int = 8
    interaction: InteractionConfig = field(init=False)

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise ConfigError(f"data: frames must be at least 1, got {self.frames}")
        together = InteractionConfig(own_share=self.own_share, key_step=self.key_step)
        object.__setattr__(self, "interaction", together)


def create_recipe(config: TrainConfig) -> "SvdRecipe":
    """Make the recipe; see ``training.stereo.sizes``.

    Raises:
        ConfigError: If a setting is unknown, or there are no pairs.
    """
    return SvdRecipe(config)


class SvdRecipe:
    """See ``training.stereo.recipe.Recipe``."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._network = SvdNetworkConfig(**_known(config.network, SvdNetworkConfig, "network"))
        self._data = SvdDataConfig(**_known(config.data, SvdDataConfig, "data"))
        if config.pairs is None:
            raise ConfigError("svd trains on --pairs, the output of make-pairs; give it")
        self._frames = self._data.frames or FRAMES[config.stage]
        self._loss = LossConfig(strength_weight=self._data.strength_weight, dropout=config.dropout)

    def network(self) -> nn.Module:
        """The one to start from."""
        wanted = self._network
        loaded = load_network(wanted.which(self._config.start_from), reach=wanted.reach, strength=wanted.strength)
        if wanted.save_memory:
            loaded.network.save_memory()
        return loaded.network

    def trainable(self, net: nn.Module) -> list[nn.Parameter]:
        """See ``models.svd.stages``.

        Raises:
            ConfigError: If the device has no memory for what training keeps of every weight.
        """
        network = cast(SvdNetwork, net)
        trained = list(stage_weights(network, self._config.stage).values())
        kept = TRAINED_BYTES if self._config.ema else TRAINED_BYTES - 4
        wanted, there = kept * sum(p.numel() for p in trained), free_bytes(network.no_image.device, 1.0)
        if there is not None and wanted > there:
            raise ConfigError(
                f"svd: stage {self._config.stage} keeps {kept} bytes more of each weight that it trains, "
                f"{gib(wanted)}, and {gib(there)} are free; train on a larger device, or without an average (--ema 0)"
            )
        return trained

    def batches(self, rank: int, world: int) -> Batches:
        """Clips of make-pairs."""
        return EndlessPairs(self._pairs("train", self._config.batch, rank, world))

    def losses(self, net: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """See ``models.svd.loss``."""
        network, pairs = cast(SvdNetwork, net), cast(PairsBatch, batch)
        clip = _clip(pairs)
        count = min(self._frames, clip.target.shape[1])
        first = torch.randint(
            clip.target.shape[1] - count + 1, (len(clip.target),), generator=generator, device=clip.target.device
        )
        example = example_of(network, clip.frames(first, count))
        return svd_loss(
            network, example, generator, self._loss, interaction=self._joined(count), frames_alone=self._alone
        )

    def validate(self, net: nn.Module, device: torch.device) -> Validation:
        """The loss at fixed noise, and the PSNR in the holes of what the solver makes of held-back clips."""
        network = cast(SvdNetwork, net)
        errors, squares, pixels, rows = [], 0.0, 0.0, []
        for pairs in self._held_back():
            clip = _clip(pairs.to(device))
            count = min(self._frames, clip.target.shape[1])
            clip = clip.frames(torch.zeros(1, dtype=torch.long, device=device), count)
            example = example_of(network, clip)
            generator = torch.Generator(device).manual_seed(VALIDATION_SEED)
            loss = LossConfig(strength_weight=self._loss.strength_weight, dropout=0)
            joined = self._joined(count)
            found = svd_loss(network, example, generator, loss, interaction=joined, frames_alone=self._alone)
            errors.append(float(found["error"]))
            noise = torch.randn(example.target.shape, generator=generator, device=device)
            seen = Seen(example.condition.rendered, example.condition.mask.to(network.dtype), example.reference)
            strength = example.condition.strength
            assert strength is not None
            latents = denoise(
                network, seen, noise, example.condition.embedding, strength,
                SamplerConfig(steps=self._data.validation_steps), joined, frames_alone=self._alone,
            )  # fmt: skip
            made = torch.where(clip.mask[0], network.decode(latents[0]), clip.target[0])
            squares += float((made - clip.target[0]).square().sum())
            pixels += 3 * float(clip.mask.sum())
            rows.append(torch.cat([clip.condition[0, 0], made[0], clip.target[0, 0]], 2))
        figures = {"error": float(np.mean(errors)), "psnr": -10 * math.log10(max(squares / max(pixels, 1), 1e-10))}
        same = [row for row in rows if row.shape == rows[0].shape]
        pictures = torch.stack(same).permute(0, 2, 3, 1).clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
        return Validation(figures, pictures)

    def export(self, net: nn.Module, folder: Path) -> None:
        """Write the folder that ``load_network`` takes; frozen parts included, so that it needs nothing else."""
        config = self._config
        about = {
            "stage": config.stage,
            "steps": config.steps,
            "pairs": config.pairs,
        }
        write_trained(cast(SvdNetwork, net), folder, about)

    @property
    def _alone(self) -> bool:
        return self._config.stage == 1

    def _joined(self, count: int) -> Interaction | None:
        if self._alone:
            return None
        met = meeting(Span(0, count), count, self._data.interaction)
        return Interaction(self._data.own_share, met.partners)

    def _pairs(self, split: str, batch: int, rank: int, world: int) -> PairsData:
        assert self._config.pairs is not None
        return PairsData(
            self._config.pairs, split=split, batch=batch, seed=self._config.seed, rank=rank, world=world,
            threads=self._config.loader_threads, shuffle=split == "train",
            verdicts=("train", "review") if self._data.review else ("train",),
        )  # fmt: skip

    def _held_back(self) -> list[PairsBatch]:
        try:
            held = self._pairs("val", 1, 0, 1)
        except ConfigError:  # few sources: make-pairs keeps none back
            held = self._pairs("train", 1, 0, 1)
        clips = []
        for clip in held:
            clips.append(clip)
            if len(clips) == VALIDATION_CLIPS:
                break
        return clips


class EndlessPairs:
    """Epoch after epoch of pairs; see ``Batches``.

    Args:
        pairs: Of one process.

    Raises:
        ConfigError: If there are fewer samples than make one batch.
    """

    def __init__(self, pairs: PairsData) -> None:
        if not len(pairs):
            raise ConfigError(f"{pairs.url}: fewer samples of one size than a batch of {pairs.batch}; lower --batch")
        self._pairs = pairs

    def __iter__(self) -> Iterator[PairsBatch]:
        """Go on from the position."""
        while True:
            yield from self._pairs

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return self._pairs.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken."""
        self._pairs.load_state_dict(state)


def _clip(pairs: PairsBatch) -> PairClip:
    clip = PairClip(pairs.target, pairs.condition, pairs.reference, pairs.mask, pairs.disparity)
    return clip.mirrored_where(~pairs.target_is_right)


def _known(given: dict[str, Any], kind: type, part: str) -> dict[str, Any]:
    names = [one.name for one in fields(kind) if one.init]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigError(f"{part}: unknown settings {', '.join(unknown)}; known are {', '.join(names)}")
    return given
