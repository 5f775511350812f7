"""How the mini network is trained: stage 1 on single pictures and frames, stage 2 on clips."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from spatialdreamer_core.depth.builtin import BuiltinDepth
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.metrics.lpips import Network
from spatialdreamer_core.models.mini.config import mini_config
from spatialdreamer_core.models.mini.net import Level, MiniNet
from spatialdreamer_core.models.mini.weights import load_mini, save_mini
from spatialdreamer_core.training.data import PairsBatch, PairsData
from spatialdreamer_core.training.stereo.config import TrainConfig
from spatialdreamer_core.training.stereo.mini_batches import (
    MiniBatch,
    MiniBatches,
    PictureTiles,
    clip_tiles,
    collate,
)
from spatialdreamer_core.training.stereo.mini_losses import Perceptual, as_shown, pixel_losses, steadiness_loss
from spatialdreamer_core.training.stereo.mini_onnx import export_mini
from spatialdreamer_core.training.stereo.picture_bank import DeepPicture, load_pictures
from spatialdreamer_core.training.stereo.recipe import LOSS, Batches, Validation

HELD_BACK = 16
"""One picture of so many is kept for validation."""
VALIDATION_TILES = 48
VALIDATION_SEED = 20_261_126
TEMPORAL = "temporal."
STAGE_2 = (TEMPORAL, "refiner.spatial.", "refiner.joined.")
"""What connects frames: temporal attention, and where temporal interaction learning happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniDataConfig:
    """Data and losses of the mini network: the ``data`` part of a training's settings.

    Attributes:
        clip_share: Share of the batches that come from make-pairs, where there are pictures too.
        frames: Frames of a clip's tiles in stage 2.
        perceptual: Weight of LPIPS; 0 needs no LPIPS weights.
        network: Which LPIPS; judge by the other.
        lpips: File with its weights, as ``spatialdreamer weights get`` keeps it.
        squared: Weight of the squared error.
        edges: Weight of the differences between neighbours.
        shown: Share of the losses that judges what convert shows of a painting, in place of all of it.
        steadiness: Weight of the change of the error from frame to frame, stage 2.
        review: Whether clips that make-pairs marked for review are used too.
    """

    clip_share: float = 0.25
    frames: int = 8
    perceptual: float = 0.15
    network: Network = "alex"
    lpips: str | None = None
    squared: float = 4.0
    edges: float = 0.25
    shown: float = 0.5
    steadiness: float = 0.5
    review: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.clip_share <= 1 or self.frames < 1 or self.network not in ("alex", "vgg"):
            raise ConfigError(f"data: clip_share in [0, 1], frames from 1, network alex or vgg; got {self}")
        if self.perceptual and self.lpips is None:
            raise ConfigError(
                f"data: the perceptual loss needs the weights lpips-{self.network}; run `spatialdreamer weights get "
                f"lpips-{self.network}`, or set perceptual to 0"
            )


def create_recipe(config: TrainConfig) -> "MiniRecipe":
    """Make the recipe; see ``training.stereo.sizes``.

    Raises:
        ConfigError: If a setting is unknown, or there is no data for the stage.
    """
    return MiniRecipe(config)


def with_weights(config: TrainConfig, find: Callable[[str], Path]) -> TrainConfig:
    """Name the LPIPS weights, where they are needed; see ``training.stereo.sizes``."""
    data = config.data
    if "lpips" in data or data.get("perceptual") == 0:
        return config
    return replace(config, data=data | {"lpips": str(find(f"lpips-{data.get('network', 'alex')}"))})


class MiniRecipe:
    """See ``training.stereo.recipe.Recipe``."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._shape = mini_config(config.network)
        unknown = sorted(set(config.data) - {one.name for one in fields(MiniDataConfig)})
        if unknown:
            raise ConfigError(f"data: unknown settings {', '.join(unknown)}")
        self._data = MiniDataConfig(**config.data)
        if config.stage == 2 and config.pairs is None:
            raise ConfigError("stage 2 trains on clips, so it needs --pairs, the output of make-pairs")
        if config.pairs is None and config.pictures is None:
            raise ConfigError(
                "mini trains on --pairs (the output of make-pairs), --pictures, or both; neither is given"
            )
        self._bank: list[DeepPicture] | None = None
        self._perceptual: Perceptual | None = None

    def network(self) -> nn.Module:
        """A new one, or the one to start from.

        Stage 2 leaves the statistics of its levels as they are. Stage 1 has temporal attention begin anew: it is not
        trained along, and what it reads is no more what it was made for, which costs more than it ever brought.
        """
        start = self._config.start_from
        net = MiniNet(self._shape) if start is None else load_mini(Path(start), self._shape)
        if net.temporal is not None and self._config.stage == 1:
            net.temporal.begin()
        for part in net.modules():
            if isinstance(part, Level) and self._config.stage == 2:
                part.fixed = True
        return net

    def trainable(self, net: nn.Module) -> list[nn.Parameter]:
        """In stage 1 all but temporal attention; in stage 2 only that, and the attention by which RefinerNet asks."""
        begins = STAGE_2 if self._config.stage == 2 else ("",)
        without = () if self._config.stage == 2 else (TEMPORAL,)
        return [p for n, p in net.named_parameters() if n.startswith(begins) and not n.startswith(without)]

    def batches(self, rank: int, world: int) -> Batches:
        """Tiles of pictures and of clips in stage 1, of clips in stage 2."""
        config = self._config
        single = config.stage == 1
        pairs = self._pairs("train", rank, world) if config.pairs is not None else None
        pictures = PictureTiles(self._pictures(held_back=False)) if single and config.pictures is not None else None
        return MiniBatches(
            pictures, pairs, batch=config.batch, frames=1 if single else self._data.frames,
            clip_share=self._data.clip_share, seed=config.seed, rank=rank, processes=config.loader_processes,
        )  # fmt: skip

    def losses(self, net: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of what the network paints into the holes."""
        batch = cast(MiniBatch, batch)
        references, strength = batch.references, batch.strength
        if self._config.dropout:
            kept = torch.rand(2, len(strength), generator=generator, device=strength.device) >= self._config.dropout
            references = torch.where(kept[0][:, None, None, None, None], references, torch.full_like(references, 0.5))
            strength = strength * kept[1]
        made = _composed(net, batch, references, strength)
        truth, weight, fill = (x.flatten(0, 1) for x in (batch.truth, batch.weight, _filled(batch)))
        parts = self._judged(made.flatten(0, 1), truth, weight)
        total = parts.pop(LOSS)
        if self._data.shown:
            shown = self._judged(as_shown(made.flatten(0, 1), fill, weight), truth, weight)
            total = total + self._data.shown * (shown.pop(LOSS) - total)
            parts |= {f"shown_{name}": value for name, value in shown.items()}
        if made.shape[1] > 1:
            parts["steadiness"] = steadiness_loss(made, batch.truth, batch.weight)
            total = total + self._data.steadiness * parts["steadiness"]
        return {LOSS: total, **parts}

    def _judged(self, made: Tensor, truth: Tensor, weight: Tensor) -> dict[str, Tensor]:
        parts = pixel_losses(made, truth, weight)
        total = parts["l1"] + self._data.squared * parts["mse"] + self._data.edges * parts["edges"]
        if self._data.perceptual:
            parts["lpips"] = self._perception()(made, truth, weight)
            total = total + self._data.perceptual * parts["lpips"]
        return {LOSS: total, **parts}

    def validate(self, net: nn.Module, device: torch.device) -> Validation:
        """PSNR and LPIPS in the holes of held-back samples: of the painting, as convert shows it, and of the fill."""
        batch = self._validation()
        count = max(1, 16 // batch.tiles.shape[1])
        parts = range(0, len(batch.tiles), count)
        squares, distances, area = np.zeros(3), np.zeros(3), 0.0
        for at in parts:
            part = _part(batch, slice(at, at + count)).to(device)
            out, fill = _composed(net, part, part.references, part.strength).clamp(0, 1), _filled(part)
            truth, weight = part.truth.flatten(0, 1), part.weight.flatten(0, 1)
            painted, plain = out.flatten(0, 1), fill.flatten(0, 1)
            judged = painted, as_shown(painted, plain, weight), plain
            squares += [float(((one - truth).square() * (weight > 0)).sum()) for one in judged]
            area += float(3 * (weight > 0).sum())
            if self._data.perceptual:
                distances += [float(self._perception()(one, truth, weight)) for one in judged]
            if at == 0:
                sheet = _sheet(part, fill, out)
        names = "", "shown_", "fill_"
        figures = {f"{name}psnr": _db(total / area) for name, total in zip(names, squares, strict=True)}
        if self._data.perceptual:
            means = zip(names, distances / len(parts), strict=True)
            figures |= {f"{name}lpips_{self._data.network}": float(mean) for name, mean in means}
        return Validation(figures, sheet)

    def export(self, net: nn.Module, folder: Path) -> None:
        """Write the weights in half precision, what they are of, and the two ONNX graphs that convert runs."""
        assert isinstance(net, MiniNet)
        save_mini(net, folder, half=True)
        export_mini(load_mini(folder), folder)

    def _validation(self) -> MiniBatch:
        draw = np.random.default_rng(VALIDATION_SEED)
        if self._config.stage == 1 and self._config.pictures is not None:
            tiles = PictureTiles(self._pictures(held_back=True)).tiles(VALIDATION_TILES, draw)
            return collate([(a[None], b[None], c[None], d[None], s) for a, b, c, d, s in tiles])
        frames = 1 if self._config.stage == 1 else self._data.frames
        found: list[tuple[NDArray[np.float32], ...]] = []
        for clip in self._held_back_clips():
            found += clip_tiles(clip, max(1, VALIDATION_TILES // 12), frames, draw)  # type: ignore[arg-type]
            if len(found) >= max(2, VALIDATION_TILES // frames):
                break
        if not found:
            raise ConfigError(f"{self._config.pairs}: the clips kept for validation have no wide hole; make more pairs")
        return collate(found)  # type: ignore[arg-type]

    def _held_back_clips(self) -> list[PairsBatch]:
        try:
            held = self._pairs("val", 0, 1)
        except ConfigError:  # few sources: make-pairs keeps none back
            held = self._pairs("train", 0, 1)
        clips = []
        for clip in held:
            clips.append(clip)
            if len(clips) == 12:
                break
        return clips

    def _pairs(self, split: str, rank: int, world: int) -> PairsData:
        assert self._config.pairs is not None
        return PairsData(
            self._config.pairs, split=split, batch=1, seed=self._config.seed, rank=rank, world=world, threads=1,
            shuffle=split == "train", levels=True, verdicts=("train", "review") if self._data.review else ("train",),
        )  # fmt: skip

    def _pictures(self, *, held_back: bool) -> list[DeepPicture]:
        if self._bank is None:
            assert self._config.pictures is not None
            self._bank = load_pictures(Path(self._config.pictures), BuiltinDepth())
        if len(self._bank) < 2 * HELD_BACK:
            return self._bank
        return [one for n, one in enumerate(self._bank) if (n % HELD_BACK == HELD_BACK - 1) == held_back]

    def _perception(self) -> Perceptual:
        if self._perceptual is None:
            assert self._data.lpips is not None
            self._perceptual = Perceptual(self._data.network, load_file(self._data.lpips))
        return self._perceptual


def _composed(net: nn.Module, batch: MiniBatch, references: Tensor, strength: Tensor) -> Tensor:
    """[B, T, 3, H, W]: what the network paints where there are holes, the truth elsewhere."""
    made = net(batch.tiles, references, strength).float()
    return torch.where(batch.weight > 0, made, batch.truth)


def _filled(batch: MiniBatch) -> Tensor:
    """[B, T, 3, H, W]: the classical fill where there are holes, the truth elsewhere."""
    return torch.where(batch.weight > 0, (batch.tiles[:, :, :3] + 1) / 2, batch.truth)


def _part(batch: MiniBatch, which: slice) -> MiniBatch:
    return MiniBatch(*(getattr(batch, one.name)[which] for one in fields(batch)))


def _db(squared: float) -> float:
    return -10 * math.log10(max(squared, 1e-10))


def _sheet(batch: MiniBatch, fill: Tensor, made: Tensor) -> NDArray[np.uint8]:
    """Rows of tiles: with holes | classical fill | network | truth."""
    hole = batch.weight[:, 0] > 0
    holes = torch.where(hole, torch.tensor([1.0, 0.0, 1.0], device=hole.device)[:, None, None], batch.truth[:, 0])
    columns = torch.cat([holes, fill[:, 0], made[:, 0], batch.truth[:, 0]], dim=3)
    return (columns.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
