"""Folders of models: local ones, those of the Hugging Face hub's cache, and - only if allowed - the hub itself."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from spatialdreamer_core.errors import ConfigError

SAFE_FILES = ("*.json", "*.safetensors")


def hub_folder(
    where: str,
    label: str,
    *,
    allow_network: bool,
    revision: str | None = None,
    files: Sequence[str] = SAFE_FILES,
) -> Path:
    """Give the folder with a model's files.

    Args:
        where: Local folder, or the model's name on the hub.
        label: What it is for, with which errors begin.
        allow_network: Whether missing files may be downloaded.
        revision: The hub's commit; None takes the newest.
        files: Patterns of what is wanted; nothing else is fetched.

    Raises:
        ConfigError: If it is not here and may not or cannot be fetched.
    """
    if Path(where).is_dir():
        return Path(where)
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(where, revision=revision, local_files_only=not allow_network, allow_patterns=list(files))
        )
    except Exception as error:  # the hub has a dozen kinds, and requests' own
        advice = "check the network" if allow_network else "allow the network, or give a folder with its files"
        raise ConfigError(f"{label}: {where} is not here; {advice} ({type(error).__name__})") from error


def file_digest(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
