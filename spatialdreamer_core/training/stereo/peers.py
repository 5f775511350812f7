"""The processes that train together: each has a rank; what one of them notices, all act upon."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Peers:
    """This process among those that train together; with more than one, torch.distributed is initialised.

    Attributes:
        rank: Its number; 0 writes.
        world: How many there are.
        device: Where this one computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def writes(self) -> bool:
        """Whether this process writes checkpoints, curve and pictures."""
        return self.rank == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all processes in its backward pass."""
        if self.world == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        gpu = [self.device.index or 0] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=gpu, find_unused_parameters=True)

    def most(self, *values: int) -> tuple[int, ...]:
        """The largest of each value over all processes."""
        if self.world == 1:
            return values
        together = torch.tensor(values, device=self.device)
        torch.distributed.all_reduce(together, torch.distributed.ReduceOp.MAX)
        return tuple(int(value) for value in together)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of each value over all processes."""
        if self.world == 1:
            return values
        together = values.clone()
        torch.distributed.all_reduce(together)
        return together / self.world

    def all_of(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        """What each process has of a small thing, by rank; the same list everywhere."""
        if self.world == 1:
            return [value]
        together: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(together, value)
        return together

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.world > 1:
            torch.distributed.barrier()
