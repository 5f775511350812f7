"""What a size and a stage are to the training loop: all that a new network has to bring."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LOSS = "loss"
"""The entry of the losses that is minimised."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What was seen of a network on samples that it is not trained on.

    Attributes:
        figures: By name; written to the curve as ``val_<name>``.
        pictures: [N, H, W, 3] uint8, rows of a sheet to look at (such as condition | made | true); None for none.
    """

    figures: dict[str, float]
    pictures: NDArray[np.uint8] | None = field(default=None)


class Batches(Protocol):
    """Training batches without end, epoch after epoch, from a position that can be taken up again.

    The same seed and position give the same batches. A batch is a tensor, a thing with ``to(device)`` that gives the
    same elsewhere, or a tuple, list or dict of such things; the loop moves it.
    """

    def __iter__(self) -> Iterator[Any]:
        """Go on from the position."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position after the batches that were given out: numbers, strings, lists and dicts of them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken: by the same rank, or by rank 0 if there are more or fewer processes now.

        Raises:
            ConfigError: If it is of other data or settings.
        """
        ...


class Recipe(Protocol):
    """A size and a stage, made from a TrainConfig; making it checks settings and data, and is quick."""

    def network(self) -> nn.Module:
        """The network on the CPU, from the seed or from the weights to start from.

        Raises:
            WeightsError: If those weights are of another size or damaged.
        """
        ...

    def trainable(self, net: nn.Module) -> list[nn.Parameter]:
        """What the stage trains; the loop freezes the rest."""
        ...

    def batches(self, rank: int, world: int) -> Batches:
        """The batches of one process among ``world`` that train together."""
        ...

    def losses(self, net: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """One step's losses, each a scalar; ``loss`` is minimised, the others are logged.

        Runs under autocast where half precision is on, so losses are to be summed in float32. ``net`` is the one
        that ``network`` gave, with many processes too. The generator is on the batch's device and seeded from seed,
        step and rank; so are torch's global ones. Draw from nothing else, then a resumed run repeats exactly.
        """
        ...

    def validate(self, net: nn.Module, device: torch.device) -> Validation:
        """Measure the averaged weights; ``net`` is in eval mode, gradients are off. The same samples every time."""
        ...

    def export(self, net: nn.Module, folder: Path) -> None:
        """Write the weights as safetensors, and a JSON file that says what network they belong to.

        Args:
            net: With the averaged weights.
            folder: An empty one; what is in it afterwards appears as ``weights/`` of the output.
        """
        ...
