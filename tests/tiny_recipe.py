"""The smallest thing that can be trained: a recipe that tests put in the place of a real one."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spatialdreamer_core.errors import ConfigError, StoreError, WeightsError
from spatialdreamer_core.training.stereo.config import TrainConfig
from spatialdreamer_core.training.stereo.recipe import Validation

KNOWN = {"bad_sample", "lost_sample", "sleep_s", "dropout", "dies_once"}


class TinyNet(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(width, 1)
        self.unused = nn.Linear(2, 2)  # as a branch that condition dropout leaves out

    def guess(self, x: Tensor) -> Tensor:  # not forward: recipes may call what they like
        return self.last(self.drop(torch.tanh(self.first(x))))  # type: ignore[no-any-return]


class TinyBatches:
    """Sample n is drawn from the seed and n, and belongs to the batch of one rank."""

    def __init__(self, config: TrainConfig, rank: int, world: int) -> None:
        self._config, self._rank, self._world, self._done = config, rank, world, 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            first = (self._done * self._world + self._rank) * self._config.batch
            if first == self._config.data.get("lost_sample"):
                raise StoreError("shard 7 is gone; make it again")
            self._done += 1
            yield self._made(range(first, first + self._config.batch))

    def _made(self, numbers: range) -> dict[str, Tensor]:
        x = np.stack([np.random.default_rng([self._config.seed, n]).normal(size=3) for n in numbers])
        y = np.sin(x.sum(1, keepdims=True))
        y[[n == self._config.data.get("bad_sample") for n in numbers]] = np.nan
        return {"x": torch.from_numpy(x).float(), "y": torch.from_numpy(y).float()}

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self._config.batch, "done": self._done, "rank": self._rank}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["batch"] != self._config.batch:
            raise ConfigError(f"the state was taken with batch {state['batch']}, but this is {self._config.batch}")
        self._done = state["done"]


class TinyRecipe:
    def __init__(self, config: TrainConfig) -> None:
        if unknown := set(config.data) - KNOWN:
            raise ConfigError(f"data: no setting {', '.join(sorted(unknown))}")
        self._config = config

    def network(self) -> nn.Module:
        net = TinyNet(self._config.network.get("width", 8), self._config.data.get("dropout", 0.0))
        if self._config.start_from is not None:
            try:
                net.load_state_dict(load_file(Path(self._config.start_from) / "tiny.safetensors"))
            except RuntimeError as error:
                raise WeightsError(f"{self._config.start_from}: weights of another size; give those of this") from error
        return net

    def trainable(self, net: nn.Module) -> list[nn.Parameter]:
        assert isinstance(net, TinyNet)
        return [*net.parameters()] if self._config.stage == 1 else [*net.last.parameters()]

    def batches(self, rank: int, world: int) -> TinyBatches:
        return TinyBatches(self._config, rank, world)

    def losses(self, net: nn.Module, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        assert isinstance(net, TinyNet)
        time.sleep(self._config.data.get("sleep_s", 0))
        x = batch["x"]
        marker = self._config.data.get("dies_once")
        if marker and not Path(marker).exists() and next(net.parameters()).grad is not None:
            Path(marker).touch()
            os._exit(1)
        if self._config.dropout:
            x = x * (torch.rand(len(x), 1, generator=generator) >= self._config.dropout)
        loss = (net.guess(x).float() - batch["y"]).square().mean()
        return {"loss": loss, "loss_twice": 2 * loss}

    def validate(self, net: nn.Module, device: torch.device) -> Validation:
        assert isinstance(net, TinyNet)
        assert not net.training
        x = torch.linspace(-1, 1, 3 * 16).view(16, 3)
        error = (net.guess(x) - torch.sin(x.sum(1, keepdim=True))).square().mean()
        return Validation({"error": float(error)}, np.full((2, 4, 6, 3), 128, np.uint8))

    def export(self, net: nn.Module, folder: Path) -> None:
        save_file({name: value.clone() for name, value in net.state_dict().items()}, folder / "tiny.safetensors")
        (folder / "tiny.json").write_text(json.dumps(self._config.network))


def create_recipe(config: TrainConfig) -> TinyRecipe:
    return TinyRecipe(config)
