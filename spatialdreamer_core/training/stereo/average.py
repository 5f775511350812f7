"""The exponential moving average of the trained weights (Polyak averaging): what is measured and shipped."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """A second set of the trained weights that follows the first.

    Attributes:
        weights: By name, on the network's device.
    """

    def __init__(self, net: nn.Module) -> None:
        self._live = {name: p for name, p in net.named_parameters() if p.requires_grad}
        self.weights = {name: parameter.detach().clone() for name, parameter in self._live.items()}

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move towards the weights as they are: ``decay * average + (1 - decay) * weights``."""
        torch._foreach_lerp_(list(self.weights.values()), [p.data for p in self._live.values()], 1 - decay)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over an average that was saved."""
        for name, kept in self.weights.items():
            kept.copy_(weights[name])

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Have the network hold the averaged weights inside the block; nothing is copied."""
        live = {name: parameter.data for name, parameter in self._live.items()}
        for name, parameter in self._live.items():
            parameter.data = self.weights[name]
        try:
            yield
        finally:
            for name, parameter in self._live.items():
                parameter.data = live[name]
