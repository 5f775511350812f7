"""Which recipes there are: a module by size, imported when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.training.stereo.config import Size, TrainConfig
from spatialdreamer_core.training.stereo.recipe import Recipe

RECIPES: dict[Size, str] = {
    "mini": "spatialdreamer_core.training.stereo.mini_recipe",
    "svd": "spatialdreamer_core.training.stereo.svd_recipe",
}
"""Each has ``create_recipe(config: TrainConfig) -> Recipe``, and ``with_weights`` if its losses need weights."""


def create_recipe(config: TrainConfig) -> Recipe:
    """Make the recipe of a size and stage.

    Raises:
        ConfigError: If this version trains no such size, or the recipe refuses the settings.
    """
    recipe: Recipe = _module(config).create_recipe(config)
    return recipe


def with_weights(config: TrainConfig, find: Callable[[str], Path]) -> TrainConfig:
    """Name in the settings the files of weights that a recipe's losses need and the settings leave open.

    Args:
        config: The settings.
        find: From a name of the catalogue to the file on this machine, as ``WeightsProvider.find``.

    Raises:
        ConfigError: If this version trains no such size.
        WeightsError: If weights are not on this machine, saying how to get them.
    """
    complete = getattr(_module(config), "with_weights", None)
    return config if complete is None else complete(config, find)


def _module(config: TrainConfig) -> Any:
    module = RECIPES[config.size]
    if find_spec(module) is None:
        raise ConfigError(f"size {config.size}: this version cannot train it; install a newer one, or give another")
    return import_module(module)
