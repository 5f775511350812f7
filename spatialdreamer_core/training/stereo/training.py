"""A training as it stands: network, optimiser, average and position; one step; all of it as a state and back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.training.ahead import moved
from spatialdreamer_core.training.stereo.average import Average
from spatialdreamer_core.training.stereo.checkpoints import VERSION
from spatialdreamer_core.training.stereo.config import TrainConfig
from spatialdreamer_core.training.stereo.peers import Peers
from spatialdreamer_core.training.stereo.recipe import LOSS, Recipe
from spatialdreamer_core.training.stereo.schedule import decay_at, rate_at, step_seed

SAME = ("size", "stage", "seed", "network")
"""Settings that a training keeps for good; others may change when it is gone on with."""


class NotANumberError(ArithmeticError):
    """The loss or the gradients of a step are not finite; the weights were left as they were.

    Attributes:
        batch: What this process computed it on, as plain data.
        losses: What it computed.
    """

    def __init__(self, batch: Any, losses: dict[str, float]) -> None:
        super().__init__(f"losses {losses}")
        self.batch, self.losses = batch, losses


class Training:
    """What changes while a network is trained.

    Attributes:
        step: Steps done.
        net: The network, on its device.
    """

    def __init__(self, recipe: Recipe, config: TrainConfig, peers: Peers) -> None:
        self._recipe, self._config, self._peers = recipe, config, peers
        self._device = peers.device
        self._half = peers.device.type == "cuda" if config.half is None else config.half
        torch.manual_seed(config.seed)
        self.step = 0
        self.net = recipe.network().to(peers.device)
        self._trained = _only_trained(self.net, recipe.trainable(self.net))
        self._optimiser = _optimiser(self._trained, config)
        self._average = Average(self.net) if config.ema else None
        self._batches = recipe.batches(peers.rank, peers.world)
        self._ahead: Iterator[Any] | None = None
        self._losses = peers.wrapped(_Losses(recipe, self.net))

    def one_step(self) -> dict[str, Tensor]:
        """Take the next batch and improve the weights.

        Returns:
            The losses and the gradients' norm, detached scalars of this process.

        Raises:
            NotANumberError: On every process if one of them computed something that is not finite.
        """
        if self._ahead is None:
            self._ahead = iter(self._batches)
        batch = moved(next(self._ahead), self._device)
        seed = step_seed(self._config.seed, self.step, self._peers.rank)
        torch.manual_seed(seed)
        generator = torch.Generator(self._device).manual_seed(seed)
        for group in self._optimiser.param_groups:
            group["lr"] = rate_at(self.step, self._config)
        self.net.train()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            losses: dict[str, Tensor] = self._losses(batch, generator)
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(losses[LOSS])
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._config.clip)
        told = {name: loss.detach().float() for name, loss in losses.items()} | {"grad_norm": norm.detach().float()}
        bad = not bool(torch.isfinite(told[LOSS] + told["grad_norm"]))
        if self._peers.most(int(bad))[0]:
            raise NotANumberError(plain(batch), {name: float(value) for name, value in told.items()})
        self._optimiser.step()
        if self._average is not None:
            self._average.follow(decay_at(self.step, self._config.ema))
        self.step += 1
        return told

    def averaged(self) -> AbstractContextManager[None]:
        """Have the network hold the averaged weights inside the block, if there are any."""
        return nullcontext() if self._average is None else self._average.shown()

    def state(self) -> dict[str, Any]:
        """All that is needed to go on exactly here, in tensors and plain data; every process has to ask."""
        positions = self._peers.all_of(self._batches.state_dict())
        return {
            "version": VERSION,
            "step": self.step,
            "config": asdict(self._config),
            "net": self.net.state_dict(),
            "average": {} if self._average is None else self._average.weights,
            "optimiser": self._optimiser.state_dict(),
            "batches": positions[0],
            "batches_by_rank": positions,
        }

    def load(self, state: dict[str, Any]) -> list[str]:
        """Go on from a state.

        Returns:
            A line for each setting that is another one now.

        Raises:
            ConfigError: If the state is of another training.
        """
        then, now = state["config"], asdict(self._config)
        for name in SAME:
            if then[name] != now[name]:
                raise ConfigError(
                    f"the checkpoint there is of {name} {then[name]}, not {now[name]}; "
                    "give another --output, or --no-resume to begin anew"
                )
        try:
            self.net.load_state_dict(state["net"])
            decays = [group["weight_decay"] for group in self._optimiser.param_groups]
            self._optimiser.load_state_dict(state["optimiser"])
            for group, decay in zip(self._optimiser.param_groups, decays, strict=True):
                group["weight_decay"] = decay
            if self._average is not None:
                live = {name: p.data for name, p in self.net.named_parameters()}
                self._average.load({**live, **state["average"]})
        except (RuntimeError, ValueError, KeyError) as error:
            text = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"the checkpoint there does not fit this network ({text}); give the settings and the version that "
                "wrote it, another --output, or --no-resume to begin anew"
            ) from error
        positions = state.get("batches_by_rank", [])
        own = len(positions) == self._peers.world  # else the epoch goes on, but not exactly
        self._batches.load_state_dict(positions[self._peers.rank] if own else state["batches"])
        self._ahead = None
        self.step = int(state["step"])
        return [
            f"{name} is {now[name]} now, it was {then[name]}"
            for name in now
            if name not in SAME and name in then and then[name] != now[name]
        ]


class _Losses(nn.Module):
    """A recipe's losses as a module's forward pass, which is what can be shared among processes."""

    def __init__(self, recipe: Recipe, net: nn.Module) -> None:
        super().__init__()
        self._recipe, self.net = recipe, net

    def forward(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        return self._recipe.losses(self.net, batch, generator)


def _only_trained(net: nn.Module, trained: list[nn.Parameter]) -> list[nn.Parameter]:
    chosen = {id(parameter) for parameter in trained}
    for parameter in net.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    if not chosen:
        raise ConfigError("this stage trains nothing of this network; give another --stage, or other settings")
    return [parameter for parameter in net.parameters() if id(parameter) in chosen]


def _optimiser(trained: list[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms and other vectors do not decay."""
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [(matrices, config.weight_decay), (vectors, 0.0)]
    return torch.optim.AdamW(
        [{"params": group, "weight_decay": decay} for group, decay in groups if group],
        lr=config.rate, betas=(0.9, 0.99), fused=True,
    )  # fmt: skip


def plain(batch: Any) -> Any:
    """A batch as tensors on the CPU, numbers, strings, lists and dicts: what a file may hold."""
    if isinstance(batch, Tensor):
        return batch.detach().cpu()
    if isinstance(batch, np.ndarray):
        return torch.from_numpy(batch)
    if isinstance(batch, dict):
        return {str(name): plain(value) for name, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return [plain(value) for value in batch]
    if is_dataclass(batch):
        return {one.name: plain(getattr(batch, one.name)) for one in fields(batch)}
    return batch if isinstance(batch, (int, float, str, bool, type(None))) else repr(batch)
