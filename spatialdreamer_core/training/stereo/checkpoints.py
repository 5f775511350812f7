"""Checkpoints: they appear whole, the last few are kept, and one that is damaged is passed over for the one before.

``checkpoints/step-00001000.pt`` holds the state; ``step-00001000.json``, written after it, holds its size and digest.
Without its record a state does not count.
"""

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import Place, canonical_json

FOLDER = "checkpoints"
VERSION = 1


def checkpoint_key(step: int) -> str:
    """Where the state after so many steps lies."""
    return f"{FOLDER}/step-{step:08d}.pt"


def save_checkpoint(place: Place, step: int, state: dict[str, Any], keep: int) -> str:
    """Publish a state, then drop all but the newest ``keep``.

    Returns:
        Its key.
    """
    key = checkpoint_key(step)
    with place.scratch(".pt") as path:
        torch.save(state, path)
        record = {"version": VERSION, "step": step, "bytes": path.stat().st_size, "sha256": _digest(path)}
        place.remove(_record(key))  # a run begun anew may overwrite
        place.publish_file(path, key)
    place.publish(_record(key), canonical_json(record))
    for old in checkpoint_keys(place)[:-keep]:
        place.remove(_record(old))
        place.remove(old)
    return key


def checkpoint_keys(place: Place) -> list[str]:
    """Every checkpoint with a record, oldest first."""
    names = set(place.children(FOLDER))
    return sorted(f"{FOLDER}/{name}" for name in names if name.endswith(".pt") and _record(name) in names)


def newest_checkpoint(place: Place, device: torch.device, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The state of the newest checkpoint that is whole, or None if there is none at all.

    Args:
        place: The training's output.
        device: Where its tensors go.
        say: Told of each that is damaged.

    Raises:
        StoreError: If there are some and all are damaged.
    """
    keys = checkpoint_keys(place)
    for key in reversed(keys):
        try:
            return _load(place, key, device)
        except ValueError as error:
            say(f"checkpoint {place}/{key} {error}: it is passed over for the one before")
    if keys:
        raise StoreError(
            f"output {place}: none of its {len(keys)} checkpoints can be read; copy them back from elsewhere, "
            "or begin anew with --no-resume"
        )
    return None


def _load(place: Place, key: str, device: torch.device) -> dict[str, Any]:
    try:
        record = json.loads(place.read(_record(key)) or b"")
        wanted = int(record["bytes"]), str(record["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("has a damaged record") from error
    with place.local_copy(key) as path:
        size = path.stat().st_size
        if size != wanted[0]:
            raise ValueError(f"has {size} bytes of {wanted[0]}")
        if _digest(path) != wanted[1]:
            raise ValueError("has another digest than its record")
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, io.UnsupportedOperation) as error:
            raise ValueError(f"cannot be read ({' '.join(str(error).split())[:100]})") from error
    if state.get("version") != VERSION:
        raise StoreError(
            f"checkpoint {place}/{key}: its format {state.get('version')} is not {VERSION}; "
            "go on with the version of this program that wrote it, or begin anew with --no-resume"
        )
    return state


def _record(key: str) -> str:
    return key.removesuffix(".pt") + ".json"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
