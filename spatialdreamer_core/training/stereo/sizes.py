"""Which recipes there are: a module by size, imported when it is asked for."""

from importlib import import_module
from importlib.util import find_spec

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.training.stereo.config import Size, TrainConfig
from spatialdreamer_core.training.stereo.recipe import Recipe

RECIPES: dict[Size, str] = {
    "mini": "spatialdreamer_core.training.stereo.mini_recipe",
    "svd": "spatialdreamer_core.training.stereo.svd_recipe",
}
"""Each has ``create_recipe(config: TrainConfig) -> Recipe``."""


def create_recipe(config: TrainConfig) -> Recipe:
    """Make the recipe of a size and stage.

    Raises:
        ConfigError: If this version trains no such size, or the recipe refuses the settings.
    """
    module = RECIPES[config.size]
    if find_spec(module) is None:
        raise ConfigError(f"size {config.size}: this version cannot train it; install a newer one, or give another")
    recipe: Recipe = import_module(module).create_recipe(config)
    return recipe
